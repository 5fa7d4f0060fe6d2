/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "jailer/cgroup_find.h"
#include "jailer/cgroup_internal.h"
#include "jailer/slot.h"

#define SWEEP_MS_MAX 5000
#define GROUP_PREFIX "slot-"
#define PROCS_MAX    4096 /* bytes of cgroup.procs that are read at a time */

int cgroup_write(int dir, const char *file, const char *value)
{
	CLEANUP(fd_closep) int fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd_write_full(fd, value, strlen(value));
}

int cgroup_set(int dir, const char *file, const char *value, struct err *err)
{
	int r = cgroup_write(dir, file, value);

	return r < 0 ? err_sys(err, r, "cgroup %s", file) : 0;
}

int cgroup_set_u64(int dir, const char *file, uint64_t value, struct err *err)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return cgroup_set(dir, file, text, err);
}

uint64_t cgroup_read_key(int dir, const char *file, const char *key)
{
	char text[1024];
	uint64_t value = 0;

	if (dir < 0 || fd_read_file(dir, file, text, sizeof(text)) < 0 ||
	    cgroup_parse_key(text, key, &value) < 0)
		return 0;
	return value;
}

int cgroup_open(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* Makes parent/name (which may exist already when `old` is fine) and opens it. */
static int make_group(int parent, const char *name, bool old)
{
	bool made = mkdirat(parent, name, 0755) == 0;
	int fd;

	if (!made && !(old && errno == EEXIST))
		return -errno;
	fd = cgroup_open(parent, name);
	if (fd < 0 && made)
		(void)unlinkat(parent, name, AT_REMOVEDIR);
	return fd;
}

/* Is the directory still the one of that name? Whoever had the lock may have removed it. */
static bool is_there(int root, const char *name, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(root, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/*
 * Makes and locks the parent. Another jailer that takes over identities of ours holds the lock
 * for as long as it sweeps (identity.c): a short wait tells that from one that runs.
 */
static int lock_parent(int root, const char *name, unsigned wait_ms, int *ret)
{
	static const struct timespec pause = { .tv_nsec = 10000000 };
	uint64_t deadline = now_ms() + wait_ms;

	for (;;) {
		CLEANUP(fd_closep) int fd = make_group(root, name, true);
		if (fd < 0)
			return fd;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			if (is_there(root, name, fd)) {
				*ret = fd_steal(&fd);
				return 0;
			}
		} else if (errno != EWOULDBLOCK) {
			return -errno;
		}
		if (now_ms() >= deadline)
			return -EBUSY;
		(void)nanosleep(&pause, NULL);
	}
}

static int open_parents(struct cgroup_host *h, const int root[CGROUP_TREE_COUNT], unsigned wait_ms,
			struct err *err)
{
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++) {
		int r;
		if (root[t] < 0 || (h->version == 2 && t != CGROUP_V2))
			continue;
		r = lock_parent(root[t], h->parent, wait_ms, &h->dir[t]);
		if (r == -EBUSY)
			return err_set(err, r, "another jailer is running (cgroup %s)", h->parent);
		if (r < 0)
			return err_sys(err, r, "cgroup %s", h->parent);
	}
	return 0;
}

static int pick_version(struct cgroup_host *h, const int root[CGROUP_TREE_COUNT], struct err *err)
{
	if (cgroup_v2_has_controllers(root[CGROUP_V2])) {
		h->version = 2;
		return cgroup_v2_enable(root[CGROUP_V2], h, err);
	}
	h->version = 1;
	if (root[CGROUP_V1_MEMORY] < 0 || root[CGROUP_V1_PIDS] < 0 || root[CGROUP_V1_CPU] < 0)
		return err_set(err, -ENOENT,
			       "no cgroup hierarchy with memory, pids and cpu is mounted");
	return 0;
}

static int enter_delegated(struct cgroup_host *h, int root[CGROUP_TREE_COUNT], struct err *err)
{
	char path[CGROUP_PATH_MAX + 1];
	int r = cgroup_enter_delegated(&root[CGROUP_V2], path, err);

	if (r == 0)
		(void)snprintf(h->above, sizeof(h->above), "%s/", path);
	return r;
}

static void no_groups(int dir[CGROUP_TREE_COUNT])
{
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++)
		dir[t] = -1;
}

