/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_internal.h - between cgroup.c and the two versions of the interface. */
#ifndef JAILER_CGROUP_INTERNAL_H
#define JAILER_CGROUP_INTERNAL_H

#include "jailer/cgroup.h"

/* One value into one control file: 0 or -errno. */
MUST_USE int cgroup_write(int dir, const char *file, const char *value);
MUST_USE int cgroup_write_u64(int dir, const char *file, uint64_t value);
/* The number after `key` in a flat-keyed file such as memory.events; 0 if it isn't there. */
uint64_t cgroup_read_key(int dir, const char *file, const char *key);

/* cgroup_v2.c: lets the groups below dir use our controllers. */
MUST_USE int cgroup_v2_enable(int dir, struct err *err);
MUST_USE int cgroup_v2_limit(const struct cgroup *c, const struct cgroup_limits *l,
			     struct err *err);
MUST_USE int cgroup_v1_limit(const struct cgroup *c, const struct cgroup_limits *l,
			     struct err *err);

#endif
