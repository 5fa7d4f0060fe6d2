/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_command.h - one command in a running sandbox, through its agent, for casemated itself: its
 * output, bounded, and how it ended. What the guest says is hostile: no deadline depends on it.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_GUEST_COMMAND_H
#define API_DAEMON_GUEST_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/daemon/sandbox.h"
#include "base/compiler.h"
#include "base/loop.h"

#define GUEST_COMMAND_ARGS_MAX	 12U
#define GUEST_COMMAND_OUTPUT_MAX (64U * 1024U * 1024U) /* bytes; more ends it */

struct guest_command;

enum guest_end {
	GUEST_EXITED,	 /* code */
	GUEST_SIGNALLED, /* code = the signal */
	GUEST_TIMED_OUT,
	GUEST_REFUSED, /* the agent would not start it: msg */
	GUEST_LOST,    /* the agent is gone, broke the protocol, or wrote too much: msg */
	GUEST_END_COUNT
};

struct guest_result {
	enum guest_end end;
	uint32_t code;
	const char *msg; /* escaped; "" = none */
};

struct guest_command_config {
	const char *argv[GUEST_COMMAND_ARGS_MAX + 1]; /* ends with NULL */
	const char *const *envs; /* "NAME=VALUE", ends with NULL; NULL = none */
	const char *user;	 /* "" = the sandbox's default */
	const char *cwd;	 /* the same */
	uint64_t timeout_ms;	 /* 0 = none */
};

struct guest_command_ops {
	void (*started)(void *arg); /* it runs; NULL is fine */
	void (*output)(const uint8_t *data, size_t len, bool is_stderr, void *arg);
	/* Once; not after guest_command_free. The command is then the owner's to free. */
	void (*done)(const struct guest_result *res, void *arg);
};

/* Begins it; cfg's strings must outlive the call only, ops is static. 0, -ESTALE: the sandbox
 * doesn't run; -ENOMEM, -errno. */
MUST_USE int guest_command_begin(struct loop *l, const struct sandbox *s,
				 const struct guest_command_config *cfg,
				 const struct guest_command_ops *ops, void *arg,
				 struct guest_command **ret);
/* One that runs goes on without us. Also from within ops. NULL is fine. */
void guest_command_free(struct guest_command *c);

#endif
