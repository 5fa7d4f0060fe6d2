/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_stack.h - jailer and daemon of this checkout, for ./dev bench start: in a directory and a
 * cgroup of their own, both removed at exit. What can't be done ends the benchmark and shows both
 * logs. One thread.
 */
#ifndef TESTS_BENCH_START_STACK_H
#define TESTS_BENCH_START_STACK_H

#include <jansson.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/num.h"

#define STACK_MEMORY (64 * MIB) /* of a sandbox, unless said otherwise */
#define STACK_MAX    1000U	/* sandboxes at a time */

struct stack_programs {
	const char *daemon, *jailer, *vmm, *guest; /* files */
	const char *egress;			   /* sandboxes may have networks; NULL = none */
	const char *listen;			   /* ADDRESS:PORT for casemated; NULL = none */
	unsigned max;				   /* sandboxes at a time; 0 = STACK_MAX */
};

/* The directory, the store with `guest` as its kernel, and the jailer. */
void stack_set_up(const struct stack_programs *p);
/* A daemon with this depth of pool, and a connection to it. One at a time. */
void stack_start_daemon(unsigned depth);
void stack_stop_daemon(void);
/* The same, and this pool is full of VMs of STACK_MEMORY. */
void stack_start_pool(unsigned depth);
/* Until so many VMs lie ready. */
void stack_wait_for_spares(unsigned want);
/* One request to it: the answer, the caller's. body: NULL = none. */
MUST_USE json_t *stack_call(const char *method, const char *path, const json_t *body);
/* POST /v1/sandboxes with STACK_MEMORY: the answer, the caller's. */
MUST_USE json_t *stack_create(void);
void stack_destroy(const char *id);
/* In a process that was forked: a connection of its own, instead of the parent's. */
void stack_reconnect(void);
/* CPU time that a process has used so far, and its children that are reaped: ns. */
struct stack_cpu {
	uint64_t daemon, jailer, vmms;
};
void stack_cpu(struct stack_cpu *ret);
/* Resident memory, in KiB, of casemated and of the jailer. */
double stack_daemon_kib(void);
double stack_jailer_kib(void);
/* MemAvailable, in KiB. */
double stack_available_kib(void);
NORETURN void stack_die(const char *what, const char *why);

#endif
