/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/rpc/rpc.h"
#include "base/fd.h"
#include "base/log.h"
#include "jailer/handlers.h"
#include "jailer/hold.h"

struct client {
	struct server *server; /* NULL = free */
	struct rpc_conn *conn;
	struct session session; /* its address is the owner of its jails, unless they are held */
};

struct server {
	struct loop *loop;
	struct loop_io *io;
	int fd;
	uid_t daemon_uid;
	struct session shared; /* what each client's begins as */
	struct holds *holds;
	struct sockaddr_un addr;
	struct client clients[SERVER_CLIENTS_MAX];
};

static void drop_client(struct client *c)
{
	jails_drop_owner(c->session.jails, &c->session);
	rpc_conn_free(c->conn);
	/* Last: the calls that wrote or read them are over. */
	saves_drop_owner(c->session.saves, &c->session);
	if (c->session.hold != NULL)
		hold_lose(c->session.hold);
	*c = (struct client){ 0 };
}

static void on_closed(struct rpc_conn *conn, int reason, void *arg)
{
	static struct log_limit limit = LOG_LIMIT(20);
	struct session *s = arg;
	struct client *c = CONTAINER_OF(s, struct client, session);

	(void)conn;
	if (log_allowed(&limit))
		log_info("client.end", "reason=%s", reason == 0 ? "closed" : strerror(-reason));
	drop_client(c);
}

static struct client *free_client(struct server *s)
{
	for (size_t i = 0; i < SERVER_CLIENTS_MAX; i++) {
		if (s->clients[i].server == NULL)
			return &s->clients[i];
	}
	return NULL;
}

static bool peer_ok(const struct server *s, int fd, uid_t *ret_uid)
{
	static struct log_limit limit = LOG_LIMIT(5);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || len != sizeof(peer))
		return false;
	*ret_uid = peer.uid;
	if (peer.uid == s->daemon_uid || peer.uid == 0)
		return true;
	if (log_allowed(&limit))
		log_warn("client.refused", "uid=%u pid=%d", (unsigned)peer.uid, (int)peer.pid);
	return false;
}

static void on_connect(struct loop_io *io, int listen_fd, uint32_t events, void *arg)
{
	struct server *s = arg;
	CLEANUP(fd_closep) int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct rpc_conn_config cfg = { .handlers = session_handlers,
				       .handlers_count = session_handlers_count,
				       .closed = on_closed };
	static struct log_limit limit = LOG_LIMIT(5);
	struct client *c;
	uid_t uid;
	int r;

	(void)io;
	(void)events;
	if (fd < 0 || !peer_ok(s, fd, &uid))
		return;
	c = free_client(s);
	if (c == NULL) {
		if (log_allowed(&limit))
			log_warn("client.refused", "there are %d already", SERVER_CLIENTS_MAX);
		return;
	}
	c->session = s->shared;
	c->session.uid = uid;
	cfg.arg = &c->session;
	r = rpc_conn_new(s->loop, fd_steal(&fd), &cfg, &c->conn);
	if (r < 0) {
		log_error("client.refused", "%s", strerror(-r));
		return;
	}
	c->server = s;
}

/* The last component only; a directory that others may write to could be swapped under us. */
static int make_dir(const char *path, struct err *err)
{
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - path);
	struct stat st;
	int r;

	if (path[0] != '/' || n == 0 || n >= sizeof(dir))
		return err_set(err, -EINVAL,
			       "socket %s: an absolute path below a directory is needed", path);
	memcpy(dir, path, n);
	dir[n] = '\0';
	/* Others reach casemated's socket through the same directory, whatever our umask is. */
	r = mkdir(dir, 0755) == 0 ? chmod(dir, 0755) : errno == EEXIST ? 0 : -1;
	if (r < 0)
		return err_sys(err, -errno, "socket directory %s", dir);
	if (stat(dir, &st) < 0)
		return err_sys(err, -errno, "socket directory %s", dir);
	/* Its owner could put a link in the socket's place before we give that away. */
	if (st.st_uid != 0)
		return err_set(err, -EPERM, "socket directory %s belongs to uid %u instead of root",
			       dir, (unsigned)st.st_uid);
	/* A sticky directory protects names from others than their owners. */
	if (!S_ISDIR(st.st_mode) ||
	    ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (st.st_mode & S_ISVTX) == 0))
		return err_set(err, -EPERM, "socket directory %s may be written by others", dir);
	return 0;
}

/* A socket that is still there is an earlier jailer's: the cgroup's lock says that it is gone. */
static int remove_old(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "socket %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "socket %s: something else is there", path);
	return unlink(path) < 0 ? err_sys(err, -errno, "socket %s", path) : 0;
}

static int open_socket(struct server *s, const char *path, struct err *err)
{
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(s->addr.sun_path))
		return err_set(err, -ENAMETOOLONG, "socket %s: at most %zu bytes", path,
			       sizeof(s->addr.sun_path) - 1);
	r = make_dir(path, err);
	if (r == 0)
		r = remove_old(path, err);
	if (r < 0)
		return r;
	s->addr.sun_family = AF_UNIX;
	memcpy(s->addr.sun_path, path, strlen(path) + 1);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return err_sys(err, -errno, "socket");
	mask = umask(0177);
	r = bind(s->fd, (const struct sockaddr *)&s->addr, sizeof(s->addr)) < 0 ? -errno : 0;
	(void)umask(mask);
	/* Root's until here, so nobody can have connected too early. */
	if (r == 0 && lchown(path, s->daemon_uid, (gid_t)-1) < 0)
		r = -errno;
	if (r == 0 && listen(s->fd, SERVER_CLIENTS_MAX) < 0)
		r = -errno;
	return r < 0 ? err_sys(err, r, "socket %s", path) : 0;
}

int server_new(struct loop *l, const struct session *shared, const char *path, uid_t daemon_uid,
	       struct server **ret, struct err *err)
{
	struct server *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return err_sys(err, -ENOMEM, "socket %s", path);
	s->loop = l;
	s->fd = -1;
	s->shared = *shared;
	s->daemon_uid = daemon_uid;
	if (holds_new(l, shared->jails, shared->saves, &s->holds) < 0) {
		server_free(s);
		return err_sys(err, -ENOMEM, "socket %s", path);
	}
	s->shared.holds = s->holds;
	r = open_socket(s, path, err);
	if (r == 0) {
		r = loop_io_add(l, s->fd, EPOLLIN, on_connect, s, &s->io);
		if (r < 0)
			(void)err_sys(err, r, "socket %s", path);
	}
	if (r < 0) {
		server_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void server_free(struct server *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < SERVER_CLIENTS_MAX; i++) {
		if (s->clients[i].server != NULL)
			drop_client(&s->clients[i]);
	}
	holds_free(s->holds);
	loop_io_del(s->io);
	if (s->fd >= 0 && s->addr.sun_path[0] != '\0')
		(void)unlink(s->addr.sun_path);
	fd_closep(&s->fd);
	free(s);
}
