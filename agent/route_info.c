/* SPDX-License-Identifier: Apache-2.0 */
/* route_info.c - GET /health, /metrics, /envs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/httpd_internal.h"
#include "base/fd.h"
#include "base/json_text.h"
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

/* "MemTotal:   2024 kB" -> bytes. */
static int mem_field(const char *text, const char *name, uint64_t *ret)
{
	const char *p = strstr(text, name);
	uint64_t kib;

	if (p == NULL)
		return -ENOENT;
	p += strlen(name);
	p += strspn(p, " ");
	if (parse_u64_at(&p, 10, UINT64_MAX / KIB, &kib) < 0 || strncmp(p, " kB\n", 4) != 0)
		return -EINVAL;
	*ret = kib * KIB;
	return 0;
}

static int cpu_now(struct cpu_times *ret)
{
	struct cpu_times t = { 0 };
	char text[PROC_MAX];
	const char *p = text + strlen("cpu");

	/* The first line: "cpu  1 2 3...". Longer files of many processors are cut. */
	CLEANUP(fd_closep) int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (strncmp(text, "cpu ", 4) != 0)
		return -EINVAL;
	for (int i = 0; i < CPU_FIELDS; i++) {
		uint64_t v;
		p += strspn(p, " ");
		if (parse_u64_at(&p, 10, INT64_MAX / CPU_FIELDS, &v) < 0)
			return -EINVAL;
		t.total += v;
		t.busy += i == CPU_IDLE || i == CPU_IOWAIT ? 0 : v;
	}
	*ret = t;
	return 0;
}

/* In percent, since the last call; since the start at the first one. */
static int cpu_share(struct httpd *h, double *ret)
{
	const struct cpu_times then = h->cpu;
	struct cpu_times now = { 0 };
	int r = cpu_now(&now);

	if (r < 0)
		return r;
	h->cpu = now;
	*ret = now.total <= then.total || now.busy < then.busy
		       ? 0
		       : 100.0 * (double)(now.busy - then.busy) / (double)(now.total - then.total);
	return 0;
}

void route_metrics(struct httpd *h, struct web_req *req)
{
	uint64_t total, available, cache, disk_total = 0, disk_used = 0;
	char text[PROC_MAX], out[640];
	struct statvfs fs;
	double cpu;
	int n;

	if (fd_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0 ||
	    mem_field(text, "MemTotal:", &total) < 0 ||
	    mem_field(text, "MemAvailable:", &available) < 0 ||
	    mem_field(text, "\nCached:", &cache) < 0 || cpu_share(h, &cpu) < 0) {
		web_fail(req, 500, "the kernel's figures can't be read");
		return;
	}
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
		     (long long)time(NULL), sysconf(_SC_NPROCESSORS_ONLN), cpu, total, used, cache,
		     total / MIB, used / MIB, disk_used, disk_total);
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
