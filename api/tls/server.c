/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/server.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/tls/source.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define SWEEP_MS	 1000U
#define ACCEPTS_MAX	 16U   /* in a row */
#define PAUSE_MS	 1000U /* when the kernel has no descriptors */
#define HANDSHAKES_SHARE 4U    /* one of so many places */

struct slot {
	struct server *server;
	struct conn *conn; /* NULL: free */
	int source;
	bool shaking;
	uint64_t number; /* of the accept: tells age */
};

struct door {
	int fd;
	struct loop_io *io;
};

struct server {
	struct server_config cfg;
	struct conn_config conn_cfg;
	struct sockaddr_un to;
	SSL_CTX *tls;
	struct sources *sources;
	struct door doors[SERVER_DOORS_MAX];
	size_t doors_count;
	struct loop_timer *sweep, *pause;
	struct server_counts counts;
	size_t handshakes;
	bool draining;
	struct slot slots[];
};

static void on_sweep(void *arg);

static void arm_sweep(struct server *s)
{
	if (s->sweep == NULL && s->counts.conns > 0 &&
	    loop_timer_add(s->cfg.loop, SWEEP_MS, on_sweep, s, &s->sweep) < 0)
		BUG("no memory for one timer");
}

static void end(struct slot *slot)
{
	struct server *s = slot->server;

	conn_free(slot->conn);
	slot->conn = NULL;
	source_give_back(s->sources, slot->source);
	if (slot->shaking)
		s->handshakes--;
	s->counts.conns--;
	if (s->draining && s->counts.conns == 0)
		s->cfg.drained(s->cfg.arg);
}

static void on_ended(struct conn *c, void *arg)
{
	(void)arg;
	end(conn_mark(c));
}

static void on_established(struct conn *c, void *arg)
{
	struct server *s = arg;
	struct slot *slot = conn_mark(c);

	BUG_ON(!slot->shaking || s->handshakes == 0);
	slot->shaking = false;
	s->handshakes--;
	s->counts.established++;
}

static int on_dial(struct conn *c, void *arg)
{
	static struct log_limit limit = LOG_LIMIT(5);
	const struct server *s = arg;
	CLEANUP(fd_closep)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)c;
	/* At once or not at all: EAGAIN says that casemated has more clients waiting than it
	 * takes. */
	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)(const void *)&s->to, sizeof(s->to)) == 0)
		return fd_steal(&fd);
	if (log_allowed(&limit))
		log_warn("tls.connect", "to=\"%s\" error=\"%s\"", s->to.sun_path, strerror(errno));
	return -ECONNREFUSED;
}

static void on_sweep(void *arg)
{
	struct server *s = arg;
	const uint64_t now = now_ms();

	s->sweep = NULL;
	for (size_t i = 0; i < s->cfg.conns; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->conn == NULL || !conn_is_late(slot->conn, now))
			continue;
		s->counts.late++;
		end(slot);
	}
	arm_sweep(s);
}

/* ---- Accepting ------------------------------------------------------------------------------ */

static bool evict_handshake(struct server *s)
{
	struct slot *oldest = NULL;

	for (size_t i = 0; i < s->cfg.conns; i++) {
		struct slot *at = &s->slots[i];

		if (at->conn != NULL && at->shaking &&
		    (oldest == NULL || at->number < oldest->number))
			oldest = at;
	}
	if (oldest == NULL)
		return false;
	s->counts.evicted++;
	end(oldest);
	return true;
}

static struct slot *find_room(struct server *s)
{
	if (s->handshakes >= MAX(s->cfg.conns / HANDSHAKES_SHARE, (size_t)1) ||
	    s->counts.conns == s->cfg.conns)
		(void)evict_handshake(s);
	for (size_t i = 0; i < s->cfg.conns; i++)
		if (s->slots[i].conn == NULL)
			return &s->slots[i];
	return NULL;
}

static void refuse(struct server *s, const char *why)
{
	static struct log_limit limit = LOG_LIMIT(5);

	s->counts.refused++;
	if (log_allowed(&limit))
		log_warn("tls.refused", "why=\"%s\" connections=%zu", why, s->counts.conns);
}

static int begin(struct server *s, int fd, struct slot *slot)
{
	SSL *ssl = SSL_new(s->tls);
	int r;

	if (ssl == NULL) {
		ERR_clear_error();
		return -ENOMEM;
	}
	SSL_set_accept_state(ssl);
	r = conn_new(&s->conn_cfg, ssl, fd, slot, &slot->conn);
	if (r < 0)
		SSL_free(ssl);
	return r;
}

