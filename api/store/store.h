/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - what casemated must not forget: tenants, API keys and sandboxes, in one SQLite file.
 *
 * One process, one writer: the file is locked for this process alone (locking_mode EXCLUSIVE, so
 * WAL needs no shared memory). A transaction is in the kernel's hands when the call returns: it
 * survives the death of the process, as sandboxes may. What people rely on after a power cut as
 * well (tenants, keys) is flushed to the disk; sandboxes are not, because they don't survive one.
 *
 * The schema has a version (user_version); migrations run in order inside one transaction; a file
 * from a later version is refused.
 *
 * Threads: the loop's.
 */
#ifndef API_STORE_STORE_H
#define API_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define STORE_NAME_MAX	   64U /* tenants: [a-z0-9-] */
#define STORE_LABEL_MAX	   64U
#define STORE_KEY_ID_LEN   12U
#define STORE_HASH_BYTES   32U
#define STORE_SECRET_BYTES 32U

struct store;

/* path: the file, made (mode 0600) when it is missing; NULL = in memory, forgotten at the end.
 * -EBUSY: another process has it. -EPROTO: not ours, or from a later version. */
MUST_USE int store_open(const char *path, struct store **ret, struct err *err);
/* NULL is fine. */
void store_close(struct store *s);

/* Random, the same for the life of the file: what sandboxes' tokens are derived from. */
const uint8_t *store_secret(const struct store *s);
/* The same, another: with which the jailer knows casemated again. */
const uint8_t *store_hold_secret(const struct store *s);

/* ---- Tenants ------------------------------------------------------------------------------- */

struct store_tenant {
	char name[STORE_NAME_MAX + 1];
	uint64_t sandboxes_max; /* at a time */
	uint64_t memory_max;	/* bytes, of all of them together */
	uint64_t vcpus_max;	/* of all of them together */
	uint64_t creates_per_min;
	uint64_t snapshots_max;	     /* kept at a time */
	uint64_t snapshot_bytes_max; /* of the disk, all of them together */
	int64_t created_ms;	     /* Unix */
};

/* Adds it, or replaces its limits. */
MUST_USE int store_tenant_put(struct store *s, const struct store_tenant *t);
/* Calls fn for each, oldest first; ends when fn returns other than 0, which is returned. */
MUST_USE int store_tenants_each(struct store *s, int (*fn)(const struct store_tenant *t, void *arg),
				void *arg);

/* ---- API keys ------------------------------------------------------------------------------ */

struct store_key {
	char id[STORE_KEY_ID_LEN + 1]; /* names it; no secret */
	char tenant[STORE_NAME_MAX + 1];
	char label[STORE_LABEL_MAX + 1];
	bool admin;	    /* may what the operator may */
	int64_t created_ms; /* Unix */
	int64_t used_ms;    /* about; 0 = never */
};

/* hash: of the key, which the store never sees. -EEXIST, -ENOENT: no such tenant. */
MUST_USE int store_key_add(struct store *s, const struct store_key *k,
			   const uint8_t hash[STORE_HASH_BYTES]);
/* -ENOENT: no such key. */
MUST_USE int store_key_remove(struct store *s, const char *id);
/* The key with this hash. -ENOENT. */
MUST_USE int store_key_find(struct store *s, const uint8_t hash[STORE_HASH_BYTES],
			    struct store_key *ret);
MUST_USE int store_key_used(struct store *s, const char *id, int64_t now_unix_ms);
MUST_USE int store_keys_each(struct store *s, int (*fn)(const struct store_key *k, void *arg),
			     void *arg);

/* ---- Images -------------------------------------------------------------------------------- */

/* A name of an image that the jailer keeps. */
struct store_image {
	const char *name;
	const char *digest; /* 64 hex digits */
	const char *config; /* JSON: what image_config.h makes of it */
	uint64_t bytes;
	int64_t created_ms; /* Unix */
};

/* Adds it, or gives the name to another image. */
MUST_USE int store_image_put(struct store *s, const struct store_image *i);
/* -ENOENT: no such name. */
MUST_USE int store_image_remove(struct store *s, const char *name);
/* fn gets the record, whose strings live until it returns, and its result is returned. -ENOENT. */
MUST_USE int store_image_find(struct store *s, const char *name,
			      int (*fn)(const struct store_image *i, void *arg), void *arg);
/* By name; ends when fn returns other than 0, which is returned. fn must not ask for images. */
MUST_USE int store_images_each(struct store *s, int (*fn)(const struct store_image *i, void *arg),
			       void *arg);

/* ---- Snapshots ----------------------------------------------------------------------------- */

struct store_snapshot {
	const char *id;
	const char *tenant;
	const char *name;    /* "" = none */
	const char *sandbox; /* that it is of: its id */
	const char *life;    /* JSON: what goes on from it (record.h) */
	uint64_t bytes;	     /* of the disk */
	int64_t created_ms;  /* Unix */
	bool whole;	     /* else it is being made, or removed */
};

/* Adds it, or replaces it. */
MUST_USE int store_snapshot_put(struct store *s, const struct store_snapshot *p);
/* No error when there is none. */
MUST_USE int store_snapshot_remove(struct store *s, const char *id);
/* Calls fn for each, oldest first; ends when fn returns other than 0, which is returned. The
 * strings live until fn returns, which may not call the store. */
MUST_USE int store_snapshots_each(struct store *s,
				  int (*fn)(const struct store_snapshot *p, void *arg), void *arg);

/* ---- Sandboxes ----------------------------------------------------------------------------- */

struct store_sandbox {
	const char *id;
	const char *tenant;
	const char *profile; /* JSON: what people ask of it later */
	const char *life;    /* JSON: what another casemated needs to have it; "" = it can't */
	int64_t created_ms;
	int64_t ended_ms;   /* 0 = lives */
	const char *reason; /* why it ended; "" while it lives */
};

MUST_USE int store_sandbox_put(struct store *s, const struct store_sandbox *b);
MUST_USE int store_sandbox_end(struct store *s, const char *id, int64_t now_unix_ms,
			       const char *reason);
/* Calls fn for each that lives, oldest first; ends when fn returns other than 0, which is returned.
 * fn may not call the store. */
MUST_USE int store_sandboxes_living(struct store *s,
				    int (*fn)(const struct store_sandbox *b, void *arg), void *arg);
/* Marks all that live as ended: how many, or -errno. */
MUST_USE int store_sandboxes_end_all(struct store *s, int64_t now_unix_ms, const char *reason);
/* fn gets the record, whose strings live until it returns. -ENOENT: never heard of. */
MUST_USE int store_sandbox_find(struct store *s, const char *id,
				void (*fn)(const struct store_sandbox *b, void *arg), void *arg);
/* Forgets those that ended before then, and of the rest all but the newest `keep`. */
MUST_USE int store_sandboxes_trim(struct store *s, int64_t before_unix_ms, uint64_t keep);

#endif
