/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: two pumps. Up sends the guest's socket the request: its head, and its body,
 * framed anew, straight from where the client's bytes were read to (http_peek); only heads and
 * framing are put into `up`. Down reads the guest's socket into `down`, parses a head from it, and
 * then hands on pieces of body as far as the client has room. A buffer, once full, stops the
 * reading of its source, so a slow side holds the other back and nothing grows: a request has
 * HTTP_PULL_MAX, UP_MAX, DOWN_MAX and HTTP_ROOM.
 *
 * A pump may end the proxy, after which nothing of it may be touched but by proxy_done: so each
 * ends in a `return`, and `phase` says so to whoever is further up.
 */
#include "api/daemon/proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <vmm.pb-c.h>

#include "api/daemon/profile.h"
#include "api/http/body.h"
#include "api/http/forward.h"
#include "api/proto/contract.h"
#include "base/buf.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "base/relay.h"

#define CONNECT_MS   5000U
#define CHUNK_MARKUP 32U /* room for a chunk's size and ends */
#define INTERIM_MAX  8U	 /* 1xx answers before the real one */
#define DOWN_MAX     65536U
#define UP_MAX	     (HTTP_HEAD_MAX + 4096U) /* a head, with our own fields; and markup */

enum phase {
	PHASE_WAKE,    /* the sandbox is paused, and is to go on */
	PHASE_CONNECT, /* the VMM's answer is awaited */
	PHASE_KNOCK,   /* the forwarder's byte is awaited */
	PHASE_HEAD,    /* the answer's head is awaited */
	PHASE_BODY,    /* it has been passed on; its body comes */
	PHASE_RELAY,   /* upgraded */
	PHASE_OVER,
};

struct proxy {
	struct http_req *req;
	struct loop *loop;
	struct sandboxes *sandboxes;
	char id[SANDBOX_ID_LEN + 1];
	uint16_t port;
	enum phase phase;
	struct sandbox *waking; /* PHASE_WAKE: watched; else NULL */
	struct sandbox_watch watch;
	bool resumed; /* we have asked for it */
	struct rpc_pending *connect;
	struct loop_io *io;
	struct loop_timer *timer;
	struct relay *relay;
	int fd; /* our end towards the guest; -1 = none */
	uint32_t events;
	size_t piece; /* of the body, whose framing is in `up` or has gone: it comes after `up` */
	bool sent;    /* there is no more of the body */
	bool refused; /* the guest takes no more of it */
	bool eof;     /* the guest sends no more */
	struct buf up, down;
	size_t scanned;
	unsigned interims;
	struct http_body body; /* of the answer */
};

/* Never for the guest's eyes: keys of the control plane, and of the door that was passed. */
static const char *const withhold[] = { "X-API-Key", "E2b-Traffic-Access-Token", NULL };
static const char *const withhold_all[] = { "X-API-Key", "E2b-Traffic-Access-Token",
					    "X-Access-Token", "Authorization", NULL };
static const char *const withhold_port[] = { "X-API-Key", "E2b-Traffic-Access-Token",
					     "X-Access-Token", NULL };

/* ---- Its end ------------------------------------------------------------------------------- */

static void stop_waking(struct proxy *p)
{
	if (p->waking != NULL)
		sandbox_unwatch(p->waking, &p->watch);
	p->waking = NULL;
}

static void let_go(struct proxy *p)
{
	p->phase = PHASE_OVER;
	stop_waking(p);
	loop_timer_del(p->timer);
	p->timer = NULL;
	loop_io_del(p->io);
	p->io = NULL;
	relay_free(p->relay);
	p->relay = NULL;
	fd_closep(&p->fd);
	rpc_cancelp(&p->connect);
}

static void proxy_done(void *state)
{
	struct proxy *p = state;
	struct sandbox *s = sandboxes_find(p->sandboxes, p->id);

	let_go(p);
	buf_done(&p->up);
	buf_done(&p->down);
	if (s != NULL)
		sandbox_stream_end(s);
}

