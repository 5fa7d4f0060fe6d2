/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/snapseal.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "base/bug.h"
#include "base/le.h"
#include "base/num.h"

#define MAGIC	     "CASEMSEL"
#define KEY_ID_BYTES 16U

struct wire {
	uint8_t magic[8];
	le32_t version;
	le32_t bytes;
	uint8_t key_id[KEY_ID_BYTES];
	le32_t vcpus, nic_queues;
	le64_t memory_bytes, scratch_bytes, state_bytes;
	char image[REQUEST_NAME_MAX]; /* padded with zeros */
	uint8_t state[SNAPSEAL_DIGEST_BYTES];
	uint8_t memory[SNAPSEAL_DIGEST_BYTES];
	uint8_t mac[SNAPSEAL_DIGEST_BYTES]; /* of all before */
};
_Static_assert(offsetof(struct wire, state) == 128 && offsetof(struct wire, mac) == 192,
	       "docs/SNAPSHOT.md");
_Static_assert(sizeof(struct wire) == SNAPSEAL_BYTES, "docs/SNAPSHOT.md");

static void hash(const void *data, size_t len, const uint8_t *key, uint8_t *ret, size_t ret_len)
{
	/* It fails for lengths that it doesn't know only. */
	if (crypto_generichash_blake2b(ret, ret_len, data, len, key,
				       key != NULL ? SNAPSEAL_KEY_BYTES : 0) != 0)
		BUG("BLAKE2b");
}

/* Which key, without telling anything about it. */
static void key_id(const uint8_t *key, uint8_t ret[KEY_ID_BYTES])
{
	static const char what[] = "casemate: id of a host's key";

	hash(what, sizeof(what), key, ret, KEY_ID_BYTES);
}

void snapseal_digest(const void *data, size_t len, uint8_t ret[SNAPSEAL_DIGEST_BYTES])
{
	hash(data, len, NULL, ret, SNAPSEAL_DIGEST_BYTES);
}

void snapseal_describe(struct snapseal *s, const struct request *q)
{
	*s = (struct snapseal){
		.vcpus = q->vcpus,
		.nic_queues = q->nic_queues,
		.memory_bytes = q->memory_bytes,
		.scratch_bytes = q->scratch_bytes,
	};
	memcpy(s->image, q->image, sizeof(s->image));
}

void snapseal_make(const struct snapseal *s, const uint8_t key[SNAPSEAL_KEY_BYTES],
		   uint8_t ret[SNAPSEAL_BYTES])
{
	struct wire w = {
		.version = le32_put(SNAPSEAL_VERSION),
		.bytes = le32_put(sizeof(w)),
		.vcpus = le32_put(s->vcpus),
		.nic_queues = le32_put(s->nic_queues),
		.memory_bytes = le64_put(s->memory_bytes),
		.scratch_bytes = le64_put(s->scratch_bytes),
		.state_bytes = le64_put(s->state_bytes),
	};
	size_t name = strlen(s->image);

	BUG_ON(name > sizeof(w.image));
	memcpy(w.magic, MAGIC, sizeof(w.magic));
	key_id(key, w.key_id);
	memcpy(w.image, s->image, name);
	memcpy(w.state, s->state, sizeof(w.state));
	memcpy(w.memory, s->memory, sizeof(w.memory));
	hash(&w, offsetof(struct wire, mac), key, w.mac, sizeof(w.mac));
	memcpy(ret, &w, sizeof(w));
}

/* Everything that needs no key. A version comes first: another one may look otherwise. */
static int check_form(const struct wire *w, size_t len, struct err *err)
{
	if (len < offsetof(struct wire, key_id) || memcmp(w->magic, MAGIC, sizeof(w->magic)) != 0)
		return err_set(err, -EINVAL, "the snapshot's seal is none");
	if (le32_get(w->version) != SNAPSEAL_VERSION)
		return err_set(err, -ENOTSUP,
			       "the snapshot's seal is of version %" PRIu32 ", this is %u",
			       le32_get(w->version), SNAPSEAL_VERSION);
	if (len != sizeof(*w) || le32_get(w->bytes) != sizeof(*w))
		return err_set(err, -EINVAL, "the snapshot's seal has %zu bytes instead of %zu",
			       len, sizeof(*w));
	return 0;
}

int snapseal_open(const void *data, size_t len, const uint8_t key[SNAPSEAL_KEY_BYTES],
		  struct snapseal *ret, struct err *err)
{
	uint8_t id[KEY_ID_BYTES], mac[SNAPSEAL_DIGEST_BYTES];
	struct wire w = { 0 };
	int r;

	memcpy(&w, data, MIN(len, sizeof(w)));
	r = check_form(&w, len, err);
	if (r < 0)
		return r;
	key_id(key, id);
	if (sodium_memcmp(id, w.key_id, sizeof(id)) != 0)
		return err_set(err, -EKEYREJECTED,
			       "the snapshot was sealed with another key than this host's");
	hash(&w, offsetof(struct wire, mac), key, mac, sizeof(mac));
	if (sodium_memcmp(mac, w.mac, sizeof(mac)) != 0)
		return err_set(err, -EKEYREJECTED, "the snapshot's seal was altered");
	*ret = (struct snapseal){
		.vcpus = le32_get(w.vcpus),
		.nic_queues = le32_get(w.nic_queues),
		.memory_bytes = le64_get(w.memory_bytes),
		.scratch_bytes = le64_get(w.scratch_bytes),
		.state_bytes = le64_get(w.state_bytes),
	};
	memcpy(ret->image, w.image, sizeof(w.image)); /* one byte shorter */
	memcpy(ret->state, w.state, sizeof(w.state));
	memcpy(ret->memory, w.memory, sizeof(w.memory));
	return 0;
}

static int differs(struct err *err, const char *what, uint64_t is, uint64_t wanted)
{
	return err_set(err, -EINVAL, "the snapshot has %" PRIu64 " %s, not %" PRIu64, is, what,
		       wanted);
}

int snapseal_check(const struct snapseal *s, const struct request *q, struct err *err)
{
	if (s->vcpus != q->vcpus)
		return differs(err, "vCPUs", s->vcpus, q->vcpus);
	if (s->memory_bytes != q->memory_bytes)
		return differs(err, "bytes of memory", s->memory_bytes, q->memory_bytes);
	if (s->scratch_bytes != q->scratch_bytes)
		return differs(err, "bytes of scratch disk", s->scratch_bytes, q->scratch_bytes);
	if (s->nic_queues != q->nic_queues)
		return differs(err, "network queues", s->nic_queues, q->nic_queues);
	if (strcmp(s->image, q->image) != 0)
		return err_set(err, -EINVAL, "the snapshot is of image %s, not %s", s->image,
			       q->image);
	return 0;
}
