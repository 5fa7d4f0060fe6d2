/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/inspect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

#define TEXT_MAX 4096

/* Keeps what is harmless in a name. */
static void clean(char *dst, size_t cap, const char *src, size_t len)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   " ._-:/,[]=";
	size_t n = MIN(len, cap - 1);

	for (size_t i = 0; i < n; i++)
		dst[i] = src[i] != '\0' && strchr(good, src[i]) != NULL ? src[i] : '?';
	dst[n] = '\0';
}

static bool starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

int inspect_line(const char *text, const char *name, char ret[INSPECT_VALUE_MAX])
{
	size_t n = strlen(name), len = 0;

	for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, name, n) != 0 || at[n] != ':')
			continue;
		at += n + 1;
		at += strspn(at, " \t");
		for (; *at != '\0' && *at != '\n' && len < INSPECT_VALUE_MAX - 1; at++) {
			bool blank = *at == '\t' || *at == ' ';
			if (!blank || (len > 0 && ret[len - 1] != ' '))
				ret[len++] = blank ? ' ' : *at;
		}
		len -= len > 0 && ret[len - 1] == ' ';
		ret[len] = '\0';
		return 0;
	}
	return -ENOENT;
}

void inspect_kind(const char *link, char ret[INSPECT_NAME_MAX])
{
	const char *kind = link;

	if (starts(link, "socket:"))
		kind = "socket";
	else if (starts(link, "pipe:"))
		kind = "pipe";
	else if (starts(link, "/memfd:"))
		kind = "memfd";
	else if (starts(link, "anon_inode:"))
		kind = link + strlen("anon_inode:");
	else if (link[0] == '/' && !starts(link, "/dev/"))
		kind = "file";
	clean(ret, INSPECT_NAME_MAX, kind, strlen(kind));
}

static struct inspect_fact *add_fact(struct inspect_facts *f, const char *name)
{
	struct inspect_fact *x;

	if (f->count == INSPECT_FACTS_MAX)
		return NULL;
	x = &f->list[f->count++];
	(void)snprintf(x->name, sizeof(x->name), "%s", name);
	return x;
}

static int read_status(int dir, struct inspection *ret)
{
	static const char *const lines[] = { "Uid",
					     "Gid",
					     "Groups",
					     "NSpid",
					     "CapInh",
					     "CapPrm",
					     "CapEff",
					     "CapBnd",
					     "CapAmb",
					     "NoNewPrivs",
					     "Seccomp",
					     "Seccomp_filters",
					     "Speculation_Store_Bypass",
					     "SigIgn" };
	char text[TEXT_MAX], value[INSPECT_VALUE_MAX];
	ssize_t n = fd_read_file(dir, "status", text, sizeof(text));

	if (n < 0)
		return (int)n;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct inspect_fact *f;
		if (inspect_line(text, lines[i], value) < 0)
			continue;
		f = add_fact(&ret->status, lines[i]);
		if (f != NULL)
			clean(f->value, sizeof(f->value), value, strlen(value));
	}
	return 0;
}

/* A table with columns at fixed places: name to 26, soft to 47, hard to 68, unit. */
static void read_limits(int dir, struct inspection *ret)
{
	char text[TEXT_MAX], line[INSPECT_VALUE_MAX];
	const char *at = text;

	if (fd_read_file(dir, "limits", text, sizeof(text)) < 0)
		return;
	while ((at = strchr(at, '\n')) != NULL && *++at != '\0') {
		size_t len = strcspn(at, "\n"), name = 0;
		struct inspect_fact *f;
		if (!starts(at, "Max ") || len < 26 || len >= sizeof(line) - 2)
			continue;
		name = 25;
		while (name > 4 && at[name - 1] == ' ')
			name--;
		f = add_fact(&ret->rlimits, "");
		if (f == NULL)
			return;
		clean(f->name, sizeof(f->name), at + 4, name - 4);
		/* As a line with a name, so that the blanks are squeezed in one place. */
		(void)snprintf(line, sizeof(line), "x:%.*s", (int)(len - 26), at + 26);
		(void)!inspect_line(line, "x", f->value);
	}
}

/* 0 where there is no such line, or no number in it: that reads as a filter that is missing, never
 * as one that is there. */
static unsigned number_of(const char *text, const char *name)
{
	char value[INSPECT_VALUE_MAX];
	uint64_t n;

	if (inspect_line(text, name, value) < 0 || parse_u64(value, 0, UINT32_MAX, &n) < 0)
		return 0;
	return (unsigned)n;
}

/* The access mode in "flags: 02100000" of fdinfo. */
static const char *mode_of(const char *fdinfo)
{
	static const char *const modes[] = { "r", "w", "rw", "?" };
	char value[INSPECT_VALUE_MAX];
	const char *at = value;
	uint64_t flags;

	if (inspect_line(fdinfo, "flags", value) < 0)
		return "";
	return parse_u64_at(&at, 8, UINT64_MAX, &flags) < 0 || *at != '\0'
		       ? "?"
		       : modes[flags & O_ACCMODE];
}

