/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_find.c - where the hierarchies are mounted. */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "jailer/cgroup_find.h"

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

bool cgroup_v2_has_controllers(int root)
{
	char text[512];
	ssize_t n = root < 0 ? -1 : fd_read_file(root, "cgroup.controllers", text, sizeof(text));

	return n > 0 && strstr(text, "memory") != NULL && strstr(text, "pids") != NULL &&
	       strstr(text, "cpu") != NULL;
}
