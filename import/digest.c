/* SPDX-License-Identifier: Apache-2.0 */
#include "import/digest.h"

#include <errno.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <string.h>

#define PREFIX	   "sha256:"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

_Static_assert(DIGEST_TEXT_MAX == PREFIX_LEN + DIGEST_HEX_MAX, "one prefix, one digest");

void digest_of(const void *data, size_t len, struct digest *ret)
{
	SHA256_CTX h;

	(void)SHA256_Init(&h);
	(void)SHA256_Update(&h, data, len);
	(void)SHA256_Final(ret->bytes, &h);
}

int digest_parse_hex(const char *text, struct digest *ret)
{
	/* libsodium takes capitals too, which a digest has not. */
	if (strlen(text) != DIGEST_HEX_MAX - 1 ||
	    strspn(text, "0123456789abcdef") != DIGEST_HEX_MAX - 1)
		return -EINVAL;
	return sodium_hex2bin(ret->bytes, sizeof(ret->bytes), text, DIGEST_HEX_MAX - 1, NULL, NULL,
			      NULL) == 0
		       ? 0
		       : -EINVAL;
}

int digest_parse(const char *text, struct digest *ret)
{
	if (strncmp(text, PREFIX, PREFIX_LEN) != 0)
		return -EINVAL;
	return digest_parse_hex(text + PREFIX_LEN, ret);
}

void digest_hex(const struct digest *d, char ret[DIGEST_HEX_MAX])
{
	(void)sodium_bin2hex(ret, DIGEST_HEX_MAX, d->bytes, sizeof(d->bytes));
}

void digest_text(const struct digest *d, char ret[DIGEST_TEXT_MAX])
{
	memcpy(ret, PREFIX, PREFIX_LEN);
	digest_hex(d, ret + PREFIX_LEN);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
