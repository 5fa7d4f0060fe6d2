/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_find.c - where the hierarchies are mounted. */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "jailer/cgroup_find.h"
#include "jailer/cgroup_internal.h"

/* Which tree of ours is this mount? CGROUP_TREE_COUNT: none. */
static enum cgroup_tree tree_of(const struct mntent *m)
{
	if (strcmp(m->mnt_type, "cgroup2") == 0)
		return CGROUP_V2;
	if (strcmp(m->mnt_type, "cgroup") != 0)
		return CGROUP_TREE_COUNT;
	if (hasmntopt(m, "memory") != NULL)
		return CGROUP_V1_MEMORY;
	if (hasmntopt(m, "pids") != NULL)
		return CGROUP_V1_PIDS;
	if (hasmntopt(m, "cpu") != NULL)
		return CGROUP_V1_CPU;
	if (hasmntopt(m, "devices") != NULL)
		return CGROUP_V1_DEVICES;
	if (hasmntopt(m, "blkio") != NULL)
		return CGROUP_V1_BLKIO;
	return CGROUP_TREE_COUNT;
}

int cgroup_find(int root[CGROUP_TREE_COUNT], struct err *err)
{
	struct mntent *m;
	FILE *f = setmntent("/proc/self/mounts", "re");

	if (f == NULL)
		return err_sys(err, -errno, "/proc/self/mounts");
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++)
		root[t] = -1;
	while ((m = getmntent(f)) != NULL) {
		enum cgroup_tree t = tree_of(m);
		if (t != CGROUP_TREE_COUNT && root[t] < 0)
			root[t] = open(m->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	(void)endmntent(f);
	return 0;
}

/* The line of the v2 hierarchy, "0::/path", is the last one that the kernel writes. */
static int read_own_path(char path[CGROUP_PATH_MAX + 1], struct err *err)
{
	char text[4096];
	ssize_t n = fd_read_file(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text));
	const char *at = n < 0				 ? NULL
			 : strncmp(text, "0::/", 4) == 0 ? text
							 : strstr(text, "\n0::/");
	size_t len;

	if (n < 0)
		return err_sys(err, (int)n, "/proc/self/cgroup");
	if (at == NULL)
		return err_set(err, -EINVAL,
			       "--delegated: this process is in no group of cgroup v2");
	at = strchr(at, '/') + 1;
	len = strcspn(at, "\n");
	if (len == 0)
		return err_set(err, -EINVAL,
			       "--delegated: this process is in the root group, which is nobody's "
			       "to delegate");
	if (len > CGROUP_PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "--delegated: its group has a path of %zu bytes",
			       len);
	memcpy(path, at, len);
	path[len] = '\0';
	return 0;
}

int cgroup_enter_delegated(int *root, char path[CGROUP_PATH_MAX + 1], struct err *err)
{
	CLEANUP(fd_closep) int own = -1;
	CLEANUP(fd_closep) int leaf = -1;
	int r = read_own_path(path, err);

	if (r < 0)
		return r;
	own = *root < 0 ? -ENOENT : cgroup_open(*root, path);
	if (own < 0)
		return err_sys(err, own, "cgroup %s", path);
	if (!cgroup_v2_has_controllers(own))
		return err_set(err, -EINVAL,
			       "--delegated: cgroup %s has no memory, pids and cpu controllers of "
			       "cgroup v2",
			       path);
	if (mkdirat(own, "jailer", 0755) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "cgroup %s/jailer", path);
	leaf = cgroup_open(own, "jailer");
	r = leaf < 0 ? leaf : cgroup_write(leaf, "cgroup.procs", "0");
	if (r < 0)
		return err_sys(err, r, "cgroup %s/jailer", path);
	fd_closep(root);
	*root = fd_steal(&own);
	return 0;
}

bool cgroup_v2_has_controllers(int root)
{
	char text[512];
	ssize_t n = root < 0 ? -1 : fd_read_file(root, "cgroup.controllers", text, sizeof(text));

	return n > 0 && strstr(text, "memory") != NULL && strstr(text, "pids") != NULL &&
	       strstr(text, "cpu") != NULL;
}
