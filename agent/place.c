/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/place.h"

#include "agent/path.h"

int place_resolve(const struct agent *a, const char *user, const char *path, struct place *ret,
		  struct err *err)
{
	int r = user_lookup(user, a->default_user, &ret->user, err);

	if (r < 0)
		return r;
	return path_expand(path, ret->user.pw.home, a->default_cwd, ret->path, sizeof(ret->path),
			   err);
}

int place_enter(const struct place *p, struct err *err)
{
	int r = user_enter_fs(&p->user);

	return r < 0 ? err_sys(err, r, "can't take the rights of %s", p->user.pw.name) : 0;
}
