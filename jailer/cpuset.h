/* SPDX-License-Identifier: Apache-2.0 */
/* cpuset.h - lists of CPUs and memory nodes as the kernel's cpusets have them: "0-3,8". Pure. */
#ifndef JAILER_CPUSET_H
#define JAILER_CPUSET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define CPUSET_NUMBERS 4096 /* each is below that */

struct cpuset {
	uint64_t bits[CPUSET_NUMBERS / 64];
};

/* A list of at least one number or ascending range: 0 and *ret, or -EINVAL. */
MUST_USE int cpuset_parse(const char *list, struct cpuset *ret);
/* Is everything in a in b as well? */
bool cpuset_within(const struct cpuset *a, const struct cpuset *b);

#endif
