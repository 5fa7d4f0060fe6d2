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
	struct jailer_config cfg;
	struct rpc_conn *conn;
	bool resumed;
	bool up; /* List has been answered */
	uint64_t save_bytes_max, snapshot_bytes_max;
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
	if (j->cfg.tried != NULL)
		j->cfg.tried(j->cfg.tried_arg);
	if (j->retry != NULL)
		return;
	if (loop_timer_add(j->cfg.loop, j->retry_ms, try_connect, j, &j->retry) < 0)
		BUG("no memory for one timer");
	j->retry_ms = MIN(j->retry_ms * 2, (uint64_t)JAILER_RETRY_MAX_MS);
}

static void on_closed(struct rpc_conn *c, int reason, void *arg)
{
	struct jailer *j = arg;

	(void)c;
	if (reason < 0)
		(void)err_sys(&j->problem, reason, "connection to %s lost", j->cfg.path);
	else
		(void)err_set(&j->problem, -EPIPE, "%s: closed by the jailer", j->cfg.path);
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
		(void)err_set(&j->problem, -EPROTO, "%s: List: %s", j->cfg.path, st->msg);
		log_error("jailer.list", "error=\"%s\"", st->msg);
		retry_later(j);
		return;
	}
	const Casemate__Jailer__V1__ListResponse *list =
		(const Casemate__Jailer__V1__ListResponse *)out;
	j->up = true;
	j->save_bytes_max = list->save_bytes_max;
	j->snapshot_bytes_max = list->snapshot_bytes_max;
	j->retry_ms = JAILER_RETRY_FIRST_MS;
	j->problem = (struct err){ 0 };
	log_info("jailer.up", "path=%s jails=%zu", j->cfg.path, list->n_jails);
	if (j->watch != NULL)
		j->watch->up(j->conn, j->resumed, list->jails, list->n_jails, j->watch_arg);
	if (j->cfg.tried != NULL)
		j->cfg.tried(j->cfg.tried_arg);
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

/* Who is there, and what ends from now on. */
static int look_round(struct jailer *j)
{
	static const struct rpc_pending_ops ops = { .done = on_list };
	Casemate__Jailer__V1__ListRequest req = CASEMATE__JAILER__V1__LIST_REQUEST__INIT;
	struct rpc_pending *p;
	int r = start_events(j);

	if (r == 0)
		r = rpc_start(j->conn, &jailer_methods[JAILER_LIST], &req.base, NULL,
			      JAILER_LIST_MS, &ops, j, &p);
	return r;
}

/* A connection of ours whose end the jailer has not seen yet may have the hold: then later. */
static void on_held(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct jailer *j = arg;
	int r = 0;

	(void)fds;
	if (st->code == RPC_CANCELLED || st->code == RPC_UNAVAILABLE)
		return;
	if (st->code == RPC_OK) {
		j->resumed = ((const Casemate__Jailer__V1__HoldResponse *)out)->resumed;
		r = look_round(j);
	}
	if (st->code != RPC_OK || r < 0) {
		(void)err_set(&j->problem, -EPROTO, "%s: Hold: %s", j->cfg.path,
			      r < 0 ? strerror(-r) : st->msg);
		log_warn("jailer.hold", "error=\"%s\"", j->problem.msg);
		retry_later(j);
	}
}

static int hold(struct jailer *j)
{
	static const struct rpc_pending_ops ops = { .done = on_held };
	Casemate__Jailer__V1__HoldRequest req = CASEMATE__JAILER__V1__HOLD_REQUEST__INIT;
	struct rpc_pending *p;

	req.token.data = (uint8_t *)(uintptr_t)j->cfg.token;
	req.token.len = JAILER_TOKEN_BYTES;
	req.seconds = (uint32_t)j->cfg.hold_seconds;
	return rpc_start(j->conn, &jailer_methods[JAILER_HOLD], &req.base, NULL, JAILER_LIST_MS,
			 &ops, j, &p);
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
	struct jailer *j = arg;
	struct rpc_conn_config cfg = { .closed = on_closed, .arg = j };
	int fd, r;

	j->retry = NULL;
	fd = open_socket(j->cfg.path, &j->problem);
	if (fd < 0) {
		log_debug("jailer.connect", "error=\"%s\"", j->problem.msg);
		retry_later(j);
		return;
	}
	(void)err_set(&j->problem, -EAGAIN, "%s: no answer to List yet", j->cfg.path);
	r = rpc_conn_new(j->cfg.loop, fd, &cfg, &j->conn);
	j->resumed = false;
	if (r == 0)
		r = j->cfg.hold_seconds > 0 ? hold(j) : look_round(j);
	if (r < 0) {
		(void)err_sys(&j->problem, r, "%s", j->cfg.path);
		retry_later(j);
	}
}

int jailer_new(const struct jailer_config *cfg, struct jailer **ret)
{
	struct jailer *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return -ENOMEM;
	j->cfg = *cfg;
	j->retry_ms = JAILER_RETRY_FIRST_MS;
	(void)err_set(&j->problem, -ENOTCONN, "%s: not connected yet", cfg->path);
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

bool jailer_is_trying(const struct jailer *j)
{
	return j->conn != NULL && !j->up;
}

struct rpc_conn *jailer_conn(const struct jailer *j)
{
	return j->up ? j->conn : NULL;
}

bool jailer_holds(const struct jailer *j)
{
	return j->cfg.hold_seconds > 0;
}

uint64_t jailer_save_bytes_max(const struct jailer *j)
{
	return j->up ? j->save_bytes_max : 0;
}

uint64_t jailer_snapshot_bytes_max(const struct jailer *j)
{
	return j->up ? j->snapshot_bytes_max : 0;
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
