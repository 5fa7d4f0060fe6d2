/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

int path_of_file(const char *path, const char *home, char *dst, size_t cap, struct err *err)
{
	const char *last;
	int n;

	if (path[0] == '\0')
		return err_set(err, -EINVAL, "path is empty");
	last = strrchr(path, '/');
	last = last != NULL ? last + 1 : path;
	if (last[0] == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return err_set(err, -EINVAL, "%.160s: not the name of a file", path);
	if (path[0] == '/')
		n = snprintf(dst, cap, "%s", path);
	else
		n = snprintf(dst, cap, "%s/%s", home[0] == '/' ? home : "", path);
	if (n < 0 || (size_t)n >= cap)
		return err_set(err, -ENAMETOOLONG, "path is too long");
	return 0;
}

/* Removes empty, "." and ".." components from an absolute path, in place. */
static void clean(char *path)
{
	char *to = path; /* one past what is kept, which begins with a slash or is empty */

	for (const char *from = path; *from != '\0';) {
		size_t skip = strspn(from, "/"), len = strcspn(from + skip, "/");

		from += skip;
		if (len == 2 && from[0] == '.' && from[1] == '.') {
			while (to > path && *--to != '/')
				;
		} else if (len > 0 && !(len == 1 && from[0] == '.')) {
			*to++ = '/';
			memmove(to, from, len);
			to += len;
		}
		from += len;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
}

int path_expand(const char *path, const char *home, const char *cwd, char *dst, size_t cap,
		struct err *err)
{
	const char *base = home[0] == '/' ? home : "/";
	int n;

	if (path[0] == '~' && path[1] != '\0' && path[1] != '/')
		return err_set(err, -EINVAL, "%.80s: only one's own home has the name ~", path);
	if (path[0] == '\0')
		n = snprintf(dst, cap, "%s", cwd != NULL ? cwd : base);
	else if (path[0] == '/')
		n = snprintf(dst, cap, "%s", path);
	else
		n = snprintf(dst, cap, "%s/%s", base, path[0] == '~' ? path + 1 : path);
	if (n < 0 || (size_t)n >= cap)
		return err_set(err, -ENAMETOOLONG, "path is too long");
	clean(dst);
	return 0;
}

/* Makes every directory of path up to its end; those that exist are fine. */
static int make_dirs(char *path, struct err *err)
{
	for (char *p = path + 1;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char c = *p;
		*p = '\0';
		int r = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
		/* A directory above may exist on a file system that can't be written to. */
		if (r < 0 && access(path, F_OK) == 0)
			r = 0;
		if (r < 0)
			(void)err_sys(err, r, "%.160s", path);
		*p = c;
		if (r < 0 || c == '\0')
			return r;
	}
}

int path_open_parent(char *path, const char **ret_name, struct err *err)
{
	char *slash = strrchr(path, '/');
	const char *dir = slash == path ? "/" : path;
	int fd, r;

	*ret_name = slash + 1;
	if (slash != path)
		*slash = '\0';
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		r = make_dirs(path, err);
		if (r < 0)
			return r;
		fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0) {
		r = -errno;
		return err_sys(err, r, "%.160s", dir);
	}
	return fd;
}
