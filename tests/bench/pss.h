/* SPDX-License-Identifier: Apache-2.0 */
/* pss.h - what a VMM costs beside the memory of its guest. */
#ifndef TESTS_BENCH_PSS_H
#define TESTS_BENCH_PSS_H

#include <stdint.h>
#include <sys/types.h>

/* Pss (proc(5), smaps) in KiB of every mapping of the process but the guest's RAM, of ram_kib: one
 * mapping at least that large, or several that adjoin and together are; negative: -errno. */
double pss_without_ram_kib(pid_t pid, uint64_t ram_kib);

#endif
