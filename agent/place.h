/* SPDX-License-Identifier: Apache-2.0 */
/* place.h - a user and a path of theirs: what every request about files begins with. */
#ifndef AGENT_PLACE_H
#define AGENT_PLACE_H

#include <limits.h>

#include "agent/agent.h"
#include "agent/user.h"
#include "base/compiler.h"
#include "base/err.h"

struct place {
	struct user user;
	char path[PATH_MAX]; /* as path_expand makes it */
};

/* user "" = the sandbox's default one. 0, or -errno (as user_lookup and path_expand). */
MUST_USE int place_resolve(const struct agent *a, const char *user, const char *path,
			   struct place *ret, struct err *err);
/* Takes the user's rights for file system calls, until user_leave_fs. */
MUST_USE int place_enter(const struct place *p, struct err *err);

#endif
