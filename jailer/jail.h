/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail.h - the table of jails: which cell (cell.h) holds which sandbox's VMM, for whom.
 *
 *     WAITING --a cell is ready--> STARTING --VMM runs--> RUNNING --nothing is left--> ENDED
 * --asked for--> gone
 *
 * One that goes on with the scratch disk of another gets a copy of it before its VMM is started, in
 * steps of the loop.
 *
 * A jail that can't be made leaves the table at once and whoever asked for it is told why. An ended
 * one has nothing left on the host; only how it ended is kept, until somebody knows (Wait, Destroy,
 * Events) or its owner is gone. It counts against the maximum until then.
 *
 * Everything belongs to the loop's thread.
 */
#ifndef JAILER_JAIL_H
#define JAILER_JAIL_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "jailer/host.h"
#include "jailer/plan.h"
#include "jailer/pool.h"
#include "jailer/request.h"
#include "jailer/sparse.h"

/* Jails that don't run yet, at a time: each has all that its VMM will get open here. */
#define JAILS_MAKING_MAX 256U

enum jail_state { JAIL_WAITING, JAIL_STARTING, JAIL_RUNNING, JAIL_ENDED, JAIL_STATE_COUNT };

struct jail;
struct jails;

struct jail_waiter {
	struct jail_waiter *next; /* the jail's */
	/* The jail has ended; it and its waiters are gone after the last of these. */
	void (*ended)(struct jail_waiter *w, const struct ending *how, bool oom);
};

/* Is told the ends of an owner's jails, and of those that have none any more. */
struct jails_watch {
	struct jails_watch *next; /* the table's */
	const void *owner;
	/* Only of a jail whose end nobody waits for. False: it couldn't be passed on, and is kept.
	 * May not change the table. */
	bool (*ended)(struct jails_watch *w, const struct jail *j);
};

/* What casemated gets of a new jail; owned by the receiver. */
struct jail_ends {
	int control;
	int log;
	bool initrd;
};

/* The jail runs (ends are the callee's now), or j is NULL and err says why. */
typedef void jail_created_fn(void *arg, const struct jail *j, struct jail_ends *ends,
			     const struct err *err);

struct jail {
	struct jail *next; /* the table's */
	struct jails *jails;
	enum jail_state state;
	const void *owner; /* who is to answer for it; NULL = gone */
	struct request req;
	uint32_t uid;
	pid_t pid;
	char cgroup_path[CGROUP_PATH_MAX + 2 * CGROUP_NAME_MAX + 3];
	char label[LABEL_MAX];
	struct ending how;
	bool oom;
	struct jail_waiter *waiters;
	int handover; /* to the VMM, for another control socket; or -1 */
	int scratch;  /* its scratch disk, while it runs; or -1 */
	int log;      /* the end that casemated reads, kept for another casemated; or -1 */

	/* Until it runs. */
	struct pool_waiter line;
	struct plan plan;
	int source; /* what is copied to its scratch disk first; -1 = nothing */
	struct sparse copy;
	struct loop_timer *copying; /* of the next step */
	jail_created_fn *created;
	void *created_arg;

	struct cell *cell; /* NULL before and after */
};

struct jails_config {
	unsigned max;
	unsigned pool;	    /* cells that lie ready */
	unsigned pool_nics; /* the same with a network interface */
};

MUST_USE int jails_new(struct loop *l, const struct host *h, const struct jails_config *cfg,
		       struct jails **ret);
/* All must be gone (jails_left). */
void jails_free(struct jails *js);
unsigned jails_count(const struct jails *js);
unsigned jails_max(const struct jails *js);
unsigned jails_ready(const struct jails *js);
const struct jail *jails_first(const struct jails *js);
/* Jails, and cells of any kind: what is still on the host. */
unsigned jails_left(const struct jails *js);

/* -EAGAIN: JAILS_MAKING_MAX are being made. Either the return value is negative and err says why,
 * or created is called once, perhaps before this returns. */
MUST_USE int jail_create(struct jails *js, const struct request *q, const void *owner,
			 jail_created_fn *created, void *arg, struct err *err);
/* Sets the memory limit to the guest's memory and this many snapshots of it. -EBUSY: it doesn't
 * run (yet); or another -errno, with err. */
MUST_USE int jail_reserve(struct jail *j, unsigned snapshots, struct err *err);
/* The control socket and the log pipe of its casemate-egress, the caller's to close. -EBUSY: it
 * doesn't run (yet); -ENOTSUP: it has no network; or -errno; with err. */
MUST_USE int jail_open_network(struct jail *j, int ret[2], struct err *err);
struct jail *jail_find(struct jails *js, const char *id);
/* Calls w->ended when the jail has ended: before this returns, if it has. */
void jail_wait(struct jail *j, struct jail_waiter *w);
void jail_unwait(struct jail *j, struct jail_waiter *w);
/* Tells w at once of those that have ended. w is the caller's, until jails_unwatch. */
void jails_watch(struct jails *js, struct jails_watch *w);
void jails_unwatch(struct jails *js, struct jails_watch *w);
/* SIGKILL. The rest follows from the end of the process. One that is not running yet is not made;
 * those that wait for its end are told. */
void jail_kill(struct jail *j);
/* Another end of its VMM's control connection, which ends the one before, and of its log. -EBUSY:
 * it doesn't run; -EAGAIN: the VMM doesn't take it; or another -errno, with err. */
MUST_USE int jail_adopt(const struct jail *j, struct jail_ends *ret, struct err *err);
/* How many are its, in whatever state. */
unsigned jails_owned(const struct jails *js, const void *owner);
/* The owner is gone: so are its jails, soon. */
void jails_drop_owner(struct jails *js, const void *owner);
/* Only those that don't run yet. */
void jails_drop_unfinished(struct jails *js, const void *owner);
/* The same for all of them, and for what lies ready. Nothing new is made after this. */
void jails_kill_all(struct jails *js);

#endif
