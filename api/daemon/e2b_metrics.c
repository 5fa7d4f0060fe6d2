/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e2b_metrics.c - what a sandbox uses, as its control group counts it: never what the guest says.
 * There is no history: a request gets one sample, of now; processor use is since the sample before,
 * or since the start.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/e2b_view.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define IDS_MAX 100U

/* A number of a file of the group: the whole file, or the line that begins with key. 0 = none. */
static uint64_t group_number(const struct sandbox *s, const char *file, const char *key)
{
	char path[256], text[4096];
	const char *at = text;
	uint64_t n = 0;

	(void)snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%s", sandbox_cgroup(s), file);
	if (sandbox_cgroup(s)[0] == '\0' || fd_read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
		return 0;
	if (key != NULL) {
		at = strstr(text, key);
		at = at == NULL ? "" : at + strlen(key);
		at += strspn(at, " ");
	}
	for (; *at >= '0' && *at <= '9' && n < UINT64_MAX / 100; at++)
		n = n * 10 + (uint64_t)(*at - '0');
	return n;
}

static json_t *sample(const struct sandbox *s)
{
	const struct spec *spec = sandbox_spec(s);
	int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	int64_t age_ms = MAX(now - sandbox_created_unix_ms(s), (int64_t)1);
	uint64_t used_us = group_number(s, "cpu.stat", "usage_usec");
	uint64_t memory = group_number(s, "memory.current", NULL);
	double pct = (double)used_us / 10.0 / (double)age_ms;
	char time[E2B_TIME_LEN + 1];

	e2b_time(now, time);
	return json_pack("{s:s, s:I, s:i, s:f, s:I, s:I, s:I, s:I, s:I}", "timestamp", time,
			 "timestampUnix", (json_int_t)(now / 1000), "cpuCount", (int)spec->vcpus,
			 "cpuUsedPct", MIN(pct, 100.0 * spec->vcpus), "memUsed", (json_int_t)memory,
			 "memTotal", (json_int_t)spec->memory_bytes, "memCache", (json_int_t)0,
			 "diskUsed", (json_int_t)0, "diskTotal", (json_int_t)spec->scratch_bytes);
}

/* Is now within ?start and ?end, in seconds since 1970? */
static bool is_wanted(const struct http_req *req)
{
	const char *start = http_query(req, "start"), *end = http_query(req, "end");
	const uint64_t now = clock_ns(CLOCK_REALTIME) / UINT64_C(1000000000);
	uint64_t n;

	if (start != NULL && (parse_u64(start, 0, INT64_MAX, &n) < 0 || n > now))
		return false;
	return end == NULL || (parse_u64(end, 0, INT64_MAX, &n) == 0 && n >= now);
}

void e2b_metrics(struct http_req *req, void *arg)
{
	struct sandbox *s = service_find(req, arg);

	if (s != NULL)
		http_answer(req, 200, is_wanted(req) ? json_pack("[o]", sample(s)) : json_array());
}

void e2b_all_metrics(struct http_req *req, void *arg)
{
	const struct service *sv = arg;
	const char *ids = http_query(req, "sandbox_ids");
	json_t *all = json_object();

	for (unsigned i = 0; ids != NULL && *ids != '\0' && i < IDS_MAX; i++) {
		char id[SANDBOX_ID_LEN + 1];
		size_t len = strcspn(ids, ",");
		const struct sandbox *s = NULL;
		if (len == SANDBOX_ID_LEN) {
			memcpy(id, ids, len);
			id[len] = '\0';
			s = sandboxes_find(sv->sandboxes, id);
		}
		if (s != NULL && service_owns(req, s) && sandbox_state(s) == SANDBOX_RUNNING)
			(void)json_object_set_new(all, id, sample(s));
		ids += len + (ids[len] == ',');
	}
	http_answer(req, 200, json_pack("{s:o}", "sandboxes", all));
}
