/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.h - what is told of a file: EntryInfo of agent.proto. With the rights in force
 * (user_enter_fs). One thread.
 */
#ifndef AGENT_ENTRY_H
#define AGENT_ENTRY_H

#include <agent.pb-c.h>
#include <sys/types.h>

#include "agent/passwd.h"
#include "base/compiler.h"
#include "base/err.h"

#define ENTRY_METADATA_MAX 4096 /* bytes of all names and values */
#define ENTRY_KEY_MAX	   246
#define ENTRY_XATTR	   "user.e2b."
/* On a file system without user.*: the kernel's tmpfs before 6.6, which is below the root here. */
#define ENTRY_XATTR_ROOT "trusted.e2b."

typedef Casemate__Agent__V1__EntryInfo entry_pb;

/* The names of owners, read once for many entries. */
struct entry_names {
	char *passwd, *group;
	size_t passwd_len, group_len;
	uid_t uid;
	gid_t gid;
	char user[PASSWD_NAME_MAX], grp[PASSWD_NAME_MAX];
};
/* Nothing can fail: without the files ids stand for names. */
void entry_names_init(struct entry_names *n);
void entry_names_done(struct entry_names *n);

/* The entry at an absolute path: 0 (free with entry_free), -errno. */
MUST_USE int entry_get(const char *path, struct entry_names *names, entry_pb **ret,
		       struct err *err);
void entry_free(entry_pb *e);

/* What remains of an attribute's name behind one of the two prefixes; NULL: it is no metadata. */
const char *entry_metadata_key(const char *name);
/* Calls fn for each such attribute of the file until it returns an error. Values that are no text
 * are left out. */
MUST_USE int entry_metadata(const char *path,
			    int (*fn)(const char *key, const char *value, void *arg), void *arg);

#endif
