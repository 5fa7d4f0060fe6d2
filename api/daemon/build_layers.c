/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_layers.c - what a build needn't do again. After a step whose work took a while the build's
 * sandbox is kept as a layer (layers.h): memory, files and what runs in it. Its key is the SHA-256
 * of all that has made it: what it starts from and the machine's shape, then each step, with the
 * bytes of its archive. A build begins at the last layer that there is for its recipe.
 *
 * What runs without a layer has the same state, not the same bytes: a command that asks the time or
 * the network isn't asked again, as with docker. Steps with `force`, and all after them, are run.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/build_internal.h"
#include "api/daemon/layers.h"
#include "api/daemon/snapshot.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define FORM "casemate layer 1"

/* ---- Keys ---------------------------------------------------------------------------------- */

static void put_bytes(crypto_hash_sha256_state *h, const void *data, size_t len)
{
	const uint64_t n = len;

	(void)crypto_hash_sha256_update(h, (const uint8_t *)&n, sizeof(n));
	(void)crypto_hash_sha256_update(h, data, len);
}

static void put_text(crypto_hash_sha256_state *h, const char *text)
{
	put_bytes(h, text, strlen(text));
}

static void put_number(crypto_hash_sha256_state *h, uint64_t n)
{
	put_bytes(h, &n, sizeof(n));
}

static void end_key(crypto_hash_sha256_state *h, uint8_t key[LAYER_KEY_BYTES])
{
	uint8_t all[crypto_hash_sha256_BYTES];

	_Static_assert(sizeof(all) >= LAYER_KEY_BYTES, "a key is a part of it");
	(void)crypto_hash_sha256_final(h, all);
	memcpy(key, all, LAYER_KEY_BYTES);
}

/* Of nothing done yet. An image without a digest goes by its name: that it is still the same file
 * is what the jailer says when a layer of it is restored. */
static int origin_key(const struct build *b, const struct spec *spec, const struct snapshot *from,
		      uint8_t key[LAYER_KEY_BYTES])
{
	char *config = json_dumps(b->config, JSON_COMPACT | JSON_SORT_KEYS);
	crypto_hash_sha256_state h;

	if (config == NULL)
		return -ENOMEM;
	(void)crypto_hash_sha256_init(&h);
	put_text(&h, FORM);
	put_text(&h, CASEMATE_VERSION);
	put_text(&h, from != NULL ? snapshot_id(from) : "");
	put_text(&h, spec->kernel);
	put_text(&h, spec->digest[0] != '\0' ? spec->digest : spec->image);
	put_number(&h, spec->vcpus);
	put_number(&h, spec->memory_bytes);
	put_number(&h, spec->scratch_bytes);
	put_number(&h, spec->nic);
	put_text(&h, config);
	end_key(&h, key);
	free(config);
	return 0;
}

/* Of s done after what `before` is of. False: its archive isn't there. */
static bool step_key(const struct build *b, const struct recipe_step *s,
		     const uint8_t before[LAYER_KEY_BYTES], uint8_t key[LAYER_KEY_BYTES])
{
	char digest[BUILD_FILES_DIGEST_LEN + 1] = "";
	crypto_hash_sha256_state h;

	if (s->kind == RECIPE_COPY) {
		CLEANUP(fd_closep) int fd = build_archive(b, s, digest);
		if (fd < 0)
			return false;
	}
	(void)crypto_hash_sha256_init(&h);
	put_bytes(&h, before, LAYER_KEY_BYTES);
	put_text(&h, recipe_kind_name(s->kind));
	put_number(&h, s->count);
	for (size_t i = 0; i < s->count; i++)
		put_text(&h, s->args[i]);
	put_text(&h, digest);
	end_key(&h, key);
	return true;
}

/* keys[i] is of the first i steps done. */
static int make_keys(struct build *b, const struct spec *spec, const struct snapshot *from)
{
	uint8_t(*keys)[LAYER_KEY_BYTES] = calloc(b->recipe.count + 1, sizeof(*keys));
	int r = keys == NULL ? -ENOMEM : origin_key(b, spec, from, keys[0]);
	size_t n = 1;

	if (r < 0) {
		free(keys);
		return r;
	}
	while (n <= b->recipe.count && step_key(b, &b->recipe.steps[n - 1], keys[n - 1], keys[n]))
		n++;
	b->keys = keys;
	b->keys_count = n;
	return 0;
}

