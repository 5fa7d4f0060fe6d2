/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - time as plain numbers. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* Monotonic time, for deadlines and intervals. */
static inline uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}
static inline uint64_t now_ms(void)
{
	return now_ns() / UINT64_C(1000000);
}

#endif
