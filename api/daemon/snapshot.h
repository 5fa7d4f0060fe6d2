/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - snapshots: what a running sandbox was at one moment, kept on the disk by the jailer
 * (jailer/saves.h), and new sandboxes that go on from there.
 *
 *     making one:  jailer Reserve -> VMM Snapshot (live) -> its row in the store, not whole ->
 *                  jailer Save, under the snapshot's id -> its row, whole
 *     using one:   jailer Load, to memfds, when no sandbox that lives has come from it -> for each
 *                  sandbox: jailer Restore -> as boot.c has it
 *
 * The sandbox that it is of goes on meanwhile, and may end. A snapshot belongs to its tenant, which
 * has a quota of them and of their bytes, outlives casemated, and is there until it is deleted. A
 * row that isn't whole names what may have a file and isn't to have one: that is discarded as soon
 * as the jailer can be asked, by the next casemated too. So whatever dies in the middle leaves
 * nothing.
 *
 * Sandboxes that come from one snapshot share its memory as forks share their parent's: one copy,
 * as long as one of them lives. Each has an id, a token and entropy of its own before anybody can
 * reach it. Deleting one that is used is fine: they keep what they have.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_SNAPSHOT_H
#define API_DAEMON_SNAPSHOT_H

#include <jansson.h>

#include "api/daemon/sandbox.h"
#include "base/compiler.h"
#include "base/err.h"

#define SNAPSHOT_ID_LEN	  20U /* 's' and 19 of [a-z0-9] */
#define SNAPSHOT_NAME_MAX 64U
#define SNAPSHOTS_MAX	  4096U /* of all tenants */

struct profile;
struct snapshot;
struct snapshots;
struct store;
struct tenant;
struct tenants;

/* ---- All of them --------------------------------------------------------------------------- */

/* Those that the store has; t has them from now on (sandboxes_snapshots), and frees them. store and
 * tenants outlive t. */
MUST_USE int snapshots_new(struct sandboxes *t, struct store *store, const struct tenants *tenants,
			   struct snapshots **ret);
/* NULL: snapshots_new was never called for it. */
struct snapshots *sandboxes_snapshots(const struct sandboxes *t);

/* Whole, not deleted, and this tenant's; text is an id, or a name, which the newest with it has.
 * Either may end in ":default". NULL: there is none. */
struct snapshot *snapshot_find(const struct snapshots *ss, const struct tenant *tenant,
			       const char *text);
/* Any tenant's, by its id. */
struct snapshot *snapshot_by_id(const struct snapshots *ss, const char *id);
/* Calls fn for each that is whole and not deleted, newest first, until it returns false. */
void snapshots_each(const struct snapshots *ss, bool (*fn)(struct snapshot *p, void *arg),
		    void *arg);
/* The id of one whose sandboxes need the image with this digest, or NULL. Not of a layer
 * (layers.h), which goes with its image. */
const char *snapshots_image_user(const struct snapshots *ss, const char *digest);
/* Has s the form of a name: 1 to 64 of [a-z0-9._-], the first a letter or digit? */
bool snapshot_name_valid(const char *s);

/* ---- One of them --------------------------------------------------------------------------- */

const char *snapshot_id(const struct snapshot *p);
const char *snapshot_name(const struct snapshot *p);	/* "" = none */
const char *snapshot_sandbox(const struct snapshot *p); /* the id of what it is of */
struct tenant *snapshot_tenant(const struct snapshot *p);
struct snapshots *snapshot_siblings(const struct snapshot *p); /* the table that it is in */
int64_t snapshot_created_unix_ms(const struct snapshot *p);    /* no two have the same */
/* What it is of. The shape is the snapshot's: what the VM is made of. */
const struct spec *snapshot_spec(const struct snapshot *p);
const struct profile *snapshot_profile(const struct snapshot *p); /* NULL = none */
/* New reference, NULL = no memory. */
json_t *snapshot_json(const struct snapshot *p);

/* Why one was not made: an HTTP status (0: it was), a short code and a line. */
struct snapshot_end {
	unsigned status;
	const char *code; /* literal */
	const char *msg;  /* until done returns */
	double paused_ms; /* how long the sandbox stood still */
};
/* p: NULL unless it was made. */
typedef void snapshot_done(struct snapshot *p, const struct snapshot_end *end, void *arg);

/*
 * Begins to make one of s, which goes on; done is called once, later. name: NULL or "" = none; an
 * older one of the tenant's with this name loses it when the new one is whole. The making goes on
 * when whoever asked for it goes away (snapshot_unwatch). 0, or with err: -EINVAL: not a name;
 * -ESTALE: s doesn't run; -EALREADY: a fork or snapshot of it is under way; -ENOTSUP: what it has
 * can't be kept; -EDQUOT, -ENOMEM: a limit; -ENOTCONN: no jailer.
 */
MUST_USE int snapshot_make(struct sandbox *s, const char *name, snapshot_done *done, void *arg,
			   struct err *err);
/* done with this arg won't be called. */
void snapshot_unwatch(struct snapshots *ss, const void *arg);

/* Nobody finds it any more, and its file goes. */
void snapshot_delete(struct snapshot *p);

/*
 * What a sandbox of p is to be: fills in the shape, and what spec says nothing of (user, cwd,
 * environment, network) as p's sandbox had it. spec.tenant is set. A network is only had where the
 * snapshot has one. 0, or -EINVAL, -ENOMEM with err.
 */
MUST_USE int snapshot_shape(const struct snapshot *p, struct spec *spec, struct err *err);
/* As sandbox_create, of a spec that snapshot_shape has filled in: SANDBOX_PATH_SNAPSHOT. */
MUST_USE int sandbox_create_from(struct sandboxes *t, struct spec *spec, struct snapshot *p,
				 struct sandbox **ret, struct err *err);

#endif
