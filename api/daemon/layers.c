/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/layers.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "api/daemon/snapshot_internal.h"
#include "api/daemon/tenant.h"
#include "base/clock.h"
#include "base/log.h"

#define PREFIX_LEN (sizeof(LAYER_PREFIX) - 1)

_Static_assert(LAYER_NAME_MAX == PREFIX_LEN + 2 * LAYER_KEY_BYTES, "a prefix and its digits");
_Static_assert(LAYER_NAME_MAX <= SNAPSHOT_NAME_MAX, "it is the name of a snapshot");

bool layer_named(const char *name)
{
	return strncmp(name, LAYER_PREFIX, PREFIX_LEN) == 0;
}

void layer_name(const uint8_t key[LAYER_KEY_BYTES], char ret[LAYER_NAME_MAX + 1])
{
	memcpy(ret, LAYER_PREFIX, PREFIX_LEN);
	(void)sodium_bin2hex(ret + PREFIX_LEN, 2 * LAYER_KEY_BYTES + 1, key, LAYER_KEY_BYTES);
}

uint64_t layers_bytes_max(const struct tenant *t)
{
	return t->limits.snapshot_bytes_max / 2;
}

struct snapshot *layers_find(const struct snapshots *ss, const struct tenant *t,
			     const uint8_t key[LAYER_KEY_BYTES])
{
	char name[LAYER_NAME_MAX + 1];
	struct snapshot *p;

	layer_name(key, name);
	p = snapshot_find(ss, t, name);
	if (p != NULL)
		p->used_ms = now_ms();
	return p;
}

static bool is_layer(const struct snapshot *p)
{
	return p->state == SNAPSHOT_WHOLE && layer_named(p->name);
}

static void drop(struct snapshot *p, const char *why)
{
	log_info("layer.gone", "id=%s why=%s", p->id, why);
	snapshot_delete(p);
}

/* Those of before a restart come first, by their age. */
static bool older(const struct snapshot *a, const struct snapshot *b)
{
	return a->used_ms != b->used_ms ? a->used_ms < b->used_ms
					: a->created_unix_ms < b->created_unix_ms;
}

/* The one that wasn't used for longest goes; false: it's fine as it is. */
static bool trim_one(const struct snapshots *ss, const struct tenant *t, unsigned more)
{
	struct snapshot *oldest = NULL;
	uint64_t count = more, bytes = 0;

	for (struct snapshot *p = ss->first; p != NULL; p = p->next) {
		if (p->tenant != t || !is_layer(p))
			continue;
		count++;
		bytes += p->bytes;
		if (oldest == NULL || older(p, oldest))
			oldest = p;
	}
	if (oldest == NULL || (count <= LAYERS_TENANT && bytes <= layers_bytes_max(t)))
		return false;
	drop(oldest, "room");
	return true;
}

void layers_trim(const struct snapshots *ss, const struct tenant *t, unsigned more)
{
	while (ss != NULL && trim_one(ss, t, more))
		;
}

void layers_forget_image(const struct snapshots *ss, const char *digest)
{
	for (struct snapshot *p = ss == NULL ? NULL : ss->first; p != NULL; p = p->next)
		if (is_layer(p) && strcmp(p->rec.spec.digest, digest) == 0)
			drop(p, "image");
}
