/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/http_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/http/body.h"
#include "api/http/head.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define SEND_TIMEOUT_S 10
#define UPLOAD_PIECE   65536U
#define UPLOAD_WAIT_MS 120000U /* for the daemon to take a byte */
#define UPLOAD_END_MS  600000U /* for it to have all on its disk */
#define PATH_BYTES_MAX 256U

struct http_client {
	struct cli *cli;
	int fd;
	struct buf in;
	bool ready;		  /* set by the loop */
	char text[HTTP_HEAD_MAX]; /* the last answer's head, cut into strings */
};

static void on_ready(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct http_client *c = arg;

	(void)fd;
	(void)events;
	c->ready = true;
	loop_io_del(io);
}

int http_client_dial(struct cli *cli, int *ret_fd, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = SEND_TIMEOUT_S };
	CLEANUP(fd_closep) int fd = -1;

	if (strlen(cli->socket) >= sizeof(sa.sun_path))
		return err_set(
			err, -ENAMETOOLONG,
			"daemon: socket path is longer than %zu bytes; pass a shorter --socket",
			sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, cli->socket, strlen(cli->socket));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, -errno, "socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_set(err, -errno,
			       "daemon: cannot connect to %s: %s; start casemated or pass --socket",
			       cli->socket, strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	*ret_fd = fd_steal(&fd);
	return 0;
}

