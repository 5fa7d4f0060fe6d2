/* SPDX-License-Identifier: Apache-2.0 */
/* jail_bench.h - the ways to a jailed process that bench_jail compares. All end the run, with a
 * line on standard error, when they can't go on. */
#ifndef TESTS_BENCH_JAIL_BENCH_H
#define TESTS_BENCH_JAIL_BENCH_H

#include <stdint.h>

#include "base/compiler.h"

NORETURN void jail_bench_die(const char *what, const char *why);

/* ---- casemate-jailer, with jail_hello in the place of casemate-vmm ---- */

struct jailer;

/* dir: its own, which must exist; name: of its cgroup; pool: how many jails lie ready. */
struct jailer *jailer_start(const char *program, const char *hello, const char *dir,
			    const char *name, unsigned pool);
/* From the request to the byte that the jailed program writes: ns. Waits for the pool before, and
 * destroys the jail after it. */
uint64_t jailer_measure(struct jailer *j);
void jailer_stop(struct jailer *j);

/* ---- Programs that jail by themselves ---- */

/* The same program in bubblewrap with all namespaces, no capability and a root with nothing else:
 * from before fork() to the byte. 0 = there is no bwrap, or this host doesn't let it. */
uint64_t bwrap_measure(const char *root);
/* QEMU with its system-call filter and no machine, until it greets on its monitor. 0 as above. */
uint64_t qemu_measure(void);

#endif