int cgroup_host_open(struct cgroup_host *h, const struct cgroup_config *cfg, struct err *err)
{
	int root[CGROUP_TREE_COUNT];
	int r;

	BUG_ON(strlen(cfg->parent) > CGROUP_NAME_MAX);
	*h = (struct cgroup_host){ .disk_major = cfg->disk_major,
				   .disk_minor = cfg->disk_minor,
				   .limit = cfg->io };
	no_groups(h->dir);
	(void)snprintf(h->parent, sizeof(h->parent), "%s", cfg->parent);
	r = cgroup_find(root, err);
	if (r < 0)
		return r;
	if (cfg->delegated)
		r = enter_delegated(h, root, err);
	if (r == 0)
		r = pick_version(h, root, err);
	if (r == 0)
		r = open_parents(h, root, cfg->lock_ms, err);
	if (r == 0)
		r = h->version == 2 ? cgroup_v2_enable(h->dir[CGROUP_V2], h, err) : 0;
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++) {
		fd_closep(&root[t]);
		if (r < 0) /* the parent may be another jailer's: leave it */
			fd_closep(&h->dir[t]);
	}
	return r;
}

void cgroup_host_close(struct cgroup_host *h)
{
	char name[CGROUP_NAME_MAX + 4];

	(void)snprintf(name, sizeof(name), "../%s", h->parent);
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++) {
		if (h->dir[t] >= 0)
			(void)unlinkat(h->dir[t], name, AT_REMOVEDIR);
		fd_closep(&h->dir[t]);
	}
}

/* The next line of a cgroup.procs: false at its end, and at what isn't a number. */
static bool next_pid(const char **at, pid_t *ret)
{
	uint64_t pid;

	if (parse_u64_at(at, 10, INT32_MAX, &pid) < 0 || **at != '\n')
		return false;
	(*at)++;
	*ret = (pid_t)pid;
	return true;
}

/* Is pid still a member? */
static bool is_member(int dir, pid_t pid)
{
	char text[PROCS_MAX];
	const char *at = text;
	pid_t member;

	if (fd_read_file(dir, "cgroup.procs", text, sizeof(text)) < 0)
		return false;
	while (next_pid(&at, &member))
		if (member == pid)
			return true;
	return false;
}

/*
 * Without cgroup.kill: each process by number. The number is bound by a pidfd first and then
 * looked for in the group again, so that a number which was reused in between is never hit.
 */
static void kill_members(int dir)
{
	char text[PROCS_MAX];
	const char *at = text;
	pid_t pid;

	if (fd_read_file(dir, "cgroup.procs", text, sizeof(text)) < 0)
		return;
	while (next_pid(&at, &pid)) {
		CLEANUP(fd_closep) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (fd >= 0 && is_member(dir, pid))
			(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	}
}

void cgroup_kill(const struct cgroup *c)
{
	if (c->dir[CGROUP_V2] >= 0 && cgroup_write(c->dir[CGROUP_V2], "cgroup.kill", "1") == 0)
		return;
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++) {
		if (c->dir[t] >= 0)
			kill_members(c->dir[t]);
	}
}

void cgroup_clear(struct cgroup *c)
{
	*c = (struct cgroup){ 0 };
	no_groups(c->dir);
}

