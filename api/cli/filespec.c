/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/filespec.h"

#include <errno.h>
#include <string.h>

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
	struct filespec f = { .way = FILESPEC_AUTO };
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
