/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_internal.h - between snapshot.c (the table), snapshot_make.c and snapshot_boot.c. */
#ifndef API_DAEMON_SNAPSHOT_INTERNAL_H
#define API_DAEMON_SNAPSHOT_INTERNAL_H

#include <jailer.pb-c.h>

#include "api/daemon/layers.h"
#include "api/daemon/record.h"
#include "api/daemon/sandbox_internal.h"
#include "api/daemon/snapshot.h"

#define SNAPSHOT_COPY_MS 300000U /* a memory, to or from a disk */

enum snapshot_state {
	SNAPSHOT_MAKING,
	SNAPSHOT_WHOLE,
	SNAPSHOT_GOING, /* there may be a file, and isn't to be */
	SNAPSHOT_GONE,	/* no file and no row, but still used */
};

struct snapshot {
	struct snapshot *next; /* older */
	struct snapshots *all;
	char id[SNAPSHOT_ID_LEN + 1];
	char name[SNAPSHOT_NAME_MAX + 1];
	char sandbox[SANDBOX_ID_LEN + 1];
	struct tenant *tenant;
	enum snapshot_state state;
	uint64_t bytes;
	int64_t created_unix_ms;
	uint64_t used_ms;  /* of a layer, monotonic: when it was last of use; 0 = before us */
	struct record rec; /* spec, profile, token, image and versions are what counts */
	uint64_t promised; /* of memory: it is being made, or loaded */
	struct rpc_pending *discard;
	struct loop_timer *retry;

	/* snapshot_make.c */
	struct origin *origin;
	bool holds_parent; /* its `forking` is ours */
	struct rpc_pending *call;
	bool parent_paused; /* by us, for its scratch disk */
	uint64_t paused_ns, begin_ns, stopped_ns;
	struct snapshot_end end;
	char msg[2 * ERR_MSG_MAX]; /* end's */
	snapshot_done *done;	   /* NULL: nobody waits */
	void *arg;

	/* snapshot_boot.c */
	unsigned users; /* sandboxes that came from it, and live */
	bool loaded;
	int fds[2]; /* loaded: state and memory; -1 */
	struct rpc_pending *load;
	uint8_t seal[SANDBOX_SEAL_MAX];
	size_t seal_len;
};

struct snapshots {
	struct sandboxes *table;
	struct store *store;
	const struct tenants *tenants;
	struct snapshot *first; /* newest first */
	size_t count;
};

/* One more, in state MAKING, without a row. NULL: no memory. */
struct snapshot *snapshot_add(struct snapshots *ss, struct tenant *tenant);
/* Its row, as it is now. 0 or -errno. */
MUST_USE int snapshot_store(const struct snapshot *p);
/* Its file isn't wanted: it is discarded as soon as that can be, then its row goes, and it itself
 * when it isn't used. */
void snapshot_discard(struct snapshot *p);
/* What p needs for that is over: looks again. */
void snapshot_poke(struct snapshot *p);
/* How many of the tenant's there are, those that are going included, and their bytes; without its
 * layers. */
void snapshots_used(const struct snapshots *ss, const struct tenant *t, uint64_t *ret_count,
		    uint64_t *ret_bytes);

/* snapshot_make.c: drops what is under way, without a word. */
void snapshot_make_end(struct snapshot *p);
/* snapshot_boot.c: the same, and its files. */
void snapshot_unload(struct snapshot *p);

#endif
