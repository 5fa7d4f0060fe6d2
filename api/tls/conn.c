/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: two buffers, each of the size of one TLS record, filled only when empty. So
 * whenever OpenSSL has decrypted something, all of it is taken at once, and what is not yet taken
 * lies in the kernel, where the loop sees it: there is never anything to do that no event tells of.
 * A full buffer stops the reading of its source, so a slow side holds the other back.
 *
 * Every event ends in step(), which moves what can be moved and then computes from the state what
 * to wait for. A descriptor that nothing is wanted from is not watched at all, since a hang-up
 * can't be masked and would be told for ever.
 *
 * The end of a direction is passed on: close_notify as shutdown(2), and the other way round. A
 * client that closes without close_notify has gone: whatever is under way for it is broken off.
 *
 * "Client" is whoever speaks TLS with us, also where we are its client; "daemon" is the other side.
 */
#include "api/tls/conn.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#define RECORD_MAX 16384U /* plaintext in one record: SSL3_RT_MAX_PLAIN_LENGTH */
#define ROUNDS_MAX 16U	  /* of a step, so that others have their turn */

_Static_assert(RECORD_MAX == SSL3_RT_MAX_PLAIN_LENGTH, "a buffer takes a whole record");

enum phase { PHASE_HANDSHAKE, PHASE_RELAY, PHASE_LINGER };

struct half {
	size_t at, end; /* bytes that wait: [at, end) of data */
	bool eof;	/* its source has ended */
	bool shut;	/* and its sink knows */
	uint8_t data[RECORD_MAX];
};

struct conn {
	const struct conn_config *cfg;
	void *mark;
	SSL *ssl;
	BIO *early; /* ssl's, until all of it is read: what the client had sent before */
	int client, daemon;
	struct loop_io *client_io, *daemon_io;
	uint32_t client_events, daemon_events; /* watched now */
	uint32_t client_wants, daemon_wants;   /* of this step */
	enum phase phase;
	uint64_t progress_ms; /* the phase's begin, or the last byte that was moved */
	struct half up, down; /* to the daemon, to the client */
};

/* What a function of this file may say besides how much it has done. */
enum verdict { GO_ON, GONE };

int conn_new(const struct conn_config *cfg, SSL *ssl, int fd, void *mark, struct conn **ret)
{
	struct conn *c = calloc(1, sizeof(*c));
	const int on = 1;

	if (c == NULL || SSL_set_fd(ssl, fd) != 1) {
		free(c);
		ERR_clear_error();
		return -ENOMEM;
	}
	c->ssl = ssl;
	c->cfg = cfg;
	c->mark = mark;
	c->client = fd;
	c->daemon = -1;
	c->progress_ms = now_ms();
	/* Without these it works as well. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	*ret = c;
	return 0;
}

int conn_set_early(struct conn *c, const void *data, size_t len)
{
	BIO *b = BIO_new(BIO_s_mem());

	BUG_ON(c->early != NULL || len > INT_MAX);
	if (b == NULL || BIO_write(b, data, (int)len) != (int)len) {
		BIO_free(b);
		ERR_clear_error();
		return -ENOMEM;
	}
	/* Empty isn't the end: the socket has the rest. */
	BIO_set_mem_eof_return(b, -1);
	SSL_set0_rbio(c->ssl, b);
	c->early = b;
	return 0;
}

/* All of it is read: the socket is next. */
static void end_early(struct conn *c)
{
	BIO *sock = SSL_get_wbio(c->ssl);

	if (c->early == NULL || BIO_pending(c->early) > 0)
		return;
	BUG_ON(BIO_up_ref(sock) != 1);
	SSL_set0_rbio(c->ssl, sock);
	c->early = NULL;
}

void conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	loop_io_del(c->client_io);
	loop_io_del(c->daemon_io);
	SSL_free(c->ssl);
	fd_closep(&c->client);
	fd_closep(&c->daemon);
	OPENSSL_cleanse(c->up.data, sizeof(c->up.data));
	OPENSSL_cleanse(c->down.data, sizeof(c->down.data));
	free(c);
}

