/* SPDX-License-Identifier: Apache-2.0 */
/* rlimit.h - a process lowers its own resource limits (getrlimit(2)) for good. */
#ifndef BASE_RLIMIT_H
#define BASE_RLIMIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/compiler.h"
#include "base/err.h"

/* RLIMIT_LOWER(NOFILE, 64) is one element. */
#define RLIMIT_LOWER(what, value)                     \
	{                                             \
		RLIMIT_##what, value, "RLIMIT_" #what \
	}

struct rlimit_lower {
	__rlimit_resource_t what;
	uint64_t value; /* in the unit of that limit */
	const char *name;
};

/*
 * Sets each limit, soft and hard, to its value, or to what the caller's hard limit already is where
 * that is less: never more than was allowed. 0 or -errno and *err; those before it stay lowered.
 */
MUST_USE int rlimit_lower_all(const struct rlimit_lower *all, size_t count, struct err *err);

#endif
