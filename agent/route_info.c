/* SPDX-License-Identifier: Apache-2.0 */
/* route_info.c - GET /health, /metrics, /envs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/httpd_internal.h"
#include "agent/json/text.h"
#include "base/fd.h"
#include "base/num.h"

#define PROC_MAX       4096
#define CPU_FIELDS     8 /* user nice system idle iowait irq softirq steal */
#define CPU_IDLE       3
#define CPU_IOWAIT     4
#define ENVS_BYTES_MAX (4 * ENV_BYTES_MAX)

void route_health(struct httpd *h, struct web_req *req)
{
	(void)h;
	web_answer(req, 204, NULL, "Cache-Control: no-store\r\n", NULL, 0);
}

/* ---- Metrics ----------------------------------------------------------------------------- */

/* "MemTotal:   2024 kB" -> bytes; 0 when it isn't there. */
static uint64_t mem_field(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p != NULL ? strtoull(p + strlen(name), NULL, 10) * KIB : 0;
}

static struct cpu_times cpu_now(void)
{
	struct cpu_times t = { 0 };
	char text[PROC_MAX], *p = text + 3;

	/* The first line: "cpu  1 2 3...". Longer files of many processors are cut. */
	CLEANUP(fd_closep) int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (n < 4)
		return t;
	text[n] = '\0';
	for (int i = 0; i < CPU_FIELDS; i++) {
		uint64_t v = strtoull(p, &p, 10);
		t.total += v;
		t.busy += i == CPU_IDLE || i == CPU_IOWAIT ? 0 : v;
	}
	return t;
}

/* Since the last call; since the start at the first one. */
static double cpu_share(struct httpd *h)
{
	const struct cpu_times now = cpu_now(), then = h->cpu;

	h->cpu = now;
	if (now.total <= then.total || now.busy < then.busy)
		return 0;
	return 100.0 * (double)(now.busy - then.busy) / (double)(now.total - then.total);
}

void route_metrics(struct httpd *h, struct web_req *req)
{
	uint64_t total, available, cache, disk_total = 0, disk_used = 0;
	char text[PROC_MAX] = "", out[640];
	struct statvfs fs;
	int n;

	if (fd_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0)
		text[0] = '\0';
	total = mem_field(text, "MemTotal:");
	available = mem_field(text, "MemAvailable:");
	cache = mem_field(text, "\nCached:");
	if (statvfs("/", &fs) == 0) {
		disk_total = (uint64_t)fs.f_blocks * fs.f_frsize;
		disk_used = disk_total - (uint64_t)fs.f_bfree * fs.f_frsize;
	}
	const uint64_t used = total - MIN(available, total);
	n = snprintf(out, sizeof(out),
		     "{\"ts\":%lld,\"cpu_count\":%ld,\"cpu_used_pct\":%.2f,\"mem_total\":%" PRIu64
		     ",\"mem_used\":%" PRIu64 ",\"mem_cache\":%" PRIu64
		     ",\"mem_total_mib\":%" PRIu64 ",\"mem_used_mib\":%" PRIu64
		     ",\"disk_used\":%" PRIu64 ",\"disk_total\":%" PRIu64 "}",
		     (long long)time(NULL), sysconf(_SC_NPROCESSORS_ONLN), cpu_share(h), total,
		     used, cache, total / MIB, used / MIB, disk_used, disk_total);
	web_answer(req, 200, "application/json", "Cache-Control: no-store\r\n", out, (size_t)n);
}

/* ---- Environment ------------------------------------------------------------------------- */

static int put_envs(struct buf *out, const struct env *e)
{
	int r = buf_put(out, "{", 1);

	for (size_t i = 0; r == 0 && i < e->count; i++) {
		const char *eq = strchr(e->list[i], '=');
		if (i > 0)
			r = buf_put(out, ",", 1);
		if (r == 0)
			r = json_put_string(out, e->list[i], (size_t)(eq - e->list[i]));
		if (r == 0)
			r = buf_put(out, ":", 1);
		if (r == 0)
			r = json_put_string(out, eq + 1, strlen(eq + 1));
	}
	return r < 0 ? r : buf_put(out, "}", 1);
}

void route_envs(struct httpd *h, struct web_req *req)
{
	struct buf out;

	buf_init(&out, ENVS_BYTES_MAX);
	if (put_envs(&out, &h->agent->envs) < 0)
		web_fail(req, 503, "out of memory");
	else
		web_answer(req, 200, "application/json", "Cache-Control: no-store\r\n",
			   buf_head(&out), buf_len(&out));
	buf_done(&out);
}
