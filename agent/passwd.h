/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passwd.h - the text of /etc/passwd and /etc/group, as pure functions over bytes.
 *
 * The files belong to the sandbox: any byte may stand in them. A line that is malformed, or
 * longer than a field below holds, is skipped. (getpwnam is not used because in a static glibc
 * it loads NSS modules of the image into PID 1.) Any thread.
 */
#ifndef AGENT_PASSWD_H
#define AGENT_PASSWD_H

#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"

#define PASSWD_NAME_MAX 64
#define PASSWD_PATH_MAX 256

struct passwd_entry {
	char name[PASSWD_NAME_MAX];
	uid_t uid;
	gid_t gid;
	char home[PASSWD_PATH_MAX];
	char shell[PASSWD_PATH_MAX];
};

/* The first entry with this name, or this uid: 0 or -ENOENT. */
MUST_USE int passwd_by_name(const char *text, size_t len, const char *name,
			    struct passwd_entry *ret);
MUST_USE int passwd_by_uid(const char *text, size_t len, uid_t uid, struct passwd_entry *ret);

/* The id of the group of this name: 0 or -ENOENT. */
MUST_USE int passwd_group_by_name(const char *text, size_t len, const char *name, gid_t *ret);

/* The name of the first group with this id: 0 or -ENOENT. */
MUST_USE int passwd_group_by_gid(const char *text, size_t len, gid_t gid, char *ret, size_t cap);

/*
 * The ids of all groups that name `user` as a member, into gids[*count...cap); *count grows.
 * -E2BIG when they don't fit: the caller must not go on with fewer, because a group may also
 * take rights away.
 */
MUST_USE int passwd_groups_of(const char *text, size_t len, const char *user, gid_t *gids,
			      size_t cap, size_t *count);

#endif
