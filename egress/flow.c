/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "egress/flow_internal.h"

#define BYE_MS	1000U
#define TICK_MS 30000U

_Static_assert(SNIFF_MAX <= RELAY_BUF_BYTES, "what was read goes on as the relay's first bytes");

static void on_guest(struct loop_io *io, int fd, uint32_t events, void *arg);

static void set_timer(struct flow *f, uint64_t ms, loop_timer_fn *fn)
{
	loop_timer_del(f->timer);
	f->timer = NULL;
	/* One without an end ends now: whoever reads from it sees that. */
	if (loop_timer_add(f->egress->loop, ms, fn, f, &f->timer) < 0)
		(void)shutdown(f->guest, SHUT_RDWR);
}

static void count_bytes(struct flow *f)
{
	if (f->relay == NULL)
		return;
	count_add(&f->egress->counts, COUNT_BYTES_OUT, relay_moved(f->relay, true));
	count_add(&f->egress->counts, COUNT_BYTES_IN, relay_moved(f->relay, false));
}

/* Everything but the memory. */
static void flow_close(struct flow *f)
{
	flow_open_cancel(f);
	count_bytes(f);
	relay_free(f->relay);
	f->relay = NULL;
	intercept_free(f->intercept);
	f->intercept = NULL;
	loop_timer_del(f->timer);
	f->timer = NULL;
	loop_io_del(f->io);
	f->io = NULL;
	buf_done(&f->first);
	fd_closep(&f->guest);
	fd_closep(&f->upstream);
}

