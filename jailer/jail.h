/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail.h - the table of jails and the life of each.
 *
 *     RUNNING --process ended--> CLEANING --cgroup empty and removed--> ENDED --asked for--> gone
 *
 * An ended jail has nothing left on the host; only how it ended is kept, until somebody has asked
 * (Wait, Destroy) or its owner is gone. It counts against the maximum until then. The identity
 * (slot) goes back at ENDED and not before.
 *
 * Everything belongs to the loop's thread.
 */
#ifndef JAILER_JAIL_H
#define JAILER_JAIL_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "jailer/host.h"
#include "jailer/request.h"
#include "jailer/spawn.h"

enum jail_state { JAIL_RUNNING, JAIL_CLEANING, JAIL_ENDED, JAIL_STATE_COUNT };

struct jails;

struct jail_waiter {
	struct jail_waiter *next; /* the jail's */
	/* The jail has ended; it and its waiters are gone after the last of these. */
	void (*ended)(struct jail_waiter *w, const struct ending *how, bool oom);
};

struct jail {
	struct jail *next; /* the table's */
	struct jails *jails;
	enum jail_state state;
	const void *owner; /* who is to answer for it; NULL = gone */
	struct request req;
	uint32_t slot;
	uint32_t uid;
	pid_t pid;
	int pidfd;
	struct loop_io *io;	  /* watches pidfd */
	struct loop_timer *retry; /* of cleaning */
	unsigned retries;
	struct cgroup cgroup;
	char cgroup_path[2 * CGROUP_NAME_MAX + 2];
	char label[LABEL_MAX];
	struct ending how;
	bool oom;
	struct jail_waiter *waiters;
};

/* What casemated gets of a new jail; owned by the receiver. */
struct jail_ends {
	int control;
	int log;
	bool initrd;
};

MUST_USE int jails_new(struct loop *l, const struct host *h, unsigned max, struct jails **ret);
/* All must have ended. */
void jails_free(struct jails *js);
unsigned jails_count(const struct jails *js);
unsigned jails_max(const struct jails *js);
const struct jail *jails_first(const struct jails *js);

MUST_USE int jail_create(struct jails *js, const struct request *q, const void *owner,
			 const struct jail **ret, struct jail_ends *ret_ends, struct err *err);
struct jail *jail_find(struct jails *js, const char *id);
/* Calls w->ended when the jail has ended: before this returns, if it has. */
void jail_wait(struct jail *j, struct jail_waiter *w);
void jail_unwait(struct jail *j, struct jail_waiter *w);
/* SIGKILL. The rest follows from the end of the process. */
void jail_kill(struct jail *j);
/* The owner is gone: so are its jails, soon. */
void jails_drop_owner(struct jails *js, const void *owner);
/* The same for all of them. */
void jails_kill_all(struct jails *js);

#endif
