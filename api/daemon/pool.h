/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - ready VMs for the shapes of sandboxes that are asked for.
 *
 * Theory of operation. A shape is what a VM is made of (kernel, image, vCPUs, memory). The first
 * sandbox of a shape boots cold; the pool learns the shape from it, and when the host is not busy
 * making sandboxes it casts a template: a VM of its own is booted until its agent answers, nothing
 * of a tenant ever having run in it, paused, and written to two memfds, which are then sealed. The
 * first VM that is restored from them is a scout: it is identified as nobody, tells which pages it
 * has written by then, and ends; all others have copies of these before they run. From
 * the template spares are restored, each in a jail of its own, and wait at their first instruction.
 * A claim takes one; it starts, and is identified, before its tenant gets it. A sandbox for which
 * no spare is left is restored while its client waits; one without a template boots cold.
 *
 * A spare is used once. Nothing that ran a tenant's code comes back.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_POOL_H
#define API_DAEMON_POOL_H

#include <jansson.h>

#include "api/daemon/sandbox.h"
#include "api/daemon/spec.h"
#include "api/proto/working_set.h"
#include "base/compiler.h"

#define POOL_DEPTH_MAX	 1024U
#define POOL_SHAPES_MAX	 4U
#define POOL_SEAL_MAX	 1024U /* bytes; the jailer's business what is in it */
#define POOL_IMAGE_BYTES 32U

struct pool;

/* depth: spares of each shape. */
MUST_USE int pool_new(struct sandboxes *t, unsigned depth, struct pool **ret);
/* NULL is fine. Spares are the table's and stay. */
void pool_free(struct pool *p);

/* Somebody wants a sandbox like this. A shape that is new takes the place of the one that was
 * wanted longest ago, when there are POOL_SHAPES_MAX. No effect for what can't be pooled: a scratch
 * drive, a CPU template. */
void pool_want(struct pool *p, const struct spec *spec);
/* A spare of this shape, in state SANDBOX_SPARE, or NULL. It stays the pool's until it is claimed
 * (sandbox_event). */
struct sandbox *pool_spare(const struct pool *p, const struct spec *spec);
/* A template: its state and memory files, and the jailer's seal of both. The pool's. */
struct pool_template {
	int fds[2]; /* -1 = there is none */
	uint8_t seal[POOL_SEAL_MAX];
	size_t seal_len;
	uint8_t image_id[POOL_IMAGE_BYTES]; /* the jailer's name for the image's content */
	struct working_set working_set;	    /* what its clones write first; none = not known */
};
const struct pool_template *pool_template(struct pool *p, const struct spec *spec);

/* For boot_template.c: the files of a new template, both empty: 0 or -errno... */
MUST_USE int pool_files(const struct spec *spec, int ret_fds[2]);
/* One more for its memory, as the second of these. */
MUST_USE int pool_memory_file(const struct spec *spec, int *ret_fd);
/* ...nobody can change them any more: 0 or -errno... */
MUST_USE int pool_freeze(const int *fds, unsigned count);
/* ...and what became of it: frozen, with the jailer's seal, its descriptors taken over; or NULL: it
 * failed. */
void pool_cast(struct pool *p, const struct spec *spec, struct pool_template *t);
/* For boot_scout.c: what the template's clones write first, or NULL: that couldn't be found out. */
void pool_scouted(struct pool *p, const struct spec *spec, const struct working_set *w);
/* The jailer or the VMM won't have the template of this shape, and why: another is made, and what
 * lies ready of this one goes. */
void pool_template_refused(struct pool *p, const struct spec *spec, const char *why);
/* A spare didn't come so far as to lie ready: not again at once. */
void pool_spare_failed(struct pool *p, const struct spec *spec);

/* No shapes of the image with this digest any more, nor VMs that lie ready of it: they end soon. */
void pool_forget(struct pool *p, const char *digest);

/* Something changed: look, soon, whether there is something to do. */
void pool_poke(struct pool *p);

/* Shapes, templates and spares. New reference, NULL = no memory. */
json_t *pool_json(const struct pool *p);

#endif
