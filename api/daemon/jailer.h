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

/* path must outlive it. Connecting begins with jailer_connect. */
MUST_USE int jailer_new(struct loop *l, const char *path, struct jailer **ret);
void jailer_free(struct jailer *j);
void jailer_connect(struct jailer *j);

/* The connection, or NULL while the jailer is away. */
struct rpc_conn *jailer_conn(const struct jailer *j);
/* Why it is away, as one clause; "" when it is not. */
const char *jailer_problem(const struct jailer *j);

/* How many bytes of paused sandboxes it keeps at most; 0 = none, or it is away. */
uint64_t jailer_save_bytes_max(const struct jailer *j);

typedef void jailer_up_fn(struct rpc_conn *conn, Casemate__Jailer__V1__JailInfo *const *jails,
			  size_t count, void *arg);
typedef void jailer_ended_fn(const Casemate__Jailer__V1__EventsResponse *jail, void *arg);
/* One watcher: up is called at each (re)connection with the jails that exist, ended for each whose
 * VMM has ended without anybody having asked for it. */
void jailer_watch(struct jailer *j, jailer_up_fn *up, jailer_ended_fn *ended, void *arg);

#endif