static void reset_at_close(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void reset_all(struct flow *f)
{
	reset_at_close(f->guest);
	reset_at_close(f->upstream);
	if (f->intercept != NULL)
		intercept_reset(f->intercept);
}

void flow_free(struct flow *f)
{
	if (f == NULL)
		return;
	reset_all(f);
	flow_close(f);
	free(f);
}

/* In good order: what was sent arrives. */
static void flow_end(struct flow *f)
{
	flow_ended_fn *ended = f->ended;
	void *arg = f->arg;

	flow_close(f);
	ended(f, arg);
	free(f);
}

/* At once, both sides see it. */
static void flow_reset(struct flow *f)
{
	reset_all(f);
	flow_end(f);
}

static void on_bye(void *arg)
{
	struct flow *f = arg;

	f->timer = NULL;
	flow_end(f);
}

/* Says it, and then reads until the guest has seen it: a reset would overtake it. */
static void flow_say(struct flow *f, const void *text, size_t len)
{
	f->state = FLOW_BYE;
	(void)send(f->guest, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(f->guest, SHUT_WR);
	if (f->io == NULL &&
	    loop_io_add(f->egress->loop, f->guest, EPOLLIN, on_guest, f, &f->io) < 0)
		flow_reset(f);
	else
		set_timer(f, BYE_MS, on_bye);
}

#define HTTP_TEXT(status, text) \
	"HTTP/1.1 " status "\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" text "\n"

static void flow_tell(struct flow *f, bool refused)
{
	static const char denied[] = HTTP_TEXT(
		"403 Forbidden", "This sandbox's egress policy doesn't allow this request.");
	static const char failed[] =
		HTTP_TEXT("502 Bad Gateway", "The server can't be reached from this sandbox.");
	static const uint8_t alert[] = { 21, 3, 1, 0, 2, 2, 49 }; /* fatal: access_denied */

	if (f->sniff.kind == SNIFF_HTTP && refused)
		flow_say(f, denied, sizeof(denied) - 1);
	else if (f->sniff.kind == SNIFF_HTTP)
		flow_say(f, failed, sizeof(failed) - 1);
	else if (f->sniff.kind == SNIFF_TLS && refused)
		flow_say(f, alert, sizeof(alert));
	else
		flow_reset(f);
}

static void log_refusal(const struct flow *f, enum count which, const char *why)
{
	static struct log_limit lim = LOG_LIMIT(5);
	char text[ADDR_TEXT_MAX];

	count_add(&f->egress->counts, which, 1);
	addr_format(&f->dialled, text);
	if (log_allowed(&lim))
		log_info("connection.refused", "to=%s port=%u name=%s why=%s", text, f->port,
			 f->sniff.name[0] == '\0' ? "-" : f->sniff.name, why);
}

void flow_refuse(struct flow *f, enum count which, const char *why)
{
	log_refusal(f, which, why);
	flow_tell(f, true);
}

void flow_fail(struct flow *f, int error)
{
	static struct log_limit lim = LOG_LIMIT(5);
	char text[ADDR_TEXT_MAX];

	count_add(&f->egress->counts, COUNT_FAILED, 1);
	addr_format(&f->dialled, text);
	if (log_allowed(&lim))
		log_info("connection.failed", "to=%s port=%u name=%s error=%s", text, f->port,
			 f->sniff.name[0] == '\0' ? "-" : f->sniff.name, strerrordesc_np(-error));
	flow_tell(f, false);
}

static void on_relay_ended(struct relay *r, void *arg)
{
	struct flow *f = arg;

	(void)r;
	/* What our ends of TLS still hold is on its way: the guest's end tells when it is there. */
	if (f->intercept != NULL)
		set_timer(f, TICK_MS, on_bye);
	else
		flow_end(f);
}

static void on_tick(void *arg)
{
	struct flow *f = arg;
	uint64_t moved = relay_moved(f->relay, true) + relay_moved(f->relay, false);
	uint64_t now = now_ms();

	f->timer = NULL;
	if (moved != f->moved)
		f->moved_ms = now;
	f->moved = moved;
	if (now - f->moved_ms >= EGRESS_IDLE_MS || now - f->born_ms >= EGRESS_LIFE_MS) {
		count_add(&f->egress->counts, COUNT_TIMED_OUT, 1);
		flow_reset(f);
		return;
	}
	set_timer(f, TICK_MS, on_tick);
}

static void on_filter_failed(void *arg)
{
	struct flow *f = arg;

	f->timer = NULL;
	/* An answer may be under way: nothing can be said any more. */
	log_refusal(f, COUNT_DENIED_NAME, "request");
	flow_reset(f);
}

static int on_request(void *arg, const struct http_head *h, const struct policy_rule **ret_rule)
{
	struct flow *f = arg;
	char name[NAME_CAP];

	if (h->host == NULL || name_from_host(h->host, name) < 0 ||
	    strcmp(name, f->sniff.name) != 0)
		return -EACCES;
	*ret_rule = policy_rule_for(f->egress->policy, name);
	if (*ret_rule != NULL && (*ret_rule)->count > 0)
		count_add(&f->egress->counts, COUNT_HEADERS_SET, 1);
	return 0;
}

static int on_filter(void *arg, struct buf *in, struct buf *out)
{
	struct flow *f = arg;
	int r = inspect_move(&f->inspect, in, out);

	/* Not now: the relay is at work. */
	if (r < 0)
		set_timer(f, 0, on_filter_failed);
	return r;
}

static void tune(int fd)
{
	const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* guest and upstream are connected: first goes ahead of what comes. 0 or -errno. */
static int start_relay(struct flow *f, const void *first, size_t len)
{
	int r = relay_new(f->egress->loop, f->guest, f->upstream, first, len, on_relay_ended, f,
			  &f->relay);

	if (r < 0)
		return r;
	f->state = FLOW_RELAY;
	if (f->secure || (f->by_name && f->sniff.kind == SNIFF_HTTP)) {
		inspect_init(&f->inspect, on_request, f);
		relay_set_filter(f->relay, on_filter, f);
	}
	count_add(&f->egress->counts, COUNT_CONNECTED, 1);
	f->moved_ms = now_ms();
	set_timer(f, TICK_MS, on_tick);
	return 0;
}

/* ---- Connections whose TLS ends here -------------------------------------------------------- */

static bool on_secured(void *arg, int a, int b)
{
	struct flow *f = arg;

	f->guest = a;
	f->upstream = b;
	return start_relay(f, NULL, 0) == 0;
}

static void on_not_secured(void *arg, bool verified)
{
	struct flow *f = arg;

	intercept_free(f->intercept);
	f->intercept = NULL;
	if (verified)
		flow_fail(f, -EPROTO);
	else
		flow_refuse(f, COUNT_DENIED_NAME, "certificate");
}

static void on_secure_ended(void *arg)
{
	flow_end(arg);
}

static void secure(struct flow *f, int upstream)
{
	static const struct intercept_ops ops = { .ready = on_secured,
						  .failed = on_not_secured,
						  .ended = on_secure_ended };
	int r = intercept_new(f->egress, &f->guest, &upstream, f->sniff.name, buf_head(&f->first),
			      buf_len(&f->first), &ops, f, &f->intercept);

	f->state = FLOW_SECURE;
	if (r < 0)
		flow_fail(f, r);
	else
		buf_done(&f->first);
}

/* --------------------------------------------------------------------------------------------- */

void flow_connected(struct flow *f, int upstream)
{
	loop_io_del(f->io);
	f->io = NULL;
	tune(f->guest);
	tune(upstream);
	if (f->secure) {
		secure(f, upstream);
		return;
	}
	f->upstream = upstream;
	if (start_relay(f, buf_head(&f->first), buf_len(&f->first)) < 0)
		flow_reset(f);
	else
		buf_done(&f->first);
}

/* Enough, or as much as there will be. */
static void flow_sniffed(struct flow *f)
{
	loop_io_del(f->io);
	f->io = NULL;
	loop_timer_del(f->timer);
	f->timer = NULL;
	flow_open(f);
}

static void on_sniff_timeout(void *arg)
{
	struct flow *f = arg;

	f->timer = NULL;
	if (buf_len(&f->first) > 0)
		count_add(&f->egress->counts, COUNT_TIMED_OUT, 1);
	flow_sniffed(f);
}

static void flow_read(struct flow *f)
{
	size_t had = buf_len(&f->first), room = MIN(buf_room(&f->first), (size_t)4096);
	uint8_t *p = buf_reserve(&f->first, room);
	ssize_t n = p == NULL ? -1 : recv(f->guest, p, room, MSG_DONTWAIT);

	if (p != NULL && n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* it has gone before it said where to */
		flow_reset(f);
		return;
	}
	buf_commit(&f->first, (size_t)n);
	if (sniff_parse(buf_head(&f->first), buf_len(&f->first), had, &f->sniff) == 0)
		flow_sniffed(f);
}

static void on_guest(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct flow *f = arg;
	char rest[4096];
	ssize_t n;

	(void)io;
	if (f->state == FLOW_SNIFF) {
		flow_read(f);
		return;
	}
	n = recv(fd, rest, sizeof(rest), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
	    (events & (EPOLLHUP | EPOLLERR)) != 0)
		flow_end(f);
}

/* Every address is local where the guest's connections arrive, so an accepted socket's own address
 * is the one that the guest dialled. */
static int find_origin(struct flow *f)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (getsockname(f->guest, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	return addr_from_sockaddr(&ss, &f->dialled, &f->port);
}

static void on_start(void *arg)
{
	struct flow *f = arg;

	f->timer = NULL;
	if (f->egress->policy == NULL || !policy_wants_name(f->egress->policy, f->port)) {
		flow_open(f);
		return;
	}
	f->state = FLOW_SNIFF;
	if (loop_io_add(f->egress->loop, f->guest, EPOLLIN, on_guest, f, &f->io) < 0) {
		flow_reset(f);
		return;
	}
	set_timer(f, EGRESS_SNIFF_MS, on_sniff_timeout);
}

int flow_new(struct egress *e, int fd, flow_ended_fn *ended, void *arg, struct flow **ret)
{
	struct flow *f = calloc(1, sizeof(*f));
	int r;

	if (f == NULL) {
		fd_closep(&fd);
		return -ENOMEM;
	}
	f->egress = e;
	f->ended = ended;
	f->arg = arg;
	f->guest = fd;
	f->upstream = -1;
	f->born_ms = now_ms();
	buf_init(&f->first, SNIFF_MAX);
	r = find_origin(f);
	if (r == 0)
		r = loop_timer_add(e->loop, 0, on_start, f, &f->timer);
	if (r < 0) {
		flow_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

/* Would what is being relayed be connected like this today? */
static bool still_allowed(const struct flow *f, const struct policy *old)
{
	const struct policy *p = f->egress->policy;
	const struct policy_rule *rule =
		f->sniff.name[0] == '\0' ? NULL : policy_rule_for(p, f->sniff.name);
	const char *name = f->by_name ? f->sniff.name : NULL;

	if (!policy_same_proxy(p, old))
		return false;
	/* A request that is to have headers now must be looked at. */
	if (rule != NULL && rule->count > 0 && !f->secure &&
	    !(f->by_name && f->sniff.kind == SNIFF_HTTP))
		return false;
	if (f->remote)
		return policy_names(p, name, f->port);
	return egress_decide(f->egress, name, &f->target, f->port) == POLICY_ALLOW;
}

void flow_policy_changed(struct flow *f, const struct policy *old)
{
	if (f->state == FLOW_OPEN) {
		flow_open_cancel(f);
		flow_open(f);
	} else if ((f->state == FLOW_SECURE || f->state == FLOW_RELAY) && !still_allowed(f, old)) {
		count_add(&f->egress->counts, COUNT_ENDED_BY_POLICY, 1);
		flow_reset(f);
	}
}
