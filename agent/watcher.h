/* SPDX-License-Identifier: Apache-2.0 */
/* watcher.h - WatchDir streams and the watchers that clients poll: at most WATCHERS_MAX. */
#ifndef AGENT_WATCHER_H
#define AGENT_WATCHER_H

#include "api/rpc/rpc.h"
#include "base/compiler.h"
#include "base/loop.h"

#define WATCHERS_MAX 64
/* Events of one GetWatcherEvents answer; the rest waits for the next. */
#define WATCHER_EVENTS_MAX 1024

struct watcher_table;

MUST_USE int watcher_table_new(struct loop *l, struct watcher_table **ret);
/* Ends what is under way. NULL is fine. */
void watcher_table_free(struct watcher_table *t);

#endif
