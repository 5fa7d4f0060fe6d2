/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_log.h - what a build has to say: entries with a time, a level and the step that they belong
 * to. Bounded: when it is full, one entry says so and what follows isn't kept, so that a reader's
 * place in it never moves. What the guest wrote is kept as printable ASCII lines.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_BUILD_LOG_H
#define API_DAEMON_BUILD_LOG_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define BUILD_LOG_ENTRIES_MAX 8192U
#define BUILD_LOG_BYTES_MAX   (1024U * 1024U) /* of all messages */
#define BUILD_LOG_LINE_MAX    1024U
#define BUILD_LOG_PAGE	      100U /* entries of an answer */

enum build_log_level { BUILD_LOG_DEBUG, BUILD_LOG_INFO, BUILD_LOG_WARN, BUILD_LOG_ERROR };

struct build_log;

struct build_log *build_log_new(void);	    /* NULL = no memory */
void build_log_free(struct build_log *log); /* NULL is fine */
/* One entry; step 0 = of none, they count from 1. */
void build_log_add(struct build_log *log, enum build_log_level level, unsigned step,
		   const char *fmt, ...) PRINTF(4, 5);
/* Output of a step, cut into lines; the last one is kept until its end or build_log_flush. */
void build_log_output(struct build_log *log, unsigned step, const uint8_t *data, size_t len,
		      int is_stderr);
void build_log_flush(struct build_log *log);
size_t build_log_count(const struct build_log *log);
/* Entries from this one on, at most BUILD_LOG_PAGE:
 * [{"timestamp":...,"level":...,"message":...,"step":...}]. New reference, NULL = no memory. */
json_t *build_log_json(const struct build_log *log, uint64_t from);

#endif
