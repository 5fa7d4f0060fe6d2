/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_stack.h - jailer and daemon of this checkout, for ./dev bench start: in a directory and a
 * cgroup of their own, both removed at exit. What can't be done ends the benchmark and shows both
 * logs. One thread.
 */
#ifndef TESTS_BENCH_START_STACK_H
#define TESTS_BENCH_START_STACK_H

#include <jansson.h>

#include "base/compiler.h"

struct stack_programs {
	const char *daemon, *jailer, *vmm, *guest; /* files */
};

/* The directory, the store with `guest` as its kernel, and the jailer. */
void stack_set_up(const struct stack_programs *p);
/* A daemon with this depth of pool, and a connection to it. One at a time. */
void stack_start_daemon(unsigned depth);
void stack_stop_daemon(void);
/* One request to it: the answer, the caller's. body: NULL = none. */
MUST_USE json_t *stack_call(const char *method, const char *path, const json_t *body);
NORETURN void stack_die(const char *what, const char *why);

#endif
