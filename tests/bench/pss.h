/* SPDX-License-Identifier: Apache-2.0 */
/* pss.h - what a VMM costs beside the memory of its guest. */
#ifndef TESTS_BENCH_PSS_H
#define TESTS_BENCH_PSS_H

#include <stdint.h>
#include <sys/types.h>

/* Pss (proc(5), smaps) in KiB of every mapping of the process that is smaller than ram_kib, so
 * without the guest's RAM; negative: -errno. */
double pss_without_ram_kib(pid_t pid, uint64_t ram_kib);

#endif
