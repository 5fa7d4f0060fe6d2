/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e2b_metrics.c - what a sandbox uses, as the kernel counts it (usage.h). There is no history: a
 * request gets one sample, of now; processor use is since the sample before, or since the start.
 */
#include <errno.h>
#include <string.h>

#include "api/daemon/e2b_view.h"
#include "api/daemon/scrape.h"
#include "base/clock.h"
#include "base/num.h"

#define IDS_MAX 100U

static json_t *sample(const struct sandbox *s, const struct usage *u)
{
	const struct spec *spec = sandbox_spec(s);
	int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	char time[E2B_TIME_LEN + 1];

	e2b_time(now, time);
	return json_pack("{s:s, s:I, s:i, s:f, s:I, s:I, s:I, s:I, s:I}", "timestamp", time,
			 "timestampUnix", (json_int_t)(now / 1000), "cpuCount", (int)spec->vcpus,
			 "cpuUsedPct", MIN(u->cpu_pct, 100.0 * spec->vcpus), "memUsed",
			 (json_int_t)MIN(u->memory_bytes, (uint64_t)INT64_MAX), "memTotal",
			 (json_int_t)spec->memory_bytes, "memCache", (json_int_t)0, "diskUsed",
			 (json_int_t)0, "diskTotal", (json_int_t)spec->scratch_bytes);
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

/* NULL: there is no sample; it may have ended meanwhile. */
static json_t *sample_of(const struct scrape *m, const struct scraped *x)
{
	const struct sandbox *s = scrape_sandbox(m, x);

	return s == NULL ? NULL : sample(s, &x->wait.got);
}

static void answer_one(struct scrape *m)
{
	json_t *one = sample_of(m, &m->list[0]);

	if (one != NULL)
		http_answer(m->req, 200, json_pack("[o]", one));
	else if (m->list[0].wait.code == -ENOENT)
		http_answer(m->req, 200, json_array());
	else
		http_error(m->req, 503, "unavailable", "the jailer can't be asked");
}

static void answer_all(struct scrape *m)
{
	json_t *all = json_object();

	for (unsigned i = 0; i < m->count; i++) {
		json_t *one = sample_of(m, &m->list[i]);
		if (one != NULL)
			(void)json_object_set_new(all, m->list[i].id, one);
	}
	http_answer(m->req, 200, json_pack("{s:o}", "sandboxes", all));
}

void e2b_metrics(struct http_req *req, void *arg)
{
	struct sandbox *s = service_find(req, arg);
	struct scrape *m;

	if (s == NULL)
		return;
	if (!is_wanted(req)) {
		http_answer(req, 200, json_array());
		return;
	}
	m = scrape_new(req, arg, 1, answer_one);
	if (m == NULL)
		return;
	scrape_add(m, s);
	scrape_run(m);
}

void e2b_all_metrics(struct http_req *req, void *arg)
{
	const struct service *sv = arg;
	const char *ids = http_query(req, "sandbox_ids");
	struct scrape *m = scrape_new(req, sv, IDS_MAX, answer_all);

	if (m == NULL)
		return;
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
			scrape_add(m, s);
		ids += len + (ids[len] == ',');
	}
	scrape_run(m);
}
