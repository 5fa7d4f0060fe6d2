/* SPDX-License-Identifier: Apache-2.0 */
#include "import/path.h"

#include <errno.h>
#include <string.h>

static int add_part(const char *text, const char *name, size_t len, struct path *p, struct err *err)
{
	if (len == 0 || (len == 1 && name[0] == '.'))
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.')
		return err_set(err, -EINVAL, "%.160s: leads out of its directory", text);
	if (len > IMPORT_NAME_MAX)
		return err_set(err, -ENAMETOOLONG, "%.160s: a component of more than %d bytes",
			       text, IMPORT_NAME_MAX);
	if (p->count == IMPORT_DEPTH_MAX)
		return err_set(err, -ENAMETOOLONG, "%.160s: more than %d directories deep", text,
			       IMPORT_DEPTH_MAX);
	p->part[p->count++] = (struct path_part){ name, len };
	return 0;
}

int path_parse(const char *text, struct path *ret, struct err *err)
{
	const char *at = text;

	ret->count = 0;
	if (text[0] == '\0')
		return err_set(err, -EINVAL, "an entry without a name");
	if (text[0] == '/')
		return err_set(err, -EINVAL, "%.160s: an absolute path", text);
	if (strlen(text) > IMPORT_PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "%.160s...: a path of more than %d bytes", text,
			       IMPORT_PATH_MAX);
	while (*at != '\0') {
		size_t len = strcspn(at, "/");
		int r = add_part(text, at, len, ret, err);

		if (r < 0)
			return r;
		at += len;
		if (*at == '/')
			at++;
	}
	return 0;
}
