/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_prometheus.c - GET /metrics: the daemon's own counters, and what each sandbox uses, in
 * Prometheus' text format. The operator's.
 *
 * Labels are bounded: a sandbox has rows while it runs, ROWS_MAX sandboxes at most, and of text
 * that a client chose there is the tenant's name, which only the operator gives.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/jailer.h"
#include "api/daemon/scrape.h"
#include "base/buf.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/num.h"

#define TEXT_MAX (1024U * 1024U)
#define ROWS_MAX 1000U

/* Too much is cut at a line: TEXT_MAX is room for all tenants there can be. */
PRINTF(2, 3) static void put(struct buf *b, const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	BUG_ON(n < 0 || (size_t)n >= sizeof(line));
	if (buf_put(b, line, (size_t)n) < 0)
		return;
}

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	put(b, "# HELP casemate_%s %s\n# TYPE casemate_%s %s\n", name, help, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, uint64_t value)
{
	head(b, name, type, help);
	put(b, "casemate_%s %" PRIu64 "\n", name, value);
}

/* By the way that each took: a pool that is missed shows as restore, or as cold. */
static void put_started(struct buf *b, const struct service *sv)
{
	static const enum sandbox_path paths[] = { SANDBOX_PATH_COLD, SANDBOX_PATH_RESTORE,
						   SANDBOX_PATH_POOL, SANDBOX_PATH_FORK,
						   SANDBOX_PATH_SNAPSHOT };

	head(b, "sandboxes_started_total", "counter", "Sandboxes that came to run.");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		put(b, "casemate_sandboxes_started_total{path=\"%s\"} %" PRIu64 "\n",
		    sandbox_path_name(paths[i]), sv->started[paths[i]]);
}

static void put_http(struct buf *b, const struct service *sv)
{
	struct http_counts c;

	http_count(sv->http, &c);
	one(b, "http_requests_total", "counter", "Requests that have begun.", c.requests);
	one(b, "http_errors_total", "counter", "Requests answered with 500 or more.", c.errors);
	one(b, "http_malformed_total", "counter", "Requests refused as malformed.", c.malformed);
	one(b, "http_evicted_total", "counter", "Idle connections that made room.", c.evicted);
	one(b, "http_connections", "gauge", "Connections of clients.", c.conns);
}

static void put_tenants(struct buf *b, const struct service *sv)
{
	head(b, "tenant_sandboxes", "gauge", "Sandboxes of a tenant.");
	for (size_t i = 0; i < tenants_count(sv->auth.tenants); i++) {
		const struct tenant *t = tenants_at(sv->auth.tenants, i);
		put(b, "casemate_tenant_sandboxes{tenant=\"%s\"} %" PRIu64 "\n", t->limits.name,
		    t->sandboxes);
	}
	head(b, "tenant_memory_bytes", "gauge", "Memory of a tenant's sandboxes.");
	for (size_t i = 0; i < tenants_count(sv->auth.tenants); i++) {
		const struct tenant *t = tenants_at(sv->auth.tenants, i);
		put(b, "casemate_tenant_memory_bytes{tenant=\"%s\"} %" PRIu64 "\n", t->limits.name,
		    t->memory);
	}
}

static void put_pool(struct buf *b, const struct service *sv)
{
	json_t *shapes = sandboxes_pool_json(sv->sandboxes), *s;
	size_t i;

	head(b, "pool_spares", "gauge", "Virtual machines that lie ready.");
	json_array_foreach(shapes, i, s)
	{
		put(b,
		    "casemate_pool_spares{image=\"%.64s\",vcpus=\"%d\",memory_bytes=\"%lld\"} %d\n",
		    json_string_value(json_object_get(s, "image")),
		    (int)json_integer_value(json_object_get(s, "vcpus")),
		    (long long)json_integer_value(json_object_get(s, "memory_bytes")),
		    (int)json_integer_value(json_object_get(s, "spares")));
	}
	json_decref(shapes);
}

/* One metric of all sandboxes: those that ended meanwhile have none. */
static void put_rows(struct buf *b, const struct scrape *m, const char *name,
		     void (*row)(struct buf *b, const char *labels, const struct usage *u))
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct sandbox *s = scrape_sandbox(m, &m->list[i]);
		char labels[160];
		if (s == NULL)
			continue;
		(void)snprintf(labels, sizeof(labels), "casemate_%s{id=\"%s\",tenant=\"%.64s\"}",
			       name, sandbox_id(s), sandbox_tenant(s)->limits.name);
		row(b, labels, &m->list[i].wait.got);
	}
}

static void row_cpu(struct buf *b, const char *labels, const struct usage *u)
{
	put(b, "%s %" PRIu64 ".%06" PRIu64 "\n", labels, u->cpu_us / 1000000, u->cpu_us % 1000000);
}

static void row_memory(struct buf *b, const char *labels, const struct usage *u)
{
	put(b, "%s %" PRIu64 "\n", labels, u->memory_bytes);
}

static void row_peak(struct buf *b, const char *labels, const struct usage *u)
{
	if (u->memory_peak_bytes != 0) /* else the kernel doesn't keep it */
		put(b, "%s %" PRIu64 "\n", labels, u->memory_peak_bytes);
}

static void put_sandboxes(struct buf *b, const struct scrape *m)
{
	head(b, "sandbox_cpu_seconds_total", "counter", "Processor time of a sandbox's jail.");
	put_rows(b, m, "sandbox_cpu_seconds_total", row_cpu);
	head(b, "sandbox_memory_bytes", "gauge", "Memory of a sandbox's jail.");
	put_rows(b, m, "sandbox_memory_bytes", row_memory);
	head(b, "sandbox_memory_peak_bytes", "gauge", "The most that it ever was.");
	put_rows(b, m, "sandbox_memory_peak_bytes", row_peak);
}

static void answer(struct scrape *m)
{
	const struct service *sv = m->sv;
	struct buf b;

	buf_init(&b, TEXT_MAX);
	one(&b, "up_seconds", "gauge", "Since the daemon's start.",
	    (now_ms() - sv->started_ms) / 1000);
	one(&b, "jailer_up", "gauge", "Is the jailer there?", jailer_conn(sv->jailer) != NULL);
	one(&b, "sandboxes", "gauge", "Sandboxes that live.", sandboxes_live(sv->sandboxes));
	one(&b, "sandboxes_max", "gauge", "How many there may be.", sv->sandboxes_max);
	put_started(&b, sv);
	one(&b, "sandboxes_ended_total", "counter", "Sandboxes that ran and ended.", sv->ended);
	one(&b, "sandboxes_failed_total", "counter", "Sandboxes that never ran.", sv->failed);
	put_http(&b, sv);
	put_tenants(&b, sv);
	put_pool(&b, sv);
	put_sandboxes(&b, m);
	http_text(m->req, "text/plain; version=0.0.4; charset=utf-8", (const char *)buf_head(&b),
		  buf_len(&b));
	buf_done(&b);
}

void service_prometheus(struct http_req *req, void *arg)
{
	const struct service *sv = arg;
	struct scrape *m;

	if (!auth_admin(req))
		return;
	m = scrape_new(req, sv, MIN(scrape_running(sv), ROWS_MAX), answer);
	if (m == NULL)
		return;
	scrape_add_all(m);
	scrape_run(m);
}
