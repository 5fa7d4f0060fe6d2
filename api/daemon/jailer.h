/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jailer.h - the daemon's connection to casemate-jailer: made, lost, and made again with
 * back-off. After each connect the jailer is asked for its List; the connection is up once that
 * has come, so nobody makes a jail before the leftovers are known.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_JAILER_H
#define API_DAEMON_JAILER_H

#include <jailer.pb-c.h>

#include "api/rpc/rpc.h"
#include "base/compiler.h"
#include "base/loop.h"

struct jailer;

#define JAILER_TOKEN_BYTES 32U

/* What is made over a connection outlives that by hold_seconds, for whoever has the token; 0: not
 * at all. */
struct jailer_config {
	struct loop *loop;
	const char *path; /* outlives it */
	uint64_t hold_seconds;
	const uint8_t *token; /* JAILER_TOKEN_BYTES, the same */
	/* An attempt to connect has succeeded or failed, at the latest when the connection that it
	 * made is lost; called by jailer_connect itself, too. NULL = nobody asks. */
	void (*tried)(void *arg);
	void *tried_arg;
};

/* Connecting begins with jailer_connect. */
MUST_USE int jailer_new(const struct jailer_config *cfg, struct jailer **ret);
void jailer_free(struct jailer *j);
void jailer_connect(struct jailer *j);

/* Is an attempt under way, whose outcome isn't known yet? */
bool jailer_is_trying(const struct jailer *j);
/* The connection, or NULL while the jailer is away. */
struct rpc_conn *jailer_conn(const struct jailer *j);
/* Why it is away, as one clause; "" when it is not. */
const char *jailer_problem(const struct jailer *j);

/* Does it keep what we have when the connection is lost, for the next one? */
bool jailer_holds(const struct jailer *j);

/* How many bytes of paused sandboxes it keeps at most; 0 = none, or it is away. */
uint64_t jailer_save_bytes_max(const struct jailer *j);

/* The same, of snapshots. */
uint64_t jailer_snapshot_bytes_max(const struct jailer *j);

/* One watcher, of the jails that exist at each (re)connection (resumed: what an earlier one made is
 * there), of each whose VMM has ended without anybody having asked for it, and of the connection's
 * loss, after the calls on it have ended. */
struct jailer_watch_ops {
	void (*up)(struct rpc_conn *conn, bool resumed,
		   Casemate__Jailer__V1__JailInfo *const *jails, size_t count, void *arg);
	void (*ended)(const Casemate__Jailer__V1__EventsResponse *jail, void *arg);
	void (*down)(void *arg);
};
void jailer_watch(struct jailer *j, const struct jailer_watch_ops *ops, void *arg);

#endif