void *conn_mark(const struct conn *c)
{
	return c->mark;
}

bool conn_is_late(const struct conn *c, uint64_t now)
{
	uint64_t limit = c->cfg->idle_ms;

	if (c->phase == PHASE_HANDSHAKE)
		limit = c->cfg->handshake_ms;
	else if (c->phase == PHASE_LINGER)
		limit = CONN_LINGER_MS;
	else if (c->down.at < c->down.end && limit > CONN_STALL_MS)
		limit = CONN_STALL_MS;
	return now >= c->progress_ms && now - c->progress_ms >= limit;
}

static void enter(struct conn *c, enum phase phase)
{
	c->phase = phase;
	c->progress_ms = now_ms();
}

/* ---- TLS ------------------------------------------------------------------------------------ */

/* What an operation of OpenSSL that did not succeed waits for. *ret_eof: the client has said that
 * it sends no more; NULL where that can't be. */
static enum verdict heed(struct conn *c, int result, bool *ret_eof)
{
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		c->client_wants |= EPOLLIN;
		return GO_ON;
	case SSL_ERROR_WANT_WRITE:
		c->client_wants |= EPOLLOUT;
		return GO_ON;
	case SSL_ERROR_ZERO_RETURN:
		if (ret_eof == NULL)
			return GONE;
		*ret_eof = true;
		return GO_ON;
	default:
		return GONE;
	}
}

static void note_failure(void)
{
	static struct log_limit limit = LOG_LIMIT(5);
	const char *why = ERR_reason_error_string(ERR_peek_error());

	if (log_allowed(&limit))
		log_info("tls.handshake", "error=\"%s\"", why == NULL ? "closed" : why);
}

static enum verdict step_handshake(struct conn *c)
{
	int r;

	end_early(c);
	r = SSL_do_handshake(c->ssl);
	if (r != 1) {
		if (heed(c, r, NULL) == GO_ON)
			return GO_ON;
		note_failure();
		return GONE;
	}
	enter(c, PHASE_RELAY);
	c->cfg->established(c, c->cfg->arg);
	c->daemon = c->cfg->dial(c, c->cfg->arg);
	return c->daemon < 0 ? GONE : GO_ON;
}

/* ---- The relay ------------------------------------------------------------------------------ */

static enum verdict read_client(struct conn *c, bool *moved)
{
	struct half *h = &c->up;
	int r;

	if (h->at < h->end || h->eof)
		return GO_ON;
	end_early(c);
	r = SSL_read_ex(c->ssl, h->data, sizeof(h->data), &h->end);
	if (r == 1) {
		h->at = 0;
		*moved = true;
		return GO_ON;
	}
	h->at = h->end = 0;
	return heed(c, r, &h->eof);
}

static enum verdict write_daemon(struct conn *c, bool *moved)
{
	struct half *h = &c->up;

	if (h->at < h->end) {
		ssize_t n = send(c->daemon, h->data + h->at, h->end - h->at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			c->daemon_wants |= EPOLLOUT;
			return GO_ON;
		}
		if (n < 0) {
			/* It may have answered early and closed: the answer is still read. */
			h->at = h->end;
			h->eof = h->shut = true;
			return GO_ON;
		}
		h->at += (size_t)n;
		*moved = true;
	}
	if (h->at == h->end && h->eof && !h->shut) {
		(void)shutdown(c->daemon, SHUT_WR);
		h->shut = true;
	}
	return GO_ON;
}

static enum verdict read_daemon(struct conn *c, bool *moved)
{
	struct half *h = &c->down;
	ssize_t n;

	if (h->at < h->end || h->eof)
		return GO_ON;
	n = recv(c->daemon, h->data, sizeof(h->data), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->daemon_wants |= EPOLLIN;
		return GO_ON;
	}
	if (n <= 0) {
		h->eof = true;
		return GO_ON;
	}
	h->at = 0;
	h->end = (size_t)n;
	*moved = true;
	return GO_ON;
}

