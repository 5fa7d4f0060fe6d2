/* SPDX-License-Identifier: Apache-2.0 */
/* start_alive.h - many sandboxes alive at once: whether the last are made as fast as the first, and
 * what they cost. */
#ifndef TESTS_BENCH_START_ALIVE_H
#define TESTS_BENCH_START_ALIVE_H

#include "tests/bench/start_stack.h"

#define ALIVE_MAX STACK_MAX

/* n: at least 1. */
void start_alive_rows(unsigned n, const char *where);

#endif