/* No answer could be had, or not all of it. */
static void fail(struct proxy *p, unsigned status, const char *code, const char *msg)
{
	json_t *more = json_pack("{s:s, s:i}", "sandboxId", p->id, "port", (int)p->port);

	let_go(p);
	if (http_replied(p->req)) {
		json_decref(more);
		http_reply_end(p->req, false);
	} else {
		http_error_with(p->req, status, code, msg, more);
	}
}

static void finish(struct proxy *p)
{
	let_go(p);
	http_reply_end(p->req, true);
}

/* ---- Up: the request ----------------------------------------------------------------------- */

/* Shows the next piece of the body to be sent, with its framing in `up` before it: its length, 0 =
 * none now, -ENOMEM, -EPROTO. */
static ssize_t next_piece(struct proxy *p, const void **ret_data)
{
	const bool chunked = http_request_head(p->req)->body == HTTP_BODY_CHUNKED;
	char size[CHUNK_MARKUP];
	ssize_t n = p->sent ? 0 : http_peek(p->req, ret_data);
	int r = 0;

	if (n == -EAGAIN || p->sent)
		return 0;
	if (n < 0 || p->piece > 0)
		return n;
	p->piece = (size_t)n;
	p->sent = n == 0;
	if (chunked && n > 0)
		r = buf_put(&p->up, size,
			    (size_t)snprintf(size, sizeof(size), "%zx\r\n", (size_t)n));
	else if (chunked)
		r = buf_put(&p->up, "0\r\n\r\n", 5);
	return r < 0 ? -ENOMEM : n;
}

/* n bytes have gone: 0, -ENOMEM. */
static int take_sent(struct proxy *p, size_t n)
{
	size_t head = MIN(n, buf_len(&p->up)), of_piece = n - head;

	buf_consume(&p->up, head);
	if (of_piece == 0)
		return 0;
	http_skip(p->req, of_piece);
	p->piece -= of_piece;
	if (p->piece > 0 || http_request_head(p->req)->body != HTTP_BODY_CHUNKED)
		return 0;
	return buf_put(&p->up, "\r\n", 2);
}

/* Sends what there is of the request. False: the proxy is over. */
static bool send_up(struct proxy *p)
{
	while (!p->refused) {
		const void *data = NULL;
		ssize_t n = next_piece(p, &data);

		if (n == -EPROTO) {
			fail(p, 400, "bad_request", "body: malformed, or cut off");
			return false;
		}
		if (n == 0 && buf_len(&p->up) == 0)
			return true;
		if (n >= 0)
			n = fd_send_pair(p->fd, buf_head(&p->up), buf_len(&p->up), data, p->piece);
		if (n == -EAGAIN)
			return true;
		if (n >= 0)
			n = take_sent(p, (size_t)n);
		if (n == -ENOMEM) {
			fail(p, 500, "internal", "out of memory");
			return false;
		}
		/* It may have answered early and closed: the answer is still read. */
		p->refused = n < 0;
	}
	return true;
}

/* ---- Down: the answer ---------------------------------------------------------------------- */

static void on_relay_ended(struct relay *r, void *arg)
{
	struct proxy *p = arg;

	(void)r;
	let_go(p);
	http_upgrade_close(p->req);
}

