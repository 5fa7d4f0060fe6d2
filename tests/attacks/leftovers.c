/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attacks/leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fd.h"

static DIR *open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL)
		fd_closep(&fd);
	return d;
}

static bool is_group(const struct dirent *e)
{
	return e->d_type == DT_DIR && e->d_name[0] != '.';
}

/* With the jails' groups in it. */
static void remove_one(int at, const char *name)
{
	DIR *d = open_dir(at, name);
	const struct dirent *e;

	if (d == NULL)
		return;
	if (flock(dirfd(d), LOCK_EX | LOCK_NB) == 0) {
		while ((e = readdir(d)) != NULL)
			if (is_group(e))
				(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
		(void)unlinkat(at, name, AT_REMOVEDIR);
	}
	(void)closedir(d);
}

static void look(int at, const char *name, bool deeper)
{
	DIR *d = open_dir(at, name);
	const struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		if (!is_group(e))
			continue;
		if (strncmp(e->d_name, LEFTOVERS_PREFIX, strlen(LEFTOVERS_PREFIX)) == 0)
			remove_one(dirfd(d), e->d_name);
		else if (deeper)
			look(dirfd(d), e->d_name, false);
	}
	(void)closedir(d);
}

void leftovers_remove(const char *root)
{
	look(AT_FDCWD, root, true);
}
