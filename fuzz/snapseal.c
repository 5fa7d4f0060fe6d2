/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile seals. First as they come: none may pass, for nobody here has the key but the fuzzer's
 * luck. Then with the keyed digest made right, as by somebody who has the key: what is taken out of
 * it must be the same again when it is sealed again.
 */
#include <sodium.h>
#include <string.h>

#include "base/bug.h"
#include "jailer/snapseal.h"

#define MAC_AT (SNAPSEAL_BYTES - SNAPSEAL_DIGEST_BYTES)
#define ID_AT  16U
#define ID_LEN 16U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What snapseal_make writes, but for what the input says. */
static void make_right(uint8_t seal[SNAPSEAL_BYTES], const uint8_t *key)
{
	struct snapseal empty = { 0 };
	uint8_t ours[SNAPSEAL_BYTES];

	snapseal_make(&empty, key, ours);
	memcpy(seal, ours, ID_AT + ID_LEN);
	(void)crypto_generichash_blake2b(seal + MAC_AT, SNAPSEAL_DIGEST_BYTES, seal, MAC_AT, key,
					 SNAPSEAL_KEY_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[SNAPSEAL_KEY_BYTES] = "thirty-two bytes of a test's key";
	uint8_t seal[SNAPSEAL_BYTES], again[SNAPSEAL_BYTES];
	struct request q = { 0 };
	struct snapseal s, t;
	struct err err = { 0 };

	BUG_ON(sodium_init() < 0);
	BUG_ON(snapseal_open(data, size, key, &s, &err) >= 0 || err.msg[0] == '\0');
	if (size < sizeof(seal))
		return 0;
	memcpy(seal, data, sizeof(seal));
	make_right(seal, key);
	BUG_ON(snapseal_open(seal, sizeof(seal), key, &s, &err) < 0);
	(void)snapseal_check(&s, &q, &err);
	snapseal_make(&s, key, again);
	BUG_ON(snapseal_open(again, sizeof(again), key, &t, &err) < 0);
	BUG_ON(strcmp(s.image, t.image) != 0 || s.memory_bytes != t.memory_bytes ||
	       memcmp(s.memory, t.memory, sizeof(s.memory)) != 0);
	return 0;
}
