/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/upload.h"

#include <errno.h>
#include <jailer.pb-c.h>
#include <string.h>
#include <sys/socket.h>

#include "api/daemon/jailer.h"
#include "api/daemon/service.h"
#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"

#define PIECE_BYTES (64U * 1024U)

struct upload {
	struct http_req *req;
	struct loop *loop;
	struct rpc_pending *call;
	struct loop_io *io;
	struct loop_timer *timer;
	uint64_t moved_ms; /* when a byte was last passed on */
	int fd;		   /* our end towards the jailer; -1 = it has all, or wants no more */
	size_t at, len;	   /* of piece */
	char piece[PIECE_BYTES];
};

bool upload_is(const struct http_req *req)
{
	return strcmp(http_request_head(req)->method, "POST") == 0 &&
	       strcmp(http_path(req), "/v1/images") == 0;
}

/* ---- Its end ------------------------------------------------------------------------------- */

static void stop_sending(struct upload *u)
{
	loop_io_del(u->io);
	u->io = NULL;
	fd_closep(&u->fd);
}

static void upload_done(void *state)
{
	struct upload *u = state;

	stop_sending(u);
	loop_timer_del(u->timer);
	u->timer = NULL;
	rpc_cancelp(&u->call);
}

static void fail(struct upload *u, unsigned status, const char *code, const char *msg)
{
	struct http_req *req = u->req;

	upload_done(u);
	http_error(req, status, code, "%s", msg);
}

static void refused(struct upload *u, const struct rpc_status *st)
{
	if (st->code == RPC_INVALID_ARGUMENT || st->code == RPC_OUT_OF_RANGE)
		fail(u, 400, "invalid_argument", st->msg);
	else if (st->code == RPC_RESOURCE_EXHAUSTED)
		fail(u, 507, "no_room", st->msg);
	else if (st->code == RPC_FAILED_PRECONDITION)
		fail(u, 429, "too_many_uploads", st->msg);
	else if (st->code == RPC_UNIMPLEMENTED)
		fail(u, 501, "not_supported", st->msg);
	else if (st->code == RPC_UNAVAILABLE)
		fail(u, 503, "unavailable", st->msg);
	else
		fail(u, 500, "internal", st->msg);
}

static void on_stored(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	const Casemate__Jailer__V1__StoreImageResponse *m = (const void *)out;
	struct upload *u = arg;
	struct http_req *req = u->req;

	(void)fds;
	u->call = NULL;
	if (st->code == RPC_CANCELLED)
		return; /* by us, or with the daemon */
	if (st->code != RPC_OK) {
		refused(u, st);
		return;
	}
	upload_done(u);
	http_answer(req, 201,
		    json_pack("{s:o, s:I, s:b, s:b}", "digest",
			      json_sprintf("sha256:%s", m->digest), "bytes",
			      (json_int_t)http_request_head(req)->length, "existed",
			      (int)m->existed, "verity", (int)m->verity));
}

/* ---- On the way ---------------------------------------------------------------------------- */

/* The next piece: > 0, 0 = that was all or not yet, -EPROTO. */
static ssize_t refill(struct upload *u)
{
	ssize_t n = http_pull(u->req, u->piece, sizeof(u->piece));

	if (n == 0) /* all: the jailer sees the end */
		stop_sending(u);
	if (n <= 0)
		return n == -EAGAIN ? 0 : n;
	u->at = 0;
	u->len = (size_t)n;
	return n;
}

static void pump(struct upload *u)
{
	while (u->fd >= 0) {
		if (u->at == u->len) {
			ssize_t n = refill(u);
			if (n < 0) {
				fail(u, 400, "bad_request", "body: malformed, or cut off");
				return;
			}
			if (n == 0)
				break;
		}
		ssize_t n =
			send(u->fd, u->piece + u->at, u->len - u->at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			stop_sending(u); /* it wants no more: its answer says why */
			return;
		}
		if (n < 0)
			break;
		u->at += (size_t)n;
		u->moved_ms = now_ms();
	}
	if (u->fd >= 0 && loop_io_set(u->io, u->at < u->len ? EPOLLOUT : 0) < 0)
		fail(u, 500, "internal", "event loop");
}

static void on_socket(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	(void)io;
	(void)fd;
	(void)events;
	pump(arg);
}

static void on_readable(struct http_req *req, void *state)
{
	(void)req;
	pump(state);
}

static void on_gone(struct http_req *req, void *state)
{
	(void)req;
	upload_done(state);
}

/* Only what is waited for from the client counts: the jailer may flush for as long as it takes. */
static void on_tick(void *arg)
{
	struct upload *u = arg;

	u->timer = NULL;
	if (u->fd < 0)
		return;
	if (u->at == u->len && now_ms() - u->moved_ms >= UPLOAD_STALL_MS)
		fail(u, 408, "timeout", "body: nothing came for a minute");
	else if (loop_timer_add(u->loop, UPLOAD_STALL_MS / 4, on_tick, u, &u->timer) < 0)
		fail(u, 500, "internal", "out of memory");
}

/* ---- Its beginning ------------------------------------------------------------------------- */

/* "sha256:HEX" or HEX; the jailer checks its form. */
static const char *wanted_digest(const struct http_req *req)
{
	const char *d = http_query(req, "digest");

	if (d == NULL)
		return "";
	return strncmp(d, "sha256:", 7) == 0 ? d + 7 : d;
}

static int start(struct upload *u, struct rpc_conn *jailer)
{
	static const struct rpc_pending_ops ops = { .done = on_stored };
	Casemate__Jailer__V1__StoreImageRequest q = CASEMATE__JAILER__V1__STORE_IMAGE_REQUEST__INIT;
	CLEANUP(fd_closep) int theirs = -1;
	int sv[2], r = fd_socketpair(sv, false);

	if (r < 0)
		return r;
	u->fd = sv[0];
	theirs = sv[1];
	q.bytes = http_request_head(u->req)->length;
	q.digest = (char *)(size_t)wanted_digest(u->req);
	r = loop_io_add(u->loop, u->fd, 0, on_socket, u, &u->io);
	if (r == 0)
		r = loop_timer_add(u->loop, UPLOAD_STALL_MS / 4, on_tick, u, &u->timer);
	if (r == 0)
		r = rpc_start(jailer, &jailer_methods[JAILER_STORE_IMAGE], &q.base, &theirs, 0,
			      &ops, u, &u->call);
	return r;
}

void upload_begin(const struct service *sv, struct http_req *req)
{
	static const struct http_flow_ops ops = { .readable = on_readable, .gone = on_gone };
	const struct http_head *h = http_request_head(req);
	struct rpc_conn *jailer = jailer_conn(sv->jailer);
	struct upload *u;

	if (h->body != HTTP_BODY_LENGTH || h->length == 0) {
		http_error(req, 411, "length_required",
			   "Content-Length: is needed, of at least one byte");
		return;
	}
	if (jailer == NULL) {
		http_error(req, 503, "unavailable", "jailer: %s", jailer_problem(sv->jailer));
		return;
	}
	u = http_set_state(req, sizeof(*u), upload_done);
	if (u == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	u->req = req;
	u->loop = sv->loop;
	u->fd = -1;
	u->moved_ms = now_ms();
	http_take(req, &ops);
	if (start(u, jailer) < 0)
		fail(u, 500, "internal", "the image can't be passed on");
}
