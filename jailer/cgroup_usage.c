/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_usage.c - what a jail has used, from the kernel's own accounts. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"
#include "jailer/cgroup_internal.h"

#define TEXT_MAX 4096 /* cpu.stat has some 300 bytes */

/* The digits from `at` to the end of the line. */
static int parse_number(const char *at, uint64_t *ret)
{
	uint64_t n;
	int r = parse_u64_at(&at, 10, UINT64_MAX, &n);

	if (r < 0)
		return r;
	if (*at != '\n' && *at != '\0')
		return -EINVAL;
	*ret = n;
	return 0;
}

int cgroup_parse_key(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);

	if (n == 0)
		return parse_number(text, ret);
	for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, key, n) == 0 && at[n] == ' ')
			return parse_number(at + n + 1, ret);
	}
	return -ENOENT;
}

static int read_key(int dir, const char *file, const char *key, uint64_t *ret)
{
	char text[TEXT_MAX];
	ssize_t n = fd_read_file(dir, file, text, sizeof(text));

	return n < 0 ? (int)n : cgroup_parse_key(text, key, ret);
}

/* No file is opened, and who may read it isn't asked: the clock of a process is open to all. */
static int read_clock(pid_t pid, uint64_t *ret_us)
{
	struct timespec t;
	clockid_t id;
	int r;

	BUG_ON(pid <= 0); /* 0 would be our own */
	r = clock_getcpuclockid(pid, &id);
	if (r != 0)
		return -r;
	if (clock_gettime(id, &t) < 0)
		return -errno;
	*ret_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
	return 0;
}

int cgroup_usage(const struct cgroup *c, pid_t pid, struct cgroup_usage *ret)
{
	int v1 = c->dir[CGROUP_V1_MEMORY], dir = v1 < 0 ? c->dir[CGROUP_V2] : v1;
	struct cgroup_usage u = { 0 };
	int r;

	r = v1 < 0 ? read_key(dir, "cpu.stat", "usage_usec", &u.cpu_us)
		   : read_clock(pid, &u.cpu_us);
	if (r < 0)
		return r;
	r = read_key(dir, v1 < 0 ? "memory.current" : "memory.usage_in_bytes", "", &u.memory_bytes);
	if (r < 0)
		return r;
	/* memory.peak came with Linux 5.19. */
	r = read_key(dir, v1 < 0 ? "memory.peak" : "memory.max_usage_in_bytes", "",
		     &u.memory_peak_bytes);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = u;
	return 0;
}