int http_client_open(struct cli *cli, struct http_client **ret, struct err *err)
{
	struct http_client *c;
	int fd = -1, r = http_client_dial(cli, &fd, err);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		fd_closep(&fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	c->cli = cli;
	c->fd = fd;
	buf_init(&c->in, HTTP_HEAD_MAX + HTTP_ANSWER_MAX);
	*ret = c;
	return 0;
}

void http_client_free(struct http_client *c)
{
	if (c == NULL)
		return;
	fd_closep(&c->fd);
	buf_done(&c->in);
	free(c);
}

/* Waits for bytes, or for room: 0, -ETIMEDOUT, -EINTR, -errno. until_ms 0 = for ever. */
static int wait_ready(struct http_client *c, uint32_t events, uint64_t until_ms)
{
	struct cli *cli = c->cli;
	struct loop_io *io = NULL;
	int r;

	c->ready = false;
	r = loop_io_add(cli->loop, c->fd, events, on_ready, c, &io);
	if (r < 0)
		return r;
	while (r == 0 && !c->ready) {
		uint64_t now = now_ms();
		if (cli->signo != 0 && cli->on_signal == NULL)
			r = -EINTR;
		else if (until_ms != 0 && now >= until_ms)
			r = -ETIMEDOUT;
		else
			r = loop_step(cli->loop,
				      until_ms == 0 ? -1
						    : (int)MIN(until_ms - now, UINT64_C(60000)));
	}
	if (!c->ready)
		loop_io_del(io); /* else its callback has done so */
	return r;
}

/* More bytes of the answer: 0 or -errno; the end of the connection is -ECONNRESET. */
static int read_more(struct http_client *c, uint64_t until_ms)
{
	uint8_t *p = buf_reserve(&c->in, 4096);
	ssize_t n;
	int r;

	if (p == NULL)
		return -EFBIG;
	r = wait_ready(c, EPOLLIN, until_ms);
	if (r < 0)
		return r;
	n = recv(c->fd, p, 4096, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	buf_commit(&c->in, (size_t)n);
	return 0;
}

static int explain(struct err *err, int r)
{
	switch (-r) {
	case EINTR:
		return err_set(err, r, "interrupted");
	case ETIMEDOUT:
		return err_set(err, r, "daemon: no answer in time; see its log");
	case ECONNRESET:
		return err_set(err, r, "daemon: closed the connection; see its log");
	case EPROTO:
		return err_set(err, r, "daemon: not an HTTP/1.1 answer; is --socket casemated's?");
	case EFBIG:
		return err_set(err, r, "daemon: answer is too long");
	default:
		return err_sys(err, r, "daemon");
	}
}

static int send_request(struct http_client *c, const char *method, const char *path,
			const char *extra, const char *body)
{
	char head[PATH_BYTES_MAX + 256];
	const size_t len = body == NULL ? 0 : strlen(body);
	int n = snprintf(head, sizeof(head),
			 "%s %s HTTP/1.1\r\nHost: casemate\r\n%sContent-Length: %zu\r\n\r\n",
			 method, path, extra, len);
	int r;

	if (n < 0 || (size_t)n >= sizeof(head))
		return -ENAMETOOLONG;
	r = fd_write_full(c->fd, head, (size_t)n);
	if (r == 0 && len > 0)
		r = fd_write_full(c->fd, body, len);
	/* The daemon may have answered and closed without reading all: the answer counts. */
	return r == -EPIPE ? 0 : r;
}

/* The head of the next answer; informational ones but 101 are skipped. *ret's strings live until
 * the next call. */
static int read_head(struct http_client *c, uint64_t until_ms, const char *method,
		     struct http_head *ret)
{
	size_t seen = 0;

	for (;;) {
		ssize_t n = http_head_length(buf_head(&c->in), buf_len(&c->in), seen);
		int r;
		if (n < 0)
			return (int)n;
		if (n > 0) {
			memcpy(c->text, buf_head(&c->in), (size_t)n);
			buf_consume(&c->in, (size_t)n);
			r = http_response_parse(c->text, (size_t)n, method, ret);
			if (r < 0 || ret->status >= 200 || ret->status == 101)
				return r;
			seen = 0;
			continue;
		}
		seen = buf_len(&c->in);
		r = read_more(c, until_ms);
		if (r < 0)
			return r;
	}
}

/* Gives the body to fn in pieces. */
static int read_body(struct http_client *c, const struct http_head *h, uint64_t until_ms,
		     int (*fn)(const char *data, size_t len, void *arg), void *arg)
{
	struct http_body b;
	int r = 0;

	http_body_init(&b, h);
	while (r == 0 && !b.done) {
		const void *piece = NULL;
		size_t len = 0;
		ssize_t used = http_body_take(&b, buf_head(&c->in), buf_len(&c->in), &piece, &len);
		if (used < 0)
			return (int)used;
		if (len > 0)
			r = fn(piece, len, arg);
		buf_consume(&c->in, (size_t)used);
		if (r == 0 && used == 0 && !b.done)
			r = read_more(c, until_ms);
		if (r == -ECONNRESET)
			return http_body_end(&b) == 0 ? 0 : r;
	}
	return r;
}

static int keep_body(const char *data, size_t len, void *arg)
{
	int r = buf_put(arg, data, len);

	return r == -ENOSPC ? -EFBIG : r;
}

/* The message of an error answer into *err: always -EREMOTEIO. */
static int remote_error(const struct http_head *h, const struct buf *body, json_t **ret_error,
			struct err *err)
{
	json_t *o = json_loadb((const char *)buf_head(body), buf_len(body), JSON_REJECT_DUPLICATES,
			       NULL);
	const char *msg = json_string_value(json_object_get(o, "message"));

	if (msg != NULL)
		(void)err_set(err, -EREMOTEIO, "%s", msg);
	else
		(void)err_set(err, -EREMOTEIO, "daemon: answered with status %u", h->status);
	if (ret_error != NULL)
		*ret_error = json_incref(o);
	json_decref(o);
	return -EREMOTEIO;
}

static int finish_call(struct http_client *c, const struct http_head *h, uint64_t until_ms,
		       json_t **ret, json_t **ret_error, struct err *err)
{
	struct buf body;
	json_t *o = NULL;
	int r;

	buf_init(&body, HTTP_ANSWER_MAX);
	r = read_body(c, h, until_ms, keep_body, &body);
	if (r < 0)
		(void)explain(err, r);
	else if (h->status >= 300 || h->status == 101)
		r = remote_error(h, &body, ret_error, err);
	else if (buf_len(&body) > 0) {
		o = json_loadb((const char *)buf_head(&body), buf_len(&body),
			       JSON_REJECT_DUPLICATES, NULL);
		if (o == NULL)
			r = err_set(err, -EPROTO, "daemon: answer is not JSON");
	}
	buf_done(&body);
	if (r == 0 && ret != NULL)
		*ret = o;
	else
		json_decref(o);
	return r;
}

int http_client_call(struct http_client *c, const char *method, const char *path,
		     const json_t *body, uint64_t timeout_ms, json_t **ret, json_t **ret_error,
		     struct err *err)
{
	const uint64_t until = now_ms() + timeout_ms;
	char *text = NULL;
	struct http_head h = { .status = 0 };
	int r;

	if (ret_error != NULL)
		*ret_error = NULL;
	if (body != NULL) {
		text = json_dumps(body, JSON_COMPACT);
		if (text == NULL)
			return err_set(err, -ENOMEM, "out of memory");
	}
	r = send_request(c, method, path, "", text);
	free(text);
	if (r == 0)
		r = read_head(c, until, method, &h);
	if (r < 0)
		return explain(err, r);
	return finish_call(c, &h, until, ret, ret_error, err);
}

/* All of p: 0, -EPIPE = the daemon wants no more (its answer says why), or -errno. */
static int send_piece(struct http_client *c, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = send(c->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		int r = 0;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			r = wait_ready(c, EPOLLOUT, now_ms() + UPLOAD_WAIT_MS);
		} else if (errno != EINTR) {
			return errno == ECONNRESET ? -EPIPE : -errno;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int send_file(struct http_client *c, int fd, uint64_t bytes, uint64_t *done)
{
	static uint8_t piece[UPLOAD_PIECE]; /* one thread */
	int r = 0;

	while (r == 0 && *done < bytes) {
		size_t n = (size_t)MIN(bytes - *done, (uint64_t)sizeof(piece));
		r = fd_pread_full(fd, piece, n, *done);
		if (r == 0)
			r = send_piece(c, piece, n);
		*done += n;
		/* Signals, and the line on the terminal. */
		if (r == 0)
			r = loop_step(c->cli->loop, 0);
		if (r == 0 && c->cli->signo != 0 && c->cli->on_signal == NULL)
			r = -EINTR;
	}
	return r == -EPIPE ? 0 : r;
}

int http_client_upload(struct http_client *c, const char *method, const char *path, int fd,
		       uint64_t *done, json_t **ret, struct err *err)
{
	char head[PATH_BYTES_MAX + 256];
	struct http_head h = { .status = 0 };
	struct stat st;
	int n, r = fstat(fd, &st) < 0 ? -errno : 0;

	if (r < 0)
		return err_sys(err, r, "the file to be sent");
	n = snprintf(head, sizeof(head),
		     "%s %s HTTP/1.1\r\nHost: casemate\r\nContent-Type: "
		     "application/octet-stream\r\nContent-Length: %lld\r\n\r\n",
		     method, path, (long long)st.st_size);
	if (n < 0 || (size_t)n >= sizeof(head))
		return err_set(err, -ENAMETOOLONG, "the request is too long");
	r = fd_write_full(c->fd, head, (size_t)n);
	if (r == 0)
		r = send_file(c, fd, (uint64_t)st.st_size, done);
	if (r == 0)
		r = read_head(c, now_ms() + UPLOAD_END_MS, method, &h);
	if (r < 0)
		return explain(err, r);
	return finish_call(c, &h, now_ms() + SEND_TIMEOUT_S * UINT64_C(1000), ret, NULL, err);
}

int http_client_stream(struct http_client *c, const char *path,
		       int (*fn)(const char *data, size_t len, void *arg), void *arg,
		       struct err *err)
{
	struct http_head h = { .status = 0 };
	int r = send_request(c, "GET", path, "", NULL);

	if (r == 0)
		r = read_head(c, 0, "GET", &h);
	if (r < 0)
		return explain(err, r);
	if (h.status != 200)
		return finish_call(c, &h, now_ms() + 5000, NULL, NULL, err);
	r = read_body(c, &h, 0, fn, arg);
	return r < 0 ? explain(err, r) : 0;
}

int http_client_upgrade(struct http_client *c, const char *path, const char *protocol,
			uint64_t timeout_ms, int *ret_fd, struct err *err)
{
	const uint64_t until = now_ms() + timeout_ms;
	struct http_head h = { .status = 0 };
	char extra[96];
	int r;

	(void)snprintf(extra, sizeof(extra), "Connection: Upgrade\r\nUpgrade: %.32s\r\n", protocol);
	r = send_request(c, "GET", path, extra, NULL);
	if (r == 0)
		r = read_head(c, until, "GET", &h);
	if (r < 0)
		return explain(err, r);
	if (h.status != 101) {
		r = finish_call(c, &h, until, NULL, NULL, err);
		return r < 0 ? r : err_set(err, -EPROTO, "daemon: refused to upgrade");
	}
	/* The other side doesn't speak first: bytes now are nobody's. */
	if (!h.upgrade || strcasecmp(http_head_field(&h, "Upgrade"), protocol) != 0 ||
	    buf_len(&c->in) > 0)
		return err_set(err, -EPROTO, "daemon: upgraded to something else than %s",
			       protocol);
	*ret_fd = fd_steal(&c->fd);
	return 0;
}
