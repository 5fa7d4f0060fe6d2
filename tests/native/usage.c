/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/usage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Entries of a directory of /proc/PID, without . and .. */
static int count_entries(pid_t pid, const char *name, uint64_t *ret)
{
	char path[64];
	DIR *d;
	uint64_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	d = opendir(path);
	if (d == NULL)
		return -errno;
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	*ret = n - 2;
	return 0;
}

static int read_smaps(pid_t pid, uint64_t guest_bytes, uint64_t *ret)
{
	char path[64], line[512];
	uint64_t from, to, kib, size = 0, sum = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return -errno;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2)
			size = to - from;
		else if (sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1 && size < guest_bytes)
			sum += kib * 1024;
	}
	(void)fclose(f);
	*ret = sum;
	return 0;
}

static int read_cpu(pid_t pid, uint64_t *ret_ms)
{
	char path[64], line[1024];
	uint64_t user, sys;
	const char *rest;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return -errno;
	rest = fgets(line, sizeof(line), f);
	(void)fclose(f);
	/* Fields 14 and 15; the name, field 2, may hold anything but ends in the last parenthesis.
	 */
	rest = rest != NULL ? strrchr(line, ')') : NULL;
	if (rest == NULL ||
	    sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
		   &user, &sys) != 2)
		return -EIO;
	*ret_ms = (user + sys) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	return 0;
}

int usage_read(pid_t pid, uint64_t guest_bytes, struct usage *ret)
{
	struct usage u = { 0 };
	int r = read_smaps(pid, guest_bytes, &u.own_bytes);

	if (r == 0)
		r = count_entries(pid, "fd", &u.fds);
	if (r == 0)
		r = count_entries(pid, "task", &u.threads);
	if (r == 0)
		r = read_cpu(pid, &u.cpu_ms);
	if (r == 0)
		*ret = u;
	return r;
}
