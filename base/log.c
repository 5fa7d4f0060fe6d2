/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_WINDOW_MS 10000
#define LOG_HEAD_MAX  128

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};
_Static_assert(ARRAY_SIZE(level_names) == LOG_LEVEL_COUNT, "a name for each level");

static const char *log_role = "casemate";
static enum log_level log_max = LOG_LEVEL_INFO;
static uint64_t log_lines_dropped; /* atomic */

void log_setup(const char *role, enum log_level level)
{
	log_role = role;
	log_max = level;
}

int log_level_parse(const char *name, enum log_level *ret)
{
	for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

size_t log_escape(char *dst, size_t cap, const char *src, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	if (cap == 0)
		return 0;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)src[i];
		if (c >= 0x20 && c < 0x7f) {
			if (n + 1 >= cap)
				break;
			dst[n++] = (char)c;
		} else {
			if (n + 4 >= cap)
				break;
			dst[n++] = '\\';
			dst[n++] = 'x';
			dst[n++] = hex[c >> 4];
			dst[n++] = hex[c & 15];
		}
	}
	dst[n] = '\0';
	return n;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX];
	int head, saved = errno;
	uint64_t t;
	va_list ap;
	size_t n;

	if (level > log_max)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	t = now_ms();
	head = snprintf(line, LOG_HEAD_MAX, "%s %s[%llu.%03llu] %s ", level_names[level], log_role,
			(unsigned long long)(t / 1000), (unsigned long long)(t % 1000), event);
	n = head < 0 ? 0 : head >= LOG_HEAD_MAX ? LOG_HEAD_MAX - 1 : (size_t)head;
	n += log_escape(line + n, sizeof(line) - n - 1, text, strlen(text));
	line[n++] = '\n';
	/* A log that can't be written must not stop the work it describes. */
	while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR)
		continue;
	errno = saved;
}

bool log_allowed(struct log_limit *l)
{
	uint64_t now = now_ms() + 1; /* never 0 */
	uint64_t start = __atomic_load_n(&l->window_ms, __ATOMIC_RELAXED);

	if (start == 0 || now - start >= LOG_WINDOW_MS) {
		/* Losing this race only means that another thread opened the window. */
		if (__atomic_compare_exchange_n(&l->window_ms, &start, now, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			unsigned lost = __atomic_exchange_n(&l->dropped, 0U, __ATOMIC_RELAXED);
			__atomic_store_n(&l->used, 0U, __ATOMIC_RELAXED);
			if (lost > 0)
				log_warn("log.dropped", "lines=%u", lost);
		}
	}
	if (__atomic_fetch_add(&l->used, 1U, __ATOMIC_RELAXED) < l->burst)
		return true;
	__atomic_fetch_add(&l->dropped, 1U, __ATOMIC_RELAXED);
	__atomic_fetch_add(&log_lines_dropped, 1U, __ATOMIC_RELAXED);
	return false;
}

uint64_t log_dropped(void)
{
	return __atomic_load_n(&log_lines_dropped, __ATOMIC_RELAXED);
}
