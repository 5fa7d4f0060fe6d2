/* SPDX-License-Identifier: Apache-2.0 */
/* listen.h - the daemon's own unix socket, and giving up root once it exists. */
#ifndef API_DAEMON_LISTEN_H
#define API_DAEMON_LISTEN_H

#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

struct identity {
	uid_t uid;
	gid_t gid;
};

/* The user and its group. 0 or -errno and *err. */
MUST_USE int identity_find(const char *user, struct identity *ret, struct err *err);

/*
 * A socket at path, the owner's unless that is NULL; a stale one is replaced, a live one (somebody
 * accepts there) is an error. The directory is made when it is missing. Nobody can connect until
 * listen_open. The descriptor, or -errno and *err.
 */
MUST_USE int listen_unix(const char *path, mode_t mode, const struct identity *owner,
			 struct err *err);

#define LISTEN_PASSED_MAX 4U
#define LISTEN_NAME_MAX	  32U

enum listen_kind { LISTEN_UNIX, LISTEN_TCP };

struct listen_passed {
	int fd;
	char name[LISTEN_NAME_MAX + 1]; /* FileDescriptorName=; "" = none was told */
};

/*
 * The listening stream sockets of that kind that a service manager has made and passed to this
 * process (sd_listen_fds(3)): how many, 1 to LISTEN_PASSED_MAX. -ENOENT: none were. Any other
 * failure: what was passed is something else, and *err says what. Takes the variables out of the
 * environment.
 */
MUST_USE int listen_inherited(enum listen_kind kind, struct listen_passed ret[LISTEN_PASSED_MAX],
			      struct err *err);

/* From here on clients come in. 0 or -errno and *err. */
MUST_USE int listen_open(int fd, struct err *err);

/* A TCP socket bound to "ADDRESS:PORT" ("[::1]:3000" for IPv6; no names), not listening yet. The
 * descriptor, or -errno. */
MUST_USE int listen_tcp(const char *where, struct err *err);

/* The directory of path, mode 0700, owner's unless that is NULL: made when it is missing. */
MUST_USE int listen_state_dir(const char *path, const struct identity *owner, struct err *err);
/* A directory, mode 0755, owner's unless that is NULL: made when it is missing. */
MUST_USE int listen_make_dir(const char *path, const struct identity *owner, struct err *err);

/*
 * For ever: no other groups, the uid and gid of id (NULL: those that the process has), no
 * capability in any set, no_new_privs, no core dumps, not dumpable. 0 or -errno and *err.
 */
MUST_USE int privilege_drop(const struct identity *id, struct err *err);

#endif