/* Calls fn for each entry of a directory whose name is a number. */
static void each_number(int dir, const char *name,
			void (*fn)(int dir, int number, struct inspection *ret),
			struct inspection *ret)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	uint64_t n;

	if (d == NULL) {
		fd_closep(&fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (parse_u64(e->d_name, 0, INT32_MAX, &n) == 0)
			fn(dir, (int)n, ret);
	}
	(void)closedir(d);
}

static void read_thread(int dir, int tid, struct inspection *ret)
{
	struct inspect_thread *t = &ret->threads[ret->threads_count];
	char path[48], text[TEXT_MAX], name[INSPECT_VALUE_MAX] = "";

	(void)snprintf(path, sizeof(path), "task/%d/status", tid);
	if (ret->threads_count == INSPECT_THREADS_MAX ||
	    fd_read_file(dir, path, text, sizeof(text)) < 0)
		return;
	if (inspect_line(text, "Name", name) == 0)
		clean(t->name, sizeof(t->name), name, strlen(name));
	t->tid = tid;
	t->seccomp_mode = number_of(text, "Seccomp");
	t->seccomp_filters = number_of(text, "Seccomp_filters");
	ret->threads_count++;
}

static void read_fd(int dir, int number, struct inspection *ret)
{
	struct inspect_fd *f = &ret->fds[ret->fds_count];
	char path[32], text[TEXT_MAX];
	ssize_t n;

	if (ret->fds_count == INSPECT_FDS_MAX)
		return;
	(void)snprintf(path, sizeof(path), "fd/%d", number);
	n = readlinkat(dir, path, text, sizeof(text) - 1);
	if (n < 0)
		return;
	text[n] = '\0';
	f->number = number;
	inspect_kind(text, f->kind);
	(void)snprintf(path, sizeof(path), "fdinfo/%d", number);
	if (fd_read_file(dir, path, text, sizeof(text)) >= 0)
		(void)snprintf(f->mode, sizeof(f->mode), "%s", mode_of(text));
	ret->fds_count++;
}

static void read_namespaces(int dir, struct inspection *ret)
{
	static const char *const names[] = { "cgroup", "ipc",  "mnt",  "net",
					     "pid",    "time", "user", "uts" };
	char path[32];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct inspect_namespace *n = &ret->namespaces[ret->namespaces_count];
		struct stat st;
		(void)snprintf(path, sizeof(path), "../self/ns/%s", names[i]);
		if (fstatat(dir, path, &st, 0) < 0)
			continue;
		(void)snprintf(n->name, sizeof(n->name), "%s", names[i]);
		n->host_inode = st.st_ino;
		n->inode = fstatat(dir, path + strlen("../self/"), &st, 0) < 0 ? 0 : st.st_ino;
		ret->namespaces_count++;
	}
}

static int by_number(const void *a, const void *b)
{
	const struct inspect_fd *x = a, *y = b;

	return x->number - y->number;
}

int inspect_process(int proc, pid_t pid, struct inspection *ret, struct err *err)
{
	CLEANUP(fd_closep) int dir = -1;
	char name[16], label[INSPECT_VALUE_MAX];
	ssize_t n;
	int r;

	*ret = (struct inspection){ .pid = pid };
	(void)snprintf(name, sizeof(name), "%d", (int)pid);
	dir = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? -errno : read_status(dir, ret);
	if (r < 0)
		return err_sys(err, r, "process %d", (int)pid);
	/* With another LSM, or none, the file is empty or can't be read. */
	n = fd_read_file(dir, "attr/current", label, sizeof(label));
	if (n > 0)
		clean(ret->label, sizeof(ret->label), label, strcspn(label, "\n"));
	read_limits(dir, ret);
	each_number(dir, "task", read_thread, ret);
	each_number(dir, "fd", read_fd, ret);
	qsort(ret->fds, ret->fds_count, sizeof(ret->fds[0]), by_number);
	read_namespaces(dir, ret);
	return 0;
}

void inspect_cgroup(const struct cgroup *c, struct inspection *ret)
{
	static const char *const files[] = { "memory.max",
					     "memory.swap.max",
					     "memory.oom.group",
					     "memory.current",
					     "memory.limit_in_bytes",
					     "memory.memsw.limit_in_bytes",
					     "memory.usage_in_bytes",
					     "pids.max",
					     "pids.current",
					     "cpu.max",
					     "cpu.weight",
					     "cpu.cfs_quota_us",
					     "cpu.cfs_period_us",
					     "cpu.shares",
					     "io.max",
					     "io.weight",
					     "cpuset.cpus",
					     "devices.list" };
	char text[TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++) {
			struct inspect_fact *f;
			if (c->dir[t] < 0 ||
			    fd_read_file(c->dir[t], files[i], text, sizeof(text)) < 0)
				continue;
			f = add_fact(&ret->cgroup, files[i]);
			if (f == NULL)
				return;
			clean(f->value, sizeof(f->value), text, strcspn(text, "\n"));
			break;
		}
	}
}
