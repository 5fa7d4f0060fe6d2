/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h - changes of a directory or of a whole tree, by inotify.
 *
 * A watch has an inotify instance of its own. What happened is fetched one event at a time, so
 * that a consumer who is slow leaves the rest to the kernel's queue, which is bounded; when that
 * has overflowed, the watch is at its end. With `recursive`, directories that appear are watched
 * too, and what was in them by then is told as created. Symlinks are not followed. One thread.
 */
#ifndef AGENT_WATCH_H
#define AGENT_WATCH_H

#include <agent.pb-c.h>
#include <stdbool.h>

#include "agent/place.h"
#include "base/compiler.h"
#include "base/err.h"

#define WATCH_DIRS_MAX 8192 /* of one watch */

struct watch;

struct watch_event {
	char name[PATH_MAX]; /* relative to what is watched; "" = itself */
	Casemate__Agent__V1__EventType type;
};

/* Takes p's rights by itself. 0, -ENOENT, -ENOTDIR, -EINVAL (a network file system, unless they are
 * allowed), -E2BIG (too many directories), -errno. */
MUST_USE int watch_open(const struct place *p, bool recursive, bool network, struct watch **ret,
			struct err *err);
void watch_close(struct watch *w);
/* To wait for once watch_next has returned 0: readable when there are events again. */
int watch_fd(const struct watch *w);
/* 1 (an event), 0 (none at the moment), -errno (-ENOBUFS: events were lost). */
MUST_USE int watch_next(struct watch *w, struct watch_event *ret);
const struct place *watch_place(const struct watch *w);

#endif
