/* SPDX-License-Identifier: Apache-2.0 */
/* usage.h - what a process costs its host, from /proc. For tests. */
#ifndef TESTS_NATIVE_USAGE_H
#define TESTS_NATIVE_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct usage {
	uint64_t own_bytes; /* resident, without mappings of guest_bytes and more */
	uint64_t fds;
	uint64_t threads;
	uint64_t cpu_ms; /* used so far, user and system */
};

/* 0 or -errno (-EACCES: a process that isn't dumpable shows this to root only). */
int usage_read(pid_t pid, uint64_t guest_bytes, struct usage *ret);

#endif
