/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/filespec.h"

#include <errno.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/compiler.h"

static const struct {
	const char *name;
	enum filespec_way way;
} ways[] = { { "in", FILESPEC_IN }, { "out", FILESPEC_OUT }, { "inout", FILESPEC_INOUT } };

static int take_path(const char *arg, const char *from, size_t len, char *dst, struct err *err)
{
	if (len == 0)
		return err_set(err, -EINVAL, "--file %.100s: must be HOST:GUEST[:in|:out|:inout]",
			       arg);
	if (len >= FILESPEC_PATH_MAX)
		return err_set(err, -EINVAL, "--file %.100s: path is longer than %u bytes", arg,
			       FILESPEC_PATH_MAX - 1);
	memcpy(dst, from, len);
	dst[len] = '\0';
	return 0;
}

int filespec_parse(const char *arg, struct filespec *ret, struct err *err)
{
	struct filespec f = { .way = FILESPEC_AUTO, .option = "--file" };
	const size_t host = strcspn(arg, ":");
	const char *guest = arg[host] == ':' ? arg + host + 1 : arg + host;
	const size_t len = strcspn(guest, ":");
	int r = take_path(arg, arg, host, f.host, err);

	if (r == 0)
		r = take_path(arg, guest, len, f.guest, err);
	if (r < 0)
		return r;
	if (guest[len] == ':') {
		for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
			if (strcmp(guest + len + 1, ways[i].name) == 0)
				f.way = ways[i].way;
		if (f.way == FILESPEC_AUTO)
			return err_set(err, -EINVAL,
				       "--file %.100s: \"%.20s\" is not in, out or inout", arg,
				       guest + len + 1);
	}
	*ret = f;
	return 0;
}

/* The name behind the last slash, for a directory on the other side; "" = it has none. */
static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

int filespec_append(char path[FILESPEC_PATH_MAX], const char *like)
{
	const char *base = base_of(like);
	const size_t len = strlen(path), more = strlen(base);
	const bool slash = len > 0 && path[len - 1] != '/';

	if (more == 0 || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return -EINVAL;
	if (len + slash + more >= FILESPEC_PATH_MAX)
		return -ENAMETOOLONG;
	if (slash)
		path[len] = '/';
	memcpy(path + len + slash, base, more + 1);
	return 0;
}

/* Is it ID:PATH, or a path of this host? */
static bool is_guest(const char *arg)
{
	char id[FILESPEC_ID_LEN + 1];

	if (strcspn(arg, ":") != FILESPEC_ID_LEN || arg[FILESPEC_ID_LEN] != ':')
		return false;
	memcpy(id, arg, FILESPEC_ID_LEN);
	id[FILESPEC_ID_LEN] = '\0';
	return cli_id_valid(id);
}

int filespec_pair(const char *src, const char *dst, struct filespec *ret,
		  char ret_id[FILESPEC_ID_LEN + 1], struct err *err)
{
	struct filespec f = { .way = is_guest(src) ? FILESPEC_OUT : FILESPEC_IN, .option = "cp" };
	const char *inside = f.way == FILESPEC_OUT ? src : dst;
	const char *host = f.way == FILESPEC_OUT ? dst : src;

	if (is_guest(src) == is_guest(dst))
		return err_set(err, -EINVAL,
			       "cp: one of the two must be ID:PATH, the other a path here");
	memcpy(ret_id, inside, FILESPEC_ID_LEN);
	ret_id[FILESPEC_ID_LEN] = '\0';
	inside += FILESPEC_ID_LEN + 1;
	if (inside[0] == '\0' || host[0] == '\0')
		return err_set(err, -EINVAL, "cp: a path is empty");
	if (strlen(inside) >= sizeof(f.guest) || strlen(host) >= sizeof(f.host))
		return err_set(err, -EINVAL, "cp: a path is longer than %u bytes",
			       FILESPEC_PATH_MAX - 1);
	memcpy(f.guest, inside, strlen(inside) + 1);
	memcpy(f.host, host, strlen(host) + 1);
	*ret = f;
	return 0;
}