static void take(struct server *s, int client, const struct sockaddr_storage *from)
{
	CLEANUP(fd_closep) int fd = client;
	int source = source_take(s->sources, from);
	struct slot *slot;

	s->counts.accepted++;
	if (source < 0) {
		refuse(s, "too many of one address");
		return;
	}
	slot = find_room(s);
	if (slot == NULL || begin(s, fd, slot) < 0) {
		source_give_back(s->sources, source);
		refuse(s, slot == NULL ? "too many" : "no memory");
		return;
	}
	(void)fd_steal(&fd);
	slot->source = source;
	slot->shaking = true;
	slot->number = s->counts.accepted;
	s->handshakes++;
	s->counts.conns++;
	arm_sweep(s);
	conn_start(slot->conn);
}

static int watch_doors(struct server *s);

static void on_pause_over(void *arg)
{
	struct server *s = arg;

	s->pause = NULL;
	if (watch_doors(s) < 0)
		BUG("no memory for a door");
}

/* What can't be accepted would be told of for ever. */
static void pause_doors(struct server *s, int error)
{
	static struct log_limit limit = LOG_LIMIT(5);

	if (log_allowed(&limit))
		log_warn("tls.accept", "error=\"%s\"", strerror(error));
	for (size_t i = 0; i < s->doors_count; i++) {
		loop_io_del(s->doors[i].io);
		s->doors[i].io = NULL;
	}
	if (s->pause == NULL &&
	    loop_timer_add(s->cfg.loop, PAUSE_MS, on_pause_over, s, &s->pause) < 0)
		BUG("no memory for one timer");
}

static void on_clients(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct server *s = arg;

	(void)io;
	(void)events;
	for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof(from);
		int client =
			accept4(fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			take(s, client, &from);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN)
			pause_doors(s, errno);
		return;
	}
}

static int watch_doors(struct server *s)
{
	int r = 0;

	for (size_t i = 0; i < s->doors_count && r == 0; i++)
		if (s->doors[i].io == NULL)
			r = loop_io_add(s->cfg.loop, s->doors[i].fd, EPOLLIN, on_clients, s,
					&s->doors[i].io);
	return r;
}

/* ---- Life ----------------------------------------------------------------------------------- */

int server_new(const struct server_config *cfg, struct server **ret)
{
	struct server *s;
	int r;

	if (strlen(cfg->to) >= sizeof(s->to.sun_path))
		return -ENAMETOOLONG;
	s = calloc(1, sizeof(*s) + cfg->conns * sizeof(s->slots[0]));
	if (s == NULL)
		return -ENOMEM;
	/* One more: who is to be refused, or makes somebody else go. */
	r = sources_new(cfg->conns + 1, cfg->conns_per_source, &s->sources);
	if (r < 0) {
		free(s);
		return r;
	}
	s->cfg = *cfg;
	s->to.sun_family = AF_UNIX;
	memcpy(s->to.sun_path, cfg->to, strlen(cfg->to));
	s->conn_cfg = (struct conn_config){ .loop = cfg->loop,
					    .handshake_ms = cfg->handshake_ms,
					    .idle_ms = cfg->idle_ms,
					    .ended = on_ended,
					    .established = on_established,
					    .dial = on_dial,
					    .arg = s };
	for (size_t i = 0; i < cfg->conns; i++)
		s->slots[i].server = s;
	*ret = s;
	return 0;
}

void server_use(struct server *s, SSL_CTX *tls)
{
	SSL_CTX_free(s->tls);
	s->tls = tls;
}

int server_listen(struct server *s, int fd)
{
	BUG_ON(s->tls == NULL || s->doors_count == SERVER_DOORS_MAX);
	s->doors[s->doors_count++].fd = fd;
	return watch_doors(s);
}

static void close_doors(struct server *s)
{
	loop_timer_del(s->pause);
	s->pause = NULL;
	for (size_t i = 0; i < s->doors_count; i++) {
		loop_io_del(s->doors[i].io);
		fd_closep(&s->doors[i].fd);
	}
	s->doors_count = 0;
}

void server_drain(struct server *s)
{
	if (s->draining)
		return;
	s->draining = true;
	close_doors(s);
	if (s->counts.conns == 0)
		s->cfg.drained(s->cfg.arg);
}

void server_free(struct server *s)
{
	if (s == NULL)
		return;
	s->draining = false;
	close_doors(s);
	loop_timer_del(s->sweep);
	for (size_t i = 0; i < s->cfg.conns; i++)
		if (s->slots[i].conn != NULL)
			end(&s->slots[i]);
	sources_free(s->sources);
	SSL_CTX_free(s->tls);
	free(s);
}

void server_count(const struct server *s, struct server_counts *ret)
{
	*ret = s->counts;
}
