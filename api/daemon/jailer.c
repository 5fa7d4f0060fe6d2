/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/jailer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/proto/contract.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define JAILER_RETRY_FIRST_MS 100U
#define JAILER_RETRY_MAX_MS   5000U
#define JAILER_LIST_MS	      10000U

struct jailer {
	struct loop *loop;
	const char *path;
	struct rpc_conn *conn;
	bool up; /* List has been answered */
	uint64_t save_bytes_max;
	uint64_t retry_ms;
	struct loop_timer *retry;
	struct err problem;
	const struct jailer_watch_ops *watch; /* NULL = none */
	void *watch_arg;
};

static void try_connect(void *arg);

static void retry_later(struct jailer *j)
{
	bool was_up = j->up;

	j->up = false;
	rpc_conn_free(j->conn);
	j->conn = NULL;
	if (was_up && j->watch != NULL)
		j->watch->down(j->watch_arg);
	if (j->retry != NULL)
		return;
	if (loop_timer_add(j->loop, j->retry_ms, try_connect, j, &j->retry) < 0)
		BUG("no memory for one timer");
	j->retry_ms = MIN(j->retry_ms * 2, (uint64_t)JAILER_RETRY_MAX_MS);
}

static void on_closed(struct rpc_conn *c, int reason, void *arg)
{
	struct jailer *j = arg;

	(void)c;
	if (reason < 0)
		(void)err_sys(&j->problem, reason, "connection to %s lost", j->path);
	else
		(void)err_set(&j->problem, -EPIPE, "%s: closed by the jailer", j->path);
	log_warn("jailer.lost", "error=\"%s\"", j->problem.msg);
	retry_later(j);
}

static void on_list(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct jailer *j = arg;

	(void)fds;
	if (st->code == RPC_CANCELLED || st->code == RPC_UNAVAILABLE)
		return; /* the connection's end is handled where it is noticed */
	if (st->code != RPC_OK) {
		(void)err_set(&j->problem, -EPROTO, "%s: List: %s", j->path, st->msg);
		log_error("jailer.list", "error=\"%s\"", st->msg);
		retry_later(j);
		return;
	}
	const Casemate__Jailer__V1__ListResponse *list =
		(const Casemate__Jailer__V1__ListResponse *)out;
	j->up = true;
	j->save_bytes_max = list->save_bytes_max;
	j->retry_ms = JAILER_RETRY_FIRST_MS;
	j->problem = (struct err){ 0 };
	log_info("jailer.up", "path=%s jails=%zu", j->path, list->n_jails);
	if (j->watch != NULL)
		j->watch->up(j->conn, list->jails, list->n_jails, j->watch_arg);
}

static void on_event(const ProtobufCMessage *msg, void *arg)
{
	const Casemate__Jailer__V1__EventsResponse *m = (const void *)msg;
	struct jailer *j = arg;

	if (m->ended != NULL && j->watch != NULL)
		j->watch->ended(m, j->watch_arg);
}

/* Without it ends are noticed all the same, by the VMMs' connections, but not what they were. */
static void on_events_over(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			   void *arg)
{
	(void)out;
	(void)fds;
	(void)arg;
	if (st->code != RPC_CANCELLED && st->code != RPC_UNAVAILABLE)
		log_error("jailer.events", "error=\"%s\"", st->msg);
}

/* Before anything is made over the connection, so that nothing ends unheard. */
static int start_events(struct jailer *j)
{
	static const struct rpc_pending_ops ops = { .data = on_event, .done = on_events_over };
	Casemate__Jailer__V1__EventsRequest req = CASEMATE__JAILER__V1__EVENTS_REQUEST__INIT;

	return rpc_start(j->conn, &jailer_methods[JAILER_EVENTS], &req.base, NULL, 0, &ops, j,
			 NULL);
}

static int open_socket(const char *path, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	CLEANUP(fd_closep) int fd = -1;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s: path too long", path);
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, -errno, "socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(err, -errno, "cannot connect to %s", path);
	return fd_steal(&fd);
}

static void try_connect(void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_list };
	Casemate__Jailer__V1__ListRequest req = CASEMATE__JAILER__V1__LIST_REQUEST__INIT;
	struct jailer *j = arg;
	struct rpc_conn_config cfg = { .closed = on_closed, .arg = j };
	struct rpc_pending *p;
	int fd, r;

	j->retry = NULL;
	fd = open_socket(j->path, &j->problem);
	if (fd < 0) {
		log_debug("jailer.connect", "error=\"%s\"", j->problem.msg);
		retry_later(j);
		return;
	}
	(void)err_set(&j->problem, -EAGAIN, "%s: no answer to List yet", j->path);
	r = rpc_conn_new(j->loop, fd, &cfg, &j->conn);
	if (r == 0)
		r = start_events(j);
	if (r == 0)
		r = rpc_start(j->conn, &jailer_methods[JAILER_LIST], &req.base, NULL,
			      JAILER_LIST_MS, &ops, j, &p);
	if (r < 0) {
		(void)err_sys(&j->problem, r, "%s", j->path);
		retry_later(j);
	}
}

int jailer_new(struct loop *l, const char *path, struct jailer **ret)
{
	struct jailer *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return -ENOMEM;
	j->loop = l;
	j->path = path;
	j->retry_ms = JAILER_RETRY_FIRST_MS;
	(void)err_set(&j->problem, -ENOTCONN, "%s: not connected yet", path);
	*ret = j;
	return 0;
}

void jailer_connect(struct jailer *j)
{
	try_connect(j);
	if (j->conn == NULL)
		log_warn("jailer.connect", "error=\"%s\": retrying", j->problem.msg);
}

void jailer_free(struct jailer *j)
{
	if (j == NULL)
		return;
	loop_timer_del(j->retry);
	j->up = false; /* for callbacks of the calls that end now */
	rpc_conn_free(j->conn);
	free(j);
}

struct rpc_conn *jailer_conn(const struct jailer *j)
{
	return j->up ? j->conn : NULL;
}

uint64_t jailer_save_bytes_max(const struct jailer *j)
{
	return j->up ? j->save_bytes_max : 0;
}

const char *jailer_problem(const struct jailer *j)
{
	return j->up ? "" : j->problem.msg;
}

void jailer_watch(struct jailer *j, const struct jailer_watch_ops *ops, void *arg)
{
	j->watch = ops;
	j->watch_arg = arg;
}
