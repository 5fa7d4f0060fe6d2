/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - the process of a jail: cloned into its namespaces, led through the stages. */
#ifndef JAILER_SPAWN_H
#define JAILER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "jailer/stage.h"

struct spawned {
	pid_t pid;
	int pidfd;
};

/* How a process ended. */
struct ending {
	bool exited; /* else killed by a signal */
	int status;  /* exit status or signal number */
};

/*
 * Returns when casemate-vmm runs in the jail, or when the start has failed and the process is
 * reaped. env->report is set here. Only for a process with one thread: the child runs ordinary
 * code.
 */
MUST_USE int spawn(struct stage_env *env, struct spawned *ret, struct err *err);

/* Reaps a process that has ended: 0, or -EAGAIN while it lives. */
MUST_USE int spawn_reap(int pidfd, struct ending *ret);
/* SIGKILL; no error if it is gone. */
void spawn_kill(int pidfd);
/* Both, and waits for it: for a process that never got as far as being a jail. */
void spawn_end(int pidfd);

#endif