static enum verdict write_client(struct conn *c, bool *moved)
{
	struct half *h = &c->down;
	size_t n = 0;
	int r;

	if (h->at < h->end) {
		r = SSL_write_ex(c->ssl, h->data + h->at, h->end - h->at, &n);
		if (r != 1)
			return heed(c, r, NULL);
		h->at += n;
		*moved = true;
	}
	if (h->at < h->end || !h->eof)
		return GO_ON;
	/* The daemon has ended: whatever the client still sends is nobody's. Closing while it
	 * sends would reset the connection, and the answer's last bytes with it. */
	r = SSL_shutdown(c->ssl);
	if (r < 0 && SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_WRITE) {
		c->client_wants |= EPOLLOUT;
		return GO_ON;
	}
	(void)shutdown(c->client, SHUT_WR);
	enter(c, PHASE_LINGER);
	*moved = true;
	return GO_ON;
}

static enum verdict step_relay(struct conn *c, bool *moved)
{
	static enum verdict (*const moves[])(struct conn *, bool *) = { read_client, write_daemon,
									read_daemon, write_client };
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
		ERR_clear_error();
		if (moves[i](c, &any) == GONE)
			return GONE;
	}
	if (any && c->phase == PHASE_RELAY)
		c->progress_ms = now_ms();
	*moved = any;
	return GO_ON;
}

/* Reads until the client has closed, too. */
static enum verdict step_linger(struct conn *c)
{
	ssize_t n = recv(c->client, c->up.data, sizeof(c->up.data), MSG_DONTWAIT);

	c->client_wants |= EPOLLIN;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)) ? GO_ON : GONE;
}

/* ---- Events --------------------------------------------------------------------------------- */

static void on_event(struct loop_io *io, int fd, uint32_t events, void *arg);

static int watch(struct conn *c, int fd, uint32_t wants, uint32_t *events, struct loop_io **io)
{
	int r = 0;

	if (wants == *events)
		return 0;
	if (wants == 0) {
		loop_io_del(*io);
		*io = NULL;
	} else if (*io == NULL) {
		r = loop_io_add(c->cfg->loop, fd, wants, on_event, c, io);
	} else {
		r = loop_io_set(*io, wants);
	}
	*events = r == 0 ? wants : 0;
	return r;
}

static enum verdict step(struct conn *c)
{
	enum verdict v = GO_ON;
	bool moved = true;

	for (unsigned i = 0; i < ROUNDS_MAX && moved && v == GO_ON; i++) {
		enum phase before = c->phase;

		moved = false;
		c->client_wants = c->daemon_wants = 0;
		ERR_clear_error();
		if (c->phase == PHASE_HANDSHAKE)
			v = step_handshake(c);
		else if (c->phase == PHASE_RELAY)
			v = step_relay(c, &moved);
		else
			v = step_linger(c);
		moved = moved || c->phase != before;
	}
	if (v == GO_ON && moved && c->phase == PHASE_RELAY) {
		/* Its turn is over. Whatever is next waits for one of these. */
		if (c->up.at == c->up.end && !c->up.eof)
			c->client_wants |= EPOLLIN;
		if (c->up.at < c->up.end)
			c->daemon_wants |= EPOLLOUT;
		if (c->down.at < c->down.end || c->down.eof)
			c->client_wants |= EPOLLOUT;
		else
			c->daemon_wants |= EPOLLIN;
	}
	if (v == GO_ON &&
	    (watch(c, c->client, c->client_wants, &c->client_events, &c->client_io) < 0 ||
	     watch(c, c->daemon, c->daemon_wants, &c->daemon_events, &c->daemon_io) < 0))
		v = GONE;
	return v;
}

void conn_start(struct conn *c)
{
	if (step(c) == GONE)
		c->cfg->ended(c, c->cfg->arg);
}

static void on_event(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	(void)io;
	(void)fd;
	(void)events; /* errors and ends are seen by reading and writing */
	conn_start(arg);
}
