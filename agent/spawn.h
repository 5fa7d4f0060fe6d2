/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.h - from a plan to a running child.
 *
 * The agent is single-threaded, so a plain fork is safe, and unlike vfork it never leaves PID 1
 * waiting for a child that somebody stopped. What fails between fork and exec arrives on a pipe
 * that closes by itself at exec: the caller reads it from its loop (spawn_result).
 */
#ifndef AGENT_SPAWN_H
#define AGENT_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/env.h"
#include "agent/user.h"
#include "api/rpc/rpc.h"
#include "base/compiler.h"

struct spawn_plan {
	const char *cmd;   /* searched in the child's PATH unless it has a slash */
	char *const *argv; /* NULL-terminated, argv[0] included */
	const struct env *env;
	const char *cwd;
	bool cwd_implied; /* nobody asked for it: "/" will do if it can't be entered */
	const struct user *user;
	bool stdin_pipe; /* else /dev/null; not for a terminal */
	bool pty;
	uint16_t cols, rows; /* of the terminal; 0 = 80x24 */
};

/* Our ends, non-blocking and close-on-exec; -1 where there is none. With a terminal, out is its
 * master and in a duplicate of it. */
struct spawn_child {
	pid_t pid;
	int in, out, err;
	int status; /* for spawn_result */
};

/* 0 (the caller owns everything in *ret), or -errno with nothing left behind. */
MUST_USE int spawn_start(const struct spawn_plan *plan, struct spawn_child *ret);

/*
 * Reads the status pipe: -EAGAIN (not yet), 0 (the child runs, or died without a word), or the
 * reason as negative errno with *ret_code and err ready for the caller to send.
 */
MUST_USE int spawn_result(int status_fd, const char *cmd, const char *cwd, enum rpc_code *ret_code,
			  struct err *err);

#endif
