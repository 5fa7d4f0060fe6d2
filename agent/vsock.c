/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
/* after sys/socket.h, which it needs */
#include <linux/vm_sockets.h>
#include <unistd.h>

#include "agent/forward.h"
#include "agent/httpd.h"
#include "api/proto/contract.h"
#include "base/fd.h"
#include "base/log.h"

#define BACKLOG	       128
#define RETRY_FIRST_MS UINT64_C(5)
#define RETRIES_MAX    9 /* doubling: 2.5 s in all */

/* A port that the host may connect to. */
struct port {
	struct vsock *vsock;
	int (*serve)(struct agent *a, int fd);
	int fd;
	struct loop_io *io;
};

struct vsock {
	struct agent *agent;
	struct port rpc, forward;
	int connect_fd; /* -1 unless a connection is being made */
	struct loop_io *connect_io;
	struct loop_timer *retry;
	unsigned retries;
};

static int open_socket(void)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* ---- Connections from the host ----------------------------------------------------------- */

static void on_accept(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	static struct log_limit limit = LOG_LIMIT(5);
	const struct port *p = arg;
	struct sockaddr_vm peer = { 0 };
	socklen_t len = sizeof(peer);
	CLEANUP(fd_closep)
	int conn = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)io;
	(void)events;
	if (conn < 0)
		return;
	/* Through a loopback transport any program of the sandbox could come here and be root. */
	if (peer.svm_family != AF_VSOCK || peer.svm_cid != VMADDR_CID_HOST) {
		if (log_allowed(&limit))
			log_warn("vsock.refused", "cid=%u", peer.svm_cid);
		return;
	}
	if (p->serve(p->vsock->agent, fd_steal(&conn)) < 0 && log_allowed(&limit))
		log_warn("vsock.full", "sessions=%u", p->vsock->agent->sessions_count);
}

static int listen_on(unsigned port)
{
	const struct sockaddr_vm addr = { .svm_family = AF_VSOCK,
					  .svm_cid = VMADDR_CID_ANY,
					  .svm_port = port };
	CLEANUP(fd_closep) int fd = open_socket();

	if (fd < 0)
		return fd;
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return fd_steal(&fd);
}

static int serve_forward(struct agent *a, int fd)
{
	return forward_serve(a->forwards, fd);
}

static int port_open(struct vsock *v, struct port *p, unsigned port,
		     int (*serve)(struct agent *a, int fd))
{
	p->vsock = v;
	p->serve = serve;
	p->fd = listen_on(port);
	return p->fd < 0 ? p->fd
			 : loop_io_add(v->agent->loop, p->fd, EPOLLIN, on_accept, p, &p->io);
}

static void port_close(struct port *p)
{
	loop_io_del(p->io);
	fd_closep(&p->fd);
}

static int open_ports(struct vsock *v, struct err *err)
{
	int http, r = port_open(v, &v->rpc, AGENT_PORT, agent_serve);

	if (r < 0)
		return err_sys(err, r, "vsock port %d", AGENT_PORT);
	r = port_open(v, &v->forward, AGENT_FORWARD_PORT, serve_forward);
	if (r < 0)
		return err_sys(err, r, "vsock port %d", AGENT_FORWARD_PORT);
	http = listen_on(AGENT_HTTP_PORT);
	r = http < 0 ? http : httpd_listen(v->agent->httpd, http, HTTPD_DOOR_HOST);
	return r < 0 ? err_sys(err, r, "vsock port %d", AGENT_HTTP_PORT) : 0;
}

/* ---- The connection to the host ---------------------------------------------------------- */

static void try_connect(void *arg);

static void connect_failed(struct vsock *v, int error)
{
	uint64_t wait = RETRY_FIRST_MS << v->retries;

	loop_io_del(v->connect_io);
	v->connect_io = NULL;
	fd_closep(&v->connect_fd);
	/* The host may still come to us. */
	if (v->retries >= RETRIES_MAX ||
	    loop_timer_add(v->agent->loop, wait, try_connect, v, &v->retry) < 0)
		log_warn("vsock.unannounced", "error=%d", -error);
	v->retries++;
}

static void connected(struct vsock *v)
{
	int r;

	loop_io_del(v->connect_io);
	v->connect_io = NULL;
	r = agent_serve(v->agent, fd_steal(&v->connect_fd));
	if (r < 0)
		log_warn("vsock.unannounced", "error=%d", -r);
}

static void on_connected(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	int error = 0;
	socklen_t len = sizeof(error);

	(void)io;
	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0)
		connect_failed(arg, -error);
	else
		connected(arg);
}

static void try_connect(void *arg)
{
	const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
					  .svm_cid = VMADDR_CID_HOST,
					  .svm_port = AGENT_PORT };
	struct vsock *v = arg;
	int r;

	v->retry = NULL;
	v->connect_fd = open_socket();
	if (v->connect_fd < 0) {
		connect_failed(v, v->connect_fd);
		return;
	}
	if (connect(v->connect_fd, (const struct sockaddr *)&host, sizeof(host)) == 0) {
		connected(v);
		return;
	}
	r = -errno;
	if (r == -EINPROGRESS)
		r = loop_io_add(v->agent->loop, v->connect_fd, EPOLLOUT, on_connected, v,
				&v->connect_io);
	if (r < 0)
		connect_failed(v, r);
}

/* ---- Life -------------------------------------------------------------------------------- */

int vsock_open(struct agent *a, struct vsock **ret, struct err *err)
{
	struct vsock *v = calloc(1, sizeof(*v));
	int r;

	if (v == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	*v = (struct vsock){
		.agent = a, .rpc = { .fd = -1 }, .forward = { .fd = -1 }, .connect_fd = -1
	};
	r = open_ports(v, err);
	if (r < 0) {
		vsock_close(v);
		return r;
	}
	try_connect(v);
	*ret = v;
	return 0;
}

void vsock_close(struct vsock *v)
{
	if (v == NULL)
		return;
	port_close(&v->rpc);
	port_close(&v->forward);
	loop_io_del(v->connect_io);
	loop_timer_del(v->retry);
	fd_closep(&v->connect_fd);
	free(v);
}
