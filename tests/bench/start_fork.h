/* SPDX-License-Identifier: Apache-2.0 */
/* start_fork.h - the rows of ./dev bench start that are about forks. */
#ifndef TESTS_BENCH_START_FORK_H
#define TESTS_BENCH_START_FORK_H

#include <stddef.h>

/* n live forks of a guest that has written 64 MiB, one after the other, and the rows about them.
 * The stack is set up, without a daemon. */
void start_fork_rows(size_t n, const char *where);

#endif
