/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/build_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/e2b_view.h"
#include "api/daemon/service.h"
#include "base/clock.h"
#include "base/num.h"

struct entry {
	int64_t unix_ms;
	enum build_log_level level;
	unsigned step;
	char *text;
};

struct partial {
	unsigned step;
	size_t len;
	char text[BUILD_LOG_LINE_MAX];
};

struct build_log {
	struct entry *entries;
	size_t count, cap, bytes;
	bool full;
	struct partial partial[2]; /* standard output, standard error */
};

struct build_log *build_log_new(void)
{
	return calloc(1, sizeof(struct build_log));
}

void build_log_free(struct build_log *log)
{
	if (log == NULL)
		return;
	for (size_t i = 0; i < log->count; i++)
		free(log->entries[i].text);
	free(log->entries);
	free(log);
}

size_t build_log_count(const struct build_log *log)
{
	return log->count;
}

static bool make_room(struct build_log *log)
{
	const size_t cap = log->cap == 0 ? 64 : log->cap * 2;
	struct entry *e;

	if (log->count < log->cap)
		return true;
	e = reallocarray(log->entries, cap, sizeof(*e));
	if (e == NULL)
		return false;
	log->entries = e;
	log->cap = cap;
	return true;
}

static void append(struct build_log *log, enum build_log_level level, unsigned step,
		   const char *text)
{
	char *copy;

	if (!make_room(log))
		return;
	copy = strdup(text);
	if (copy == NULL)
		return;
	log->bytes += strlen(text);
	log->entries[log->count++] =
		(struct entry){ .unix_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000),
				.level = level,
				.step = step,
				.text = copy };
}

/* Room is left for what the builder itself says at the end. */
static bool takes_output(struct build_log *log, unsigned step)
{
	if (log->full)
		return false;
	if (log->count < BUILD_LOG_ENTRIES_MAX && log->bytes < BUILD_LOG_BYTES_MAX)
		return true;
	log->full = true;
	append(log, BUILD_LOG_WARN, step, "the log is full: output that follows isn't kept");
	return false;
}

void build_log_add(struct build_log *log, enum build_log_level level, unsigned step,
		   const char *fmt, ...)
{
	char raw[BUILD_LOG_LINE_MAX], text[BUILD_LOG_LINE_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	n = (int)service_clean_text(text, sizeof(text) - 1, raw, strlen(raw));
	text[n] = '\0';
	build_log_flush(log);
	append(log, level, step, text);
}

static void end_line(struct build_log *log, int which)
{
	struct partial *p = &log->partial[which];
	char text[BUILD_LOG_LINE_MAX * 4 + 1];
	size_t n = service_clean_text(text, sizeof(text) - 1, p->text, p->len);

	p->len = 0;
	text[n] = '\0';
	if (takes_output(log, p->step))
		append(log, which == 0 ? BUILD_LOG_INFO : BUILD_LOG_WARN, p->step, text);
}

void build_log_output(struct build_log *log, unsigned step, const uint8_t *data, size_t len,
		      int is_stderr)
{
	struct partial *p = &log->partial[is_stderr != 0];

	p->step = step;
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n') {
			end_line(log, is_stderr != 0);
			continue;
		}
		if (p->len == sizeof(p->text))
			end_line(log, is_stderr != 0);
		p->text[p->len++] = (char)data[i];
	}
}

void build_log_flush(struct build_log *log)
{
	for (int i = 0; i < 2; i++)
		if (log->partial[i].len > 0)
			end_line(log, i);
}

static json_t *entry_json(const struct entry *e)
{
	static const char *const levels[] = {
		[BUILD_LOG_DEBUG] = "debug",
		[BUILD_LOG_INFO] = "info",
		[BUILD_LOG_WARN] = "warn",
		[BUILD_LOG_ERROR] = "error",
	};
	char when[E2B_TIME_LEN + 1];
	json_t *o;

	e2b_time(e->unix_ms, when);
	o = json_pack("{s:s, s:s, s:s}", "timestamp", when, "level", levels[e->level], "message",
		      e->text);
	if (o != NULL && e->step > 0)
		(void)json_object_set_new(o, "step", json_sprintf("%u", e->step));
	return o;
}

json_t *build_log_json(const struct build_log *log, uint64_t from)
{
	json_t *list = json_array();

	for (uint64_t i = from; i < log->count && i - from < BUILD_LOG_PAGE; i++)
		if (json_array_append_new(list, entry_json(&log->entries[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}