/* The client's connection is a stream of bytes from now on. */
static void on_upgraded(struct http_req *req, int fd, const void *extra, size_t len, void *state)
{
	struct proxy *p = state;
	int r = 0;

	loop_io_del(p->io);
	p->io = NULL;
	/* What a client has sent ahead is little, and the socket empty. */
	if (len > 0 && send(p->fd, extra, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
		r = -EPIPE;
	if (r == 0)
		r = relay_new(p->loop, p->fd, fd, buf_head(&p->down), buf_len(&p->down),
			      on_relay_ended, p, &p->relay);
	if (r == 0)
		return;
	let_go(p);
	http_upgrade_close(req);
}

static void upgrade(struct proxy *p, const struct http_head *h)
{
	struct http_field fields[HTTP_FIELDS_MAX];
	const char *protocol = http_head_field(h, "Upgrade");

	if (!http_request_head(p->req)->upgrade || !h->upgrade) {
		fail(p, 502, "bad_gateway", "the sandbox answered malformed HTTP");
		return;
	}
	p->phase = PHASE_RELAY;
	loop_timer_del(p->timer);
	p->timer = NULL;
	http_upgrade(p->req, protocol, fields, http_forward_fields(h, fields), on_upgraded);
}

/* A parsed head, whose text is the caller's. */
static void take_head(struct proxy *p, const struct http_head *h)
{
	struct http_field fields[HTTP_FIELDS_MAX];

	if (h->status == 101) {
		upgrade(p, h);
		return;
	}
	if (h->status < 200) { /* 100 was answered to the client already */
		if (++p->interims > INTERIM_MAX)
			fail(p, 502, "bad_gateway", "the sandbox answered malformed HTTP");
		return;
	}
	loop_timer_del(p->timer);
	p->timer = NULL;
	http_body_init(&p->body, h);
	p->phase = PHASE_BODY;
	http_reply(p->req, h->status, h->reason, fields, http_forward_fields(h, fields), h->body,
		   h->length);
}

/* True when a head was taken and there may be more. */
static bool step_head(struct proxy *p)
{
	ssize_t len = http_head_length(buf_head(&p->down), buf_len(&p->down), p->scanned);
	struct http_head h;
	char *text;
	int r;

	if (len == 0 && !p->eof) {
		p->scanned = buf_len(&p->down);
		return false;
	}
	p->scanned = 0;
	if (len <= 0) {
		fail(p, 502, "bad_gateway",
		     len < 0 ? "the sandbox answered malformed HTTP"
			     : "the sandbox closed the connection without an answer");
		return false;
	}
	text = malloc((size_t)len + 1);
	if (text == NULL) {
		fail(p, 500, "internal", "out of memory");
		return false;
	}
	memcpy(text, buf_head(&p->down), (size_t)len);
	text[len] = '\0';
	buf_consume(&p->down, (size_t)len);
	r = http_response_parse(text, (size_t)len, http_request_head(p->req)->method, &h);
	if (r < 0)
		fail(p, 502, "bad_gateway", "the sandbox answered malformed HTTP");
	else
		take_head(p, &h);
	free(text);
	return p->phase == PHASE_HEAD || p->phase == PHASE_BODY;
}

/* Hands on as much body as the client has room for. */
static void step_body(struct proxy *p)
{
	while (!p->body.done) {
		size_t room = http_reply_room(p->req);
		const void *data;
		size_t len;
		ssize_t used;
		if (room == 0)
			return; /* `writable` comes */
		used = http_body_take(&p->body, buf_head(&p->down), MIN(buf_len(&p->down), room),
				      &data, &len);
		if (used < 0) {
			fail(p, 502, "bad_gateway", "");
			return;
		}
		if (used == 0)
			break;
		http_reply_put(p->req, data, len);
		buf_consume(&p->down, (size_t)used);
	}
	if (!p->body.done && p->eof && http_body_end(&p->body) < 0) {
		fail(p, 502, "bad_gateway", "");
		return;
	}
	if (p->body.done)
		finish(p);
}

static void fill_down(struct proxy *p)
{
	while (!p->eof && buf_room(&p->down) > 0) {
		size_t room = buf_room(&p->down);
		uint8_t *to = buf_reserve(&p->down, room);
		ssize_t n = to == NULL ? 0 : recv(p->fd, to, room, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			p->eof = true;
			return;
		}
		buf_commit(&p->down, (size_t)n);
		if ((size_t)n < room)
			return;
	}
}

/* ---- Both ---------------------------------------------------------------------------------- */

static void rearm(struct proxy *p)
{
	uint32_t ev = 0;

	if (p->io == NULL)
		return;
	if (!p->eof && buf_room(&p->down) > 0)
		ev |= EPOLLIN;
	if ((buf_len(&p->up) > 0 || p->piece > 0) && !p->refused)
		ev |= EPOLLOUT;
	if (ev == p->events)
		return;
	BUG_ON(loop_io_set(p->io, ev) < 0);
	p->events = ev;
}

/* The forwarder's answer. */
static void step_knock(struct proxy *p)
{
	if (buf_len(&p->down) == 0 && !p->eof)
		return;
	if (buf_len(&p->down) == 0 || *buf_head(&p->down) != 0) {
		fail(p, 502, "port_closed", "The sandbox is running but port is not open");
		return;
	}
	buf_consume(&p->down, 1);
	p->phase = PHASE_HEAD;
}

/* down: the guest's socket may have something. */
static void pump(struct proxy *p, bool down)
{
	if (p->phase < PHASE_KNOCK || p->phase > PHASE_BODY)
		return;
	if (!send_up(p))
		return;
	if (down)
		fill_down(p);
	if (p->phase == PHASE_KNOCK)
		step_knock(p);
	while (p->phase == PHASE_HEAD && step_head(p))
		;
	if (p->phase == PHASE_BODY)
		step_body(p);
	rearm(p);
}

static void on_guest(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct proxy *p = arg;

	(void)fd;
	pump(p, (events & ~(uint32_t)EPOLLOUT) != 0);
	/* A hang-up can't be masked: with a full buffer it would be reported for ever. The rest is
	 * read when the client has taken what is there. */
	if ((events & (EPOLLHUP | EPOLLERR)) != 0 && p->io == io && !p->eof) {
		loop_io_del(p->io);
		p->io = NULL;
	}
}

static void on_readable(struct http_req *req, void *state)
{
	(void)req;
	pump(state, false);
}

static void on_writable(struct http_req *req, void *state)
{
	struct proxy *p = state;

	(void)req;
	/* With nothing left to hand on the loop tells of more, unless it has hung up. */
	pump(p, p->io == NULL);
	if (p->phase == PHASE_BODY && p->io == NULL)
		pump(p, true);
}

static void on_client_gone(struct http_req *req, void *state)
{
	(void)req;
	let_go(state);
}

/* ---- Begin --------------------------------------------------------------------------------- */

static void on_late(void *arg)
{
	struct proxy *p = arg;

	p->timer = NULL;
	fail(p, 504, "gateway_timeout", "the sandbox has not begun an answer");
}

static const char *const *withheld(const struct proxy *p)
{
	const char *auth = http_header(p->req, "Authorization");

	if (p->port == PROXY_AGENT_PORT)
		return withhold;
	/* One of our keys in a field that is otherwise the guest's server's business. */
	return auth != NULL && strstr(auth, "e2b_") != NULL ? withhold_all : withhold_port;
}

/* The Host that a server of the guest is to see; NULL = the client's. The agent sees the client's.
 */
static const char *masked(const struct proxy *p, char buf[HOSTMASK_MAX + 1])
{
	const struct sandbox *s = sandboxes_find(p->sandboxes, p->id);
	const struct profile *profile = s == NULL ? NULL : sandbox_profile(s);

	if (profile == NULL || profile->mask_host[0] == '\0' || p->port == PROXY_AGENT_PORT)
		return NULL;
	hostmask_expand(profile->mask_host, p->port, buf);
	return buf;
}

static void on_connected(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			 void *arg)
{
	struct proxy *p = arg;
	char mask[HOSTMASK_MAX + 1];
	int r;

	(void)out;
	(void)fds;
	p->connect = NULL;
	if (p->phase != PHASE_CONNECT)
		return; /* the client has gone */
	if (st->code != RPC_OK) {
		fail(p, 502, "agent_unreachable",
		     "The sandbox is running but its agent doesn't answer");
		return;
	}
	p->phase = p->port == PROXY_AGENT_PORT ? PHASE_HEAD : PHASE_KNOCK;
	r = http_forward_request(http_request_head(p->req), withheld(p), masked(p, mask),
				 http_id(p->req), &p->up);
	p->events = EPOLLIN;
	if (r == 0)
		r = loop_io_add(p->loop, p->fd, p->events, on_guest, p, &p->io);
	if (r == 0)
		r = loop_timer_add(p->loop, PROXY_HEAD_MS, on_late, p, &p->timer);
	if (r < 0)
		fail(p, 500, "internal", "out of memory");
	else
		pump(p, true);
}

/* Asks the VMM for a stream. */
static int ask(struct proxy *p, struct rpc_conn *vmm)
{
	static const struct rpc_pending_ops ops = { .done = on_connected };
	Casemate__Vmm__V1__ConnectRequest q = CASEMATE__VMM__V1__CONNECT_REQUEST__INIT;
	const uint8_t knock[2] = { (uint8_t)(p->port & 0xff), (uint8_t)(p->port >> 8) };
	CLEANUP(fd_closep) int theirs = -1;
	int sv[2], r = fd_socketpair(sv, true);

	if (r < 0)
		return r;
	p->fd = sv[0];
	theirs = sv[1];
	q.port = PROXY_AGENT_PORT;
	if (p->port != PROXY_AGENT_PORT) {
		q.port = PROXY_FORWARD_PORT;
		if (send(p->fd, knock, sizeof(knock), MSG_NOSIGNAL) != (ssize_t)sizeof(knock))
			return -EIO;
	}
	return rpc_start(vmm, &vmm_methods[VMM_CONNECT], &q.base, &theirs, CONNECT_MS, &ops, p,
			 &p->connect);
}

static void connect_to(struct proxy *p, const struct sandbox *s)
{
	struct rpc_conn *vmm = sandbox_vmm(s);

	p->phase = PHASE_CONNECT;
	if (vmm == NULL || ask(p, vmm) < 0)
		fail(p, 502, "agent_unreachable", "The sandbox can't be reached");
}

/* ---- A paused one --------------------------------------------------------------------------- */

static void on_waking(struct sandbox *s, void *arg);

static void begin_waking(void *arg)
{
	struct proxy *p = arg;
	struct sandbox *s = p->waking;
	struct err err = { 0 };

	p->timer = NULL;
	p->resumed = true;
	if (!sandbox_rests(s)) /* somebody else was faster */
		on_waking(s, p);
	else if (sandbox_resume(s, &err) < 0)
		fail(p, 503, "resume_failed", err.msg);
}

static void on_waking(struct sandbox *s, void *arg)
{
	struct proxy *p = arg;
	const char *code, *msg;

	if (sandbox_rest_pending(s) || p->timer != NULL)
		return;
	/* Not from within the event that paused it: whoever asked for that is told first. */
	if (sandbox_rests(s) && !p->resumed &&
	    loop_timer_add(p->loop, 0, begin_waking, p, &p->timer) == 0)
		return;
	stop_waking(p);
	if (sandbox_away(s) || sandbox_state(s) != SANDBOX_RUNNING) {
		(void)sandbox_rest_fault(s, &code, &msg);
		fail(p, 502, "resume_failed", sandbox_away(s) ? msg : "The sandbox was not found");
		return;
	}
	if (p->resumed)
		sandbox_set_timeout(s, MAX(sandbox_spec(s)->timeout_ms, PROXY_WOKEN_MS));
	connect_to(p, s);
}

static void wake(struct proxy *p, struct sandbox *s)
{
	p->phase = PHASE_WAKE;
	p->waking = s;
	p->watch = (struct sandbox_watch){ .fn = on_waking, .arg = p };
	sandbox_watch(s, &p->watch);
	if (sandbox_rests(s))
		begin_waking(p);
}

void proxy_begin(const struct service *sv, struct http_req *req, struct sandbox *s, uint16_t port)
{
	static const struct http_flow_ops ops = { .readable = on_readable,
						  .writable = on_writable,
						  .gone = on_client_gone };
	struct proxy *p;

	if (!sandbox_stream_begin(s, PROXY_PER_SANDBOX)) {
		http_add_field(req, "Retry-After", "1");
		http_error(req, 429, "too_many_streams", "sandbox %s: %u requests are under way",
			   sandbox_id(s), PROXY_PER_SANDBOX);
		return;
	}
	p = http_set_state(req, sizeof(*p), proxy_done);
	if (p == NULL) {
		sandbox_stream_end(s);
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	p->req = req;
	p->loop = sv->loop;
	p->sandboxes = sv->sandboxes;
	p->port = port;
	p->fd = -1;
	memcpy(p->id, sandbox_id(s), sizeof(p->id));
	buf_init(&p->up, UP_MAX);
	buf_init(&p->down, DOWN_MAX);
	http_take(req, &ops);
	if (sandbox_away(s))
		wake(p, s);
	else
		connect_to(p, s);
}