/* ---- Where it begins ----------------------------------------------------------------------- */

/* How many of its first steps needn't be done again. */
static size_t unforced(const struct build *b)
{
	size_t n = 0;

	if (b->recipe.force || b->cold)
		return 0;
	while (n < b->recipe.count && !b->recipe.steps[n].force)
		n++;
	return n;
}

int build_layers_find(struct build *b, struct spec *spec, struct snapshot **from, struct err *err)
{
	const struct service *sv = b->all->sv;
	struct snapshot *p = NULL;
	size_t n;
	int r;

	if (b->all->layer_after_ms == BUILD_LAYERS_NONE)
		return 0;
	build_layers_done(b);
	r = make_keys(b, spec, *from);
	if (r < 0)
		return err_set(err, r, "out of memory");
	for (n = MIN(unforced(b), b->keys_count - 1); n > 0 && p == NULL; n--)
		p = layers_find(sandboxes_snapshots(sv->sandboxes), spec->tenant, b->keys[n]);
	if (p == NULL)
		return 0;
	b->step = n + 1;
	memcpy(b->layer, snapshot_id(p), strlen(snapshot_id(p)) + 1);
	for (size_t i = 0; i < b->step && r == 0; i++)
		r = build_config_step(b->config, &b->recipe.steps[i]);
	if (r < 0)
		return err_set(err, r, "out of memory");
	*from = p;
	return snapshot_shape(p, spec, err);
}

void build_layers_done(struct build *b)
{
	free(b->keys);
	b->keys = NULL;
	b->keys_count = 0;
	b->step = 0;
	b->layer[0] = '\0';
}

bool build_layers_lost(struct build *b)
{
	struct snapshot *p;

	if (b->layer[0] == '\0')
		return false;
	p = snapshot_by_id(sandboxes_snapshots(b->all->sv->sandboxes), b->layer);
	log_warn("build.layer", "id=%s layer=%s lost", b->id, b->layer);
	if (p != NULL)
		snapshot_delete(p);
	b->cold = true;
	return true;
}

/* ---- What it leaves ------------------------------------------------------------------------ */

static void on_layer(struct snapshot *p, const struct snapshot_end *end, void *arg)
{
	struct build_freeze *z = arg;
	struct build *b = z->build;

	free(z);
	if (p != NULL)
		layers_trim(snapshot_siblings(p), snapshot_tenant(p), 0);
	if (b == NULL) /* it ended meanwhile; the layer is good all the same */
		return;
	b->freeze = NULL;
	/* Without it goes on as well. */
	if (end->status != 0)
		log_warn("build.layer", "id=%s error=\"%s\"", b->id, end->msg);
	b->work_since_ms = now_ms();
	build_next_step(b);
}

/* Worth it, and not there? */
static bool wanted(const struct build *b)
{
	const struct snapshots *ss = sandboxes_snapshots(b->all->sv->sandboxes);
	const size_t done = b->step + 1;

	if (b->keys == NULL || done >= b->keys_count ||
	    now_ms() - b->work_since_ms < b->all->layer_after_ms)
		return false;
	return done > unforced(b) || layers_find(ss, b->order.tenant, b->keys[done]) == NULL;
}

void build_step_worked(struct build *b)
{
	char name[LAYER_NAME_MAX + 1];
	struct build_freeze *z;
	struct err err = { 0 };

	BUG_ON(b->freeze != NULL);
	z = wanted(b) ? malloc(sizeof(*z)) : NULL;
	if (z != NULL) {
		layers_trim(sandboxes_snapshots(b->all->sv->sandboxes), b->order.tenant, 1);
		layer_name(b->keys[b->step + 1], name);
		z->build = b;
		b->freeze = z;
		if (snapshot_make(b->sandbox, name, on_layer, z, &err) == 0)
			return;
		log_warn("build.layer", "id=%s error=\"%s\"", b->id, err.msg);
		b->freeze = NULL;
		free(z);
	}
	build_next_step(b);
}
