/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/usage.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"

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

/* A number and what ends it; false, and *at is anywhere, when that isn't there. */
static bool take(const char **at, unsigned base, char end, uint64_t *ret)
{
	return parse_u64_at(at, base, UINT64_MAX, ret) == 0 && *(*at)++ == end;
}

static int read_smaps(pid_t pid, uint64_t guest_bytes, uint64_t *ret)
{
	char path[64], line[512];
	uint64_t from, to, kib, size = 0, sum = 0;
	const char *at;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return -errno;
	while (fgets(line, sizeof(line), f) != NULL) {
		at = line;
		if (take(&at, 16, '-', &from) && take(&at, 16, ' ', &to)) {
			size = to - from;
		} else if (strncmp(line, "Rss:", 4) == 0) {
			at = line + 4;
			at += strspn(at, " ");
			sum += take(&at, 10, ' ', &kib) && size < guest_bytes ? kib * KIB : 0;
		}
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
	for (unsigned field = 2; rest != NULL && field < 14; field++) {
		rest = strchr(rest, ' ');
		rest = rest == NULL ? NULL : rest + 1;
	}
	if (rest == NULL || !take(&rest, 10, ' ', &user) || !take(&rest, 10, ' ', &sys))
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
