/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/listen.h"

#include <arpa/inet.h>
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

#define LISTEN_BACKLOG 128

#define LISTEN_INHERITED_FD 3 /* SD_LISTEN_FDS_START */

int identity_find(const char *user, struct identity *ret, struct err *err)
{
	char space[4096];
	struct passwd pw, *found;
	int r = getpwnam_r(user, &pw, space, sizeof(space), &found);

	if (r != 0)
		return err_sys(err, -r, "user %.64s", user);
	if (found == NULL)
		return err_set(err, -ENOENT, "user %.64s: no such user", user);
	if (pw.pw_uid == 0)
		return err_set(err, -EINVAL, "user %.64s: is root; name an unprivileged one", user);
	*ret = (struct identity){ .uid = pw.pw_uid, .gid = pw.pw_gid };
	return 0;
}

static int make_dir(const char *dir, mode_t mode, const struct identity *owner, struct err *err)
{
	if (mkdir(dir, mode) < 0)
		return errno == EEXIST ? 0 : err_sys(err, -errno, "directory %s", dir);
	if (owner != NULL && chown(dir, owner->uid, owner->gid) < 0)
		return err_sys(err, -errno, "directory %s: owner", dir);
	return 0;
}

static int make_parent(const char *path, mode_t mode, const struct identity *owner, struct err *err)
{
	char copy[PATH_MAX];

	memcpy(copy, path, strlen(path) + 1); /* the caller has checked the length */
	return make_dir(dirname(copy), mode, owner, err);
}

/* Is somebody listening there? A socket file that nobody serves refuses the connection. */
static bool is_served(const struct sockaddr_un *sa)
{
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return true; /* unknown: don't take its place */
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
		return true;
	return errno != ECONNREFUSED && errno != ENOENT;
}

static int clear_stale(const struct sockaddr_un *sa, struct err *err)
{
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "socket %s", sa->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "socket %s: exists and is not a socket", sa->sun_path);
	if (is_served(sa))
		return err_set(err, -EADDRINUSE, "socket %s: somebody serves it already",
			       sa->sun_path);
	if (unlink(sa->sun_path) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "socket %s: stale", sa->sun_path);
	return 0;
}

int listen_unix(const char *path, mode_t mode, const struct identity *owner, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	CLEANUP(fd_closep) int fd = -1;
	mode_t old;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(err, -ENAMETOOLONG, "socket: path longer than %zu bytes",
			       sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path));
	r = make_parent(path, 0755, owner, err);
	if (r == 0)
		r = clear_stale(&sa, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, -errno, "socket");
	old = umask(0777 & ~mode);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	(void)umask(old);
	if (r < 0)
		return err_sys(err, r, "socket %s", path);
	if (owner != NULL && chown(path, owner->uid, owner->gid) < 0)
		return err_sys(err, -errno, "socket %s: owner", path);
	return fd_steal(&fd);
}

static int socket_option(int fd, int option, int *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, option, ret, &len) < 0 ? -errno : 0;
}

static int check_inherited(int fd, enum listen_kind kind, struct err *err)
{
	int domain = -1, type = -1, listens = 0;
	bool right;
	int r = socket_option(fd, SO_DOMAIN, &domain);

	if (r == 0)
		r = socket_option(fd, SO_TYPE, &type);
	if (r == 0)
		r = socket_option(fd, SO_ACCEPTCONN, &listens);
	if (r < 0)
		return err_sys(err, r, "LISTEN_FDS: descriptor %d", fd);
	right = kind == LISTEN_UNIX ? domain == AF_UNIX : domain == AF_INET || domain == AF_INET6;
	if (!right || type != SOCK_STREAM || listens != 1)
		return err_set(err, -EINVAL,
			       "LISTEN_FDS: descriptor %d is not a listening %s stream socket", fd,
			       kind == LISTEN_UNIX ? "unix" : "TCP");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(err, -errno, "LISTEN_FDS: descriptor %d", fd);
	r = fd_set_nonblock(fd, true);
	return r < 0 ? err_sys(err, r, "LISTEN_FDS: descriptor %d", fd) : 0;
}

/* The next of the names between colons. One that doesn't fit is none: nobody expects it. */
static void next_name(const char **names, char ret[LISTEN_NAME_MAX + 1])
{
	size_t len = strcspn(*names, ":");

	ret[0] = '\0';
	if (len <= LISTEN_NAME_MAX) {
		memcpy(ret, *names, len);
		ret[len] = '\0';
	}
	*names += len + ((*names)[len] == ':' ? 1 : 0);
}

