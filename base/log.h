/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line an event on stderr: `LEVEL ROLE EVENT key=value ...`.
 *
 *     log_info("vm.start", "id=%s vcpus=%u", id, n);
 *
 * Control characters in the formatted text are escaped as \xNN and a line ends at LOG_LINE_MAX
 * bytes, so nothing that a guest or client wrote can forge a line. One write(2) a line; any
 * thread; works under seccomp (needs write on fd 2 only; the time comes from the vDSO).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define LOG_LINE_MAX 1024

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_COUNT
};

/* role: a literal such as "vmm". Lines above `level` are dropped. Call once before threads start.
 */
void log_setup(const char *role, enum log_level level);
/* Level from its name ("error", "warn", "info", "debug"): 0 or -EINVAL. */
MUST_USE int log_level_parse(const char *name, enum log_level *ret);

/* event: a literal. errno is kept. */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);

#define log_error(event, ...) log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_event(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

/*
 * A site that a guest or client can trigger at will allows `burst` lines in each 10 s window;
 * the first line of the next window tells how many were dropped. Static storage; any thread.
 *     static struct log_limit lim = LOG_LIMIT(5);
 *     if (log_allowed(&lim)) log_warn(...);
 */
struct log_limit {
	unsigned burst;
	unsigned used;	    /* atomic */
	unsigned dropped;   /* atomic */
	uint64_t window_ms; /* atomic: start of the current window */
};
#define LOG_LIMIT(n)         \
	{                    \
		.burst = (n) \
	}
bool log_allowed(struct log_limit *limit);
/* Lines that all sites together have suppressed since the start. Any thread. */
uint64_t log_dropped(void);

/* Escapes control characters and non-ASCII of src into dst as \xNN (always terminated, cut where
 * the next character doesn't fit whole): the length. A backslash stays as it is, so that text
 * which passes several processes isn't escaped again at each. Pure. */
size_t log_escape(char *dst, size_t cap, const char *src, size_t len);

#endif
