/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_internal.h - between cgroup.c and the two versions of the interface. */
#ifndef JAILER_CGROUP_INTERNAL_H
#define JAILER_CGROUP_INTERNAL_H

#include "jailer/cgroup.h"

#define CGROUP_CPU_PERIOD_US 100000U

/* The vCPUs whole, and half a CPU for the device threads. */
#define CGROUP_CPU_QUOTA_US(vcpus) \
	((uint64_t)(vcpus)*CGROUP_CPU_PERIOD_US + CGROUP_CPU_PERIOD_US / 2)

/* One value into one control file: 0 or -errno. */
MUST_USE int cgroup_write(int dir, const char *file, const char *value);
/* The same, with err's text. */
MUST_USE int cgroup_set(int dir, const char *file, const char *value, struct err *err);
MUST_USE int cgroup_set_u64(int dir, const char *file, uint64_t value, struct err *err);
/* cgroup_usage.c: the number of the line "KEY NUMBER" of a flat-keyed file such as cpu.stat; for
 * key
 * "" the number that is the whole text. -ENOENT: there is no such line; -EINVAL, -ERANGE: what
 * parse_u64 says of it. Pure. */
MUST_USE int cgroup_parse_key(const char *text, const char *key, uint64_t *ret);
/* The same, of a file; 0 if it isn't there. */
uint64_t cgroup_read_key(int dir, const char *file, const char *key);
/* Opens parent/name, a group: the descriptor or -errno. */
MUST_USE int cgroup_open(int parent, const char *name);

/* cgroup_v2.c: lets the groups below dir use our controllers; h->io and h->cpuset tell which of
 * those that not every kernel has are there. */
MUST_USE int cgroup_v2_enable(int dir, struct cgroup_host *h, struct err *err);
/* The parent's: no device can be opened below it. */
MUST_USE int cgroup_v2_close_devices(int dir, struct err *err);
/* What every jail has, and what depends on the request. */
MUST_USE int cgroup_v2_base(const struct cgroup_host *h, const struct cgroup *c, struct err *err);
MUST_USE int cgroup_v2_limit(const struct cgroup *c, const struct cgroup_limits *l,
			     struct err *err);
MUST_USE int cgroup_v2_limit_memory(const struct cgroup *c, uint64_t memory_bytes, struct err *err);

/* cgroup_v1.c: the same. */
MUST_USE int cgroup_v1_close_devices(int dir, struct err *err);
MUST_USE int cgroup_v1_base(const struct cgroup_host *h, const struct cgroup *c, struct err *err);
MUST_USE int cgroup_v1_limit(const struct cgroup *c, const struct cgroup_limits *l,
			     struct err *err);
MUST_USE int cgroup_v1_limit_memory(const struct cgroup *c, uint64_t memory_bytes, struct err *err);

#endif
