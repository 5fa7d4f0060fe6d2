/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.h - the process of a jail: cloned into its namespaces (spawner.h), talked to over its
 * report socket until it has become casemate-vmm. Nothing here waits. Any thread of a process with
 * one: the child runs ordinary code.
 */
#ifndef JAILER_SPAWN_H
#define JAILER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "jailer/spawner.h"
#include "jailer/stage.h"

struct spawned {
	pid_t pid; /* 0 and -1 until it is born (spawn_receive) */
	int pidfd;
	int report; /* our end, non-blocking */
};

/* How a process ended. */
struct ending {
	bool exited; /* else killed by a signal */
	int status;  /* exit status or signal number */
};

/* Does this kernel let us make user namespaces? Tried in a process of its own: 0 or why not. */
MUST_USE int spawn_probe_userns(void);

/* Asks for the process, which begins with its stages. env->report is set meanwhile. */
MUST_USE int spawn(struct spawner *by, struct stage_env *env, struct spawned *ret, struct err *err);

/* 1: *ret is what it says; with REPORT_BORN without an error *s has its pid and pidfd. 0: it has
 * closed its end (exec or death; not born yet: the spawner has died). -EAGAIN: nothing yet;
 * -EPROTO: not a report. */
MUST_USE int spawn_receive(struct spawned *s, struct stage_report *ret);
/* Answers REPORT_MAP: its user namespace has this one uid and gid. */
MUST_USE int spawn_map(const struct spawned *s, uint32_t uid);
/* Answers REPORT_READY: o's descriptors are fds. */
MUST_USE int spawn_claim(const struct spawned *s, struct stage_order *o,
			 const struct stage_fd *fds);

/* Reaps a process that has ended: 0, or -EAGAIN while it lives. */
MUST_USE int spawn_reap(int pidfd, struct ending *ret);
/* SIGKILL; no error if it is gone. */
void spawn_kill(int pidfd);

#endif
