/* SPDX-License-Identifier: Apache-2.0 */
/* route_download.c - GET and HEAD /files: a file, or a range of it, as its client takes it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/httpd_internal.h"
#include "agent/range.h"
#include "agent/rooted.h"
#include "base/fd.h"
#include "base/num.h"

#define CHUNK_BYTES	65536U
#define CHUNKS_PER_TURN 8
#define FIELDS_MAX	4096

struct download {
	struct web_req *req;
	struct loop *loop;
	struct loop_timer *again;
	int fd;
	uint64_t left; /* WEB_LENGTH_UNKNOWN: to the end, wherever that is */
	uint8_t chunk[CHUNK_BYTES];
};

static void download_free(struct download *d)
{
	loop_timer_del(d->again);
	fd_closep(&d->fd);
	free(d);
}

/* ---- Sending ----------------------------------------------------------------------------- */

static void go_on(struct download *d);

static void on_again(void *arg)
{
	struct download *d = arg;

	d->again = NULL;
	go_on(d);
}

/* 1, 0 (all has been sent, or all that there is), -errno. */
static int send_chunk(struct download *d)
{
	size_t want = (size_t)MIN(d->left, (uint64_t)CHUNK_BYTES);
	ssize_t n;
	int r;

	if (want == 0)
		return 0;
	do
		n = read(d->fd, d->chunk, want);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	if (d->left != WEB_LENGTH_UNKNOWN)
		d->left -= (uint64_t)n;
	r = web_send(d->req, d->chunk, (size_t)n);
	return r < 0 ? r : 1;
}

static void go_on(struct download *d)
{
	int r = 1;

	if (d->again != NULL)
		return;
	for (int i = 0; r > 0 && i < CHUNKS_PER_TURN; i++) {
		if (!web_writable(d->req))
			return;
		r = send_chunk(d);
	}
	if (r > 0 && loop_timer_add(d->loop, 0, on_again, d, &d->again) == 0)
		return;
	if (r == -EPIPE)
		return; /* on_gone is on its way */
	/* An error, or a file that has become shorter: fewer bytes than announced close the
	 * connection, so that the client sees it. */
	web_end(d->req);
	download_free(d);
}

static void on_drained(struct web_req *req, void *arg)
{
	(void)req;
	go_on(arg);
}

static void on_gone(struct web_req *req, void *arg)
{
	(void)req;
	download_free(arg);
}

/* ---- The answer's head ------------------------------------------------------------------- */

/* The last component, percent-encoded: it may hold any byte. */
static void put_name(const char *path, char *dst, size_t cap)
{
	static const char hex[] = "0123456789ABCDEF";
	const char *slash = strrchr(path, '/');
	size_t n = 0;

	for (const char *p = slash != NULL ? slash + 1 : path; *p != '\0' && n + 4 < cap; p++) {
		const unsigned char c = (unsigned char)*p;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~", c) != NULL) {
			dst[n++] = *p;
		} else {
			dst[n++] = '%';
			dst[n++] = hex[c >> 4];
			dst[n++] = hex[c & 15];
		}
	}
	dst[n] = '\0';
}

static void put_time(time_t t, char dst[64])
{
	struct tm tm = { 0 };

	(void)gmtime_r(&t, &tm);
	(void)strftime(dst, 64, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

/* Announces what is to be sent and positions d->fd. False: the request has been answered. */
static bool begin(struct download *d, const char *path, const struct stat *st)
{
	const char *field = web_req_field(d->req, "range");
	char fields[FIELDS_MAX], name[3 * NAME_MAX + 8], changed[64], part[96] = "";
	const char *since = web_req_field(d->req, "if-modified-since");
	struct range range = { .first = 0, .length = (uint64_t)st->st_size };
	/* A file of /proc says that it is empty, and isn't. */
	const bool sized = st->st_size > 0;
	int r = sized && field != NULL ? range_parse(field, (uint64_t)st->st_size, &range) : 0;

	put_name(path, name, sizeof(name));
	put_time(st->st_mtim.tv_sec, changed);
	if (r > 0 && web_req_field(d->req, "if-range") != NULL &&
	    strcmp(web_req_field(d->req, "if-range"), changed) != 0) {
		range = (struct range){ .length = (uint64_t)st->st_size };
		r = 0;
	}
	if (r > 0)
		(void)snprintf(part, sizeof(part),
			       "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
			       range.first, range.first + range.length - 1, (uint64_t)st->st_size);
	else if (r == -ERANGE)
		(void)snprintf(part, sizeof(part), "Content-Range: bytes */%" PRIu64 "\r\n",
			       (uint64_t)st->st_size);
	(void)snprintf(fields, sizeof(fields),
		       "Content-Disposition: inline; filename*=UTF-8''%s\r\n"
		       "Last-Modified: %s\r\nAccept-Ranges: bytes\r\nVary: Accept-Encoding\r\n%s",
		       name, changed, part);
	if (r == -ERANGE) {
		web_answer(d->req, 416, NULL, fields, NULL, 0);
		return false;
	}
	if (r == 0 && since != NULL && strcmp(since, changed) == 0) {
		web_answer(d->req, 304, NULL, fields, NULL, 0);
		return false;
	}
	if (lseek(d->fd, (off_t)range.first, SEEK_SET) < 0 && range.first > 0) {
		web_fail(d->req, 500, "%s", strerrordesc_np(errno));
		return false;
	}
	d->left = range.length;
	if (!sized) {
		ssize_t n = pread(d->fd, d->chunk, 1, 0);
		d->left = n > 0 ? WEB_LENGTH_UNKNOWN : 0;
	}
	web_begin(d->req, r > 0 ? 206 : 200, "application/octet-stream", fields, d->left);
	if (strcmp(web_req_head(d->req)->method, "HEAD") == 0)
		d->left = 0;
	return true;
}

/* ---- The file ---------------------------------------------------------------------------- */

static int open_file(const struct place *p, struct stat *st, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	int r = place_enter(p, err);

	if (r < 0)
		return r;
	fd = open(p->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	r = fd < 0 ? -errno : 0;
	user_leave_fs();
	if (rooted_may(p, r)) {
		fd = rooted_open(p, O_RDONLY);
		r = MIN(fd, 0);
	}
	if (r == -ENOENT)
		return err_set(err, r, "path '%.160s' does not exist", p->path);
	if (r < 0 || fstat(fd, st) < 0)
		return err_sys(err, r < 0 ? r : -errno, "%.160s", p->path);
	if (S_ISDIR(st->st_mode))
		return err_set(err, -EISDIR, "path '%.160s' is a directory", p->path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, -EINVAL, "path '%.160s' is not a regular file", p->path);
	return fd_steal(&fd);
}

void route_download(struct httpd *h, struct web_req *req)
{
	static const struct web_req_ops ops = { .drained = on_drained, .gone = on_gone };
	struct download *d = NULL;
	struct place p;
	struct stat st = { 0 };
	struct err err;
	int fd;

	if (route_file_place(h, req, "read", web_req_query(req, "path"), &p) < 0)
		return;
	fd = open_file(&p, &st, &err);
	if (fd < 0) {
		web_fail(req, route_status(fd), "%s", err.msg);
		return;
	}
	d = malloc(sizeof(*d));
	if (d == NULL) {
		(void)close(fd);
		web_fail(req, 503, "out of memory");
		return;
	}
	d->req = req;
	d->loop = h->agent->loop;
	d->again = NULL;
	d->fd = fd;
	if (!begin(d, p.path, &st)) {
		download_free(d);
		return;
	}
	web_req_watch(req, &ops, d);
	go_on(d);
}