static int take_inherited(enum listen_kind kind, const char *count, const char *names,
			  struct listen_passed ret[LISTEN_PASSED_MAX], struct err *err)
{
	uint64_t n = 0;

	if (parse_u64(count, 1, LISTEN_PASSED_MAX, &n) < 0)
		return err_set(err, -EINVAL, "LISTEN_FDS: %.16s sockets: not from 1 to %u", count,
			       LISTEN_PASSED_MAX);
	for (uint64_t i = 0; i < n; i++) {
		int r;

		ret[i].fd = LISTEN_INHERITED_FD + (int)i;
		r = check_inherited(ret[i].fd, kind, err);
		if (r < 0)
			return r;
		next_name(&names, ret[i].name);
	}
	return (int)n;
}

int listen_inherited(enum listen_kind kind, struct listen_passed ret[LISTEN_PASSED_MAX],
		     struct err *err)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	uint64_t n = 0;
	int r = -ENOENT;

	/* Variables that are meant for another process are none. */
	if (pid != NULL && fds != NULL && parse_u64(pid, 1, INT32_MAX, &n) == 0 &&
	    n == (uint64_t)getpid())
		r = take_inherited(kind, fds, names == NULL ? "" : names, ret, err);
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return r;
}

int listen_open(int fd, struct err *err)
{
	return listen(fd, LISTEN_BACKLOG) < 0 ? err_sys(err, -errno, "listen") : 0;
}

/* ADDRESS:PORT as a socket address. */
static int parse_address(const char *where, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)ret;
	struct sockaddr_in *four = (struct sockaddr_in *)(void *)ret;
	char host[64];
	const char *colon = strrchr(where, ':');
	size_t len = colon == NULL ? 0 : (size_t)(colon - where);
	uint64_t port;

	if (len == 0 || len >= sizeof(host) || parse_u64(colon + 1, 1, 65535, &port) < 0)
		return -EINVAL;
	memcpy(host, where, len);
	host[len] = '\0';
	*ret = (struct sockaddr_storage){ 0 };
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof(*six);
		return inet_pton(AF_INET6, host + 1, &six->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	four->sin_family = AF_INET;
	four->sin_port = htons((uint16_t)port);
	*ret_len = sizeof(*four);
	return inet_pton(AF_INET, host, &four->sin_addr) == 1 ? 0 : -EINVAL;
}

int listen_tcp(const char *where, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	struct sockaddr_storage sa;
	socklen_t len = 0;
	const int on = 1;

	if (parse_address(where, &sa, &len) < 0)
		return err_set(err, -EINVAL, "%.64s: is not ADDRESS:PORT", where);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, -errno, "socket");
	/* Only for addresses in TIME_WAIT: another listener is an error all the same. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return err_sys(err, -errno, "socket %.64s", where);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		return err_sys(err, -errno, "socket %.64s", where);
	return fd_steal(&fd);
}

int listen_state_dir(const char *path, const struct identity *owner, struct err *err)
{
	if (strlen(path) >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "%.64s...: path too long", path);
	return make_parent(path, 0700, owner, err);
}

int listen_make_dir(const char *path, const struct identity *owner, struct err *err)
{
	return make_dir(path, 0755, owner, err);
}

static int become(const struct identity *id, struct err *err)
{
	if (setgroups(0, NULL) < 0)
		return err_sys(err, -errno, "setgroups");
	if (setresgid(id->gid, id->gid, id->gid) < 0)
		return err_sys(err, -errno, "setresgid");
	if (setresuid(id->uid, id->uid, id->uid) < 0)
		return err_sys(err, -errno, "setresuid");
	return 0;
}

static int drop_capabilities(bool bounding, struct err *err)
{
	capng_clear(CAPNG_SELECT_ALL);
	/* The bounding set can be lowered with CAP_SETPCAP only, so before the uid goes. */
	if (bounding && capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		return err_set(err, -EPERM, "capabilities: cannot clear the bounding set");
	if (!bounding && capng_apply(CAPNG_SELECT_CAPS) < 0)
		return err_set(err, -EPERM, "capabilities: cannot clear them");
	return 0;
}

int privilege_drop(const struct identity *id, struct err *err)
{
	const struct rlimit none = { 0, 0 };
	int r = 0;

	if (id != NULL) {
		r = drop_capabilities(true, err);
		if (r == 0)
			r = become(id, err);
	}
	if (r == 0)
		r = drop_capabilities(false, err);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, -errno, "no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, -errno, "dumpable");
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(err, -errno, "RLIMIT_CORE");
	return 0;
}
