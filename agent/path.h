/* SPDX-License-Identifier: Apache-2.0 */
/* path.h - from the path that a client gave to one the agent opens, and directories on the way. */
#ifndef AGENT_PATH_H
#define AGENT_PATH_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"

/* An absolute path kept as it is, any other below home. Pure. 0, -EINVAL (empty, or it ends in a
 * slash or in a dot or dot-dot component), -ENAMETOOLONG. */
MUST_USE int path_of_file(const char *path, const char *home, char *dst, size_t cap,
			  struct err *err);

/* The path of a file system call: "" is cwd, "~" and "~/..." and what is relative are below home,
 * and the result has no empty, "." or ".." component (".." removes the one before it, whatever that
 * is). Pure. 0, -EINVAL ("~name"), -ENAMETOOLONG. */
MUST_USE int path_expand(const char *path, const char *home, const char *cwd, char *dst, size_t cap,
			 struct err *err);

/*
 * Opens the directory of an absolute path's last component (O_PATH), making what is missing with
 * mode 0755, and sets *ret_name to that component inside `path`. With the rights in force: see
 * user_enter_fs. The descriptor or -errno.
 */
MUST_USE int path_open_parent(char *path, const char **ret_name, struct err *err);

#endif