int cgroup_remove(const struct cgroup_host *h, struct cgroup *c)
{
	for (unsigned t = 0; t < CGROUP_TREE_COUNT && c->name[0] != '\0'; t++) {
		if (c->dir[t] < 0)
			continue;
		if (unlinkat(h->dir[t], c->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return errno == EBUSY ? -EBUSY : -errno;
		fd_closep(&c->dir[t]);
	}
	cgroup_clear(c);
	return 0;
}

int cgroup_create(const struct cgroup_host *h, uint32_t slot, struct cgroup *ret, struct err *err)
{
	struct cgroup c;
	int r = 0;

	cgroup_clear(&c);
	(void)snprintf(c.name, sizeof(c.name), GROUP_PREFIX "%u", slot);
	for (unsigned t = 0; t < CGROUP_TREE_COUNT && r == 0; t++) {
		if (h->dir[t] < 0)
			continue;
		c.dir[t] = make_group(h->dir[t], c.name, false);
		if (c.dir[t] < 0)
			r = err_sys(err, c.dir[t], "cgroup %s/%s", h->parent, c.name);
	}
	if (r == 0)
		r = h->version == 2 ? cgroup_v2_base(h, &c, err) : cgroup_v1_base(h, &c, err);
	if (r < 0) {
		int gone = cgroup_remove(h, &c);
		BUG_ON(gone == -EBUSY); /* nobody can be in it yet */
		return r;
	}
	*ret = c;
	return 0;
}

int cgroup_close_devices(const struct cgroup_host *h, struct err *err)
{
	return h->version == 2 ? cgroup_v2_close_devices(h->dir[CGROUP_V2], err)
			       : cgroup_v1_close_devices(h->dir[CGROUP_V1_DEVICES], err);
}

int cgroup_limit(const struct cgroup_host *h, const struct cgroup *c, const struct cgroup_limits *l,
		 struct err *err)
{
	if ((l->cpus[0] != '\0' || l->mems[0] != '\0') && !h->cpuset)
		return err_set(err, -ENOTSUP,
			       "this host's cgroups have no cpuset controller (of version 2)");
	return h->version == 2 ? cgroup_v2_limit(c, l, err) : cgroup_v1_limit(c, l, err);
}

int cgroup_limit_memory(const struct cgroup_host *h, const struct cgroup *c, uint64_t memory_bytes,
			struct err *err)
{
	return h->version == 2 ? cgroup_v2_limit_memory(c, memory_bytes, err)
			       : cgroup_v1_limit_memory(c, memory_bytes, err);
}

int cgroup_open_events(const struct cgroup_host *h, const struct cgroup *c)
{
	int fd;

	if (h->version != 2)
		return -ENOTSUP;
	fd = openat(c->dir[CGROUP_V2], "cgroup.events", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

bool cgroup_was_oom(const struct cgroup *c)
{
	return cgroup_read_key(c->dir[CGROUP_V2], "memory.events", "oom_kill") > 0 ||
	       cgroup_read_key(c->dir[CGROUP_V1_MEMORY], "memory.oom_control", "oom_kill") > 0;
}

/* One leftover group in all hierarchies where it exists. */
static int sweep_one(const struct cgroup_host *h, const char *name)
{
	static const struct timespec pause = { .tv_nsec = 5000000 };
	uint64_t deadline = now_ms() + SWEEP_MS_MAX;
	struct cgroup c;
	int r;

	cgroup_clear(&c);
	memcpy(c.name, name, strlen(name)); /* check_names knows the length */
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++) {
		c.dir[t] = h->dir[t] < 0 ? -1 : cgroup_open(h->dir[t], name);
		if (c.dir[t] < 0)
			c.dir[t] = -1;
	}
	do {
		cgroup_kill(&c);
		r = cgroup_remove(h, &c);
		if (r == -EBUSY)
			(void)nanosleep(&pause, NULL);
	} while (r == -EBUSY && now_ms() < deadline);
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++)
		fd_closep(&c.dir[t]);
	return r;
}

/* The next group in d, or NULL. */
static const char *next_group(DIR *d)
{
	struct dirent *e;

	while ((e = readdir(d)) != NULL) {
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0)
			return e->d_name;
	}
	return NULL;
}

/* What cgroup_create calls them. */
static bool is_group_name(const char *name)
{
	const size_t n = strlen(GROUP_PREFIX);
	uint64_t slot;

	return strncmp(name, GROUP_PREFIX, n) == 0 &&
	       parse_u64(name + n, 0, SLOT_COUNT - 1, &slot) == 0;
}

/* Before anything is killed: a group that no jail can have means that the parent isn't ours. */
static int check_names(const struct cgroup_host *h, DIR *d, struct err *err)
{
	const char *name;

	while ((name = next_group(d)) != NULL) {
		if (!is_group_name(name))
			return err_set(err, -EEXIST,
				       "cgroup %s holds %s, which is no jail: another parent is "
				       "needed",
				       h->parent, name);
	}
	rewinddir(d);
	return 0;
}

static int sweep_tree(const struct cgroup_host *h, unsigned tree, unsigned *swept, struct err *err)
{
	int fd = openat(h->dir[tree], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const char *name;
	int r;

	if (d == NULL) {
		r = err_sys(err, -errno, "cgroup %s", h->parent);
		fd_closep(&fd);
		return r;
	}
	r = check_names(h, d, err);
	while (r == 0 && (name = next_group(d)) != NULL) {
		r = sweep_one(h, name);
		if (r < 0)
			r = err_sys(err, r, "leftover cgroup %s/%s can't be removed", h->parent,
				    name);
		else
			*swept += 1;
	}
	(void)closedir(d);
	return r;
}

int cgroup_sweep(const struct cgroup_host *h, unsigned *ret_swept, struct err *err)
{
	unsigned swept = 0;

	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++) {
		int r = h->dir[t] < 0 ? 0 : sweep_tree(h, t, &swept, err);
		if (r < 0)
			return r;
	}
	*ret_swept = swept;
	return 0;
}
