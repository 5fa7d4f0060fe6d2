/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.h - whom a command or a file belongs to: a name of the image's /etc/passwd with its
 * groups, looked up anew each time because the sandbox may change the files.
 *
 * Forms: "" or NULL (the user given as fallback, else root), "NAME", "UID", and either with
 * ":GROUP" or ":GID". A uid that no line names has the home "/" and a group of the same number.
 */
#ifndef AGENT_USER_H
#define AGENT_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "agent/passwd.h"
#include "base/compiler.h"
#include "base/err.h"

#define USER_GROUPS_MAX 256

struct user {
	struct passwd_entry pw;
	gid_t groups[USER_GROUPS_MAX]; /* supplementary, pw.gid included */
	size_t groups_count;
};

/* 0, or -EINVAL (form; no such user or group), -EPERM (not allowed to become it), or another
 * -errno when the files can't be read. */
MUST_USE int user_lookup(const char *spec, const char *fallback, struct user *ret, struct err *err);

/* /etc/passwd or /etc/group, or nothing (*ret NULL) when there is none: 0 (free *ret), -errno. */
MUST_USE int user_load_file(const char *path, char **ret, size_t *ret_len);

/* True when the agent itself has this identity already and may not take another. */
bool user_is_self(const struct user *u);

/* Becomes the user for good, in a child: groups, gid, uid, in this order. 0 or -errno. */
MUST_USE int user_become(const struct user *u);

/*
 * Access to files with the user's rights instead of root's, so that a symlink planted by the
 * sandbox leads only where the user itself could go. Between enter and leave only file system
 * calls. enter fails closed; leave aborts if root's rights can't be had back.
 */
MUST_USE int user_enter_fs(const struct user *u);
void user_leave_fs(void);

#endif
