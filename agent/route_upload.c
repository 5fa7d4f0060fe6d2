/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_upload.c - POST /files: the body, unpacked and taken apart as it comes, into files.
 *
 *     body -> [gunzip] -> [multipart] -> file
 *
 * The first error is kept and the rest of the body dropped, up to a bound, because a client that is
 * still sending doesn't read an answer.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/gunzip.h"
#include "agent/httpd_internal.h"
#include "agent/metadata.h"
#include "agent/multipart.h"
#include "agent/overwrite.h"
#include "agent/path.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/json_text.h"

#define ANSWER_MAX   (1024U * 1024U)
#define UPLOAD_FILES 1024U /* of one request */
#define DROPPED_MAX  (1024U * 1024U)

struct upload {
	struct agent *agent;
	struct web_req *req;
	struct place place; /* the user's; path: that of the file at hand */
	bool has_path;	    /* the query names it */
	struct metadata metadata;
	struct gunzip *gunzip; /* NULL = not compressed */
	bool parts;	       /* multipart is in use */
	struct multipart multipart;
	int fd; /* -1 = no file at hand */
	unsigned files;
	struct buf answer;
	size_t dropped;
	struct err err; /* the first; code 0 = none */
};

static void upload_free(struct upload *u)
{
	metadata_done(&u->metadata);
	gunzip_free(u->gunzip);
	if (u->parts)
		multipart_done(&u->multipart);
	fd_closep(&u->fd);
	buf_done(&u->answer);
	free(u);
}

/* ---- A file ------------------------------------------------------------------------------ */

static int open_file(struct upload *u)
{
	if (u->files++ == UPLOAD_FILES)
		return err_set(&u->err, -EINVAL, "more than %u files", UPLOAD_FILES);
	u->fd = overwrite_open(&u->place, &u->err);
	return u->fd < 0 ? u->fd : 0;
}

static int write_file(struct upload *u, const uint8_t *data, size_t len)
{
	int r = fd_write_full(u->fd, data, len);

	return r < 0 ? err_sys(&u->err, r, "%.160s", u->place.path) : 0;
}

static int put_metadata(const struct metadata *m, struct buf *b)
{
	int r = m->count > 0 ? buf_put(b, ",\"metadata\":{", 13) : 0;

	for (size_t i = 0; r == 0 && i < m->count; i++) {
		if (i > 0)
			r = buf_put(b, ",", 1);
		if (r == 0)
			r = json_put_string(b, m->keys[i], strlen(m->keys[i]));
		if (r == 0)
			r = buf_put(b, ":", 1);
		if (r == 0)
			r = json_put_string(b, m->values[i], strlen(m->values[i]));
	}
	return r < 0 || m->count == 0 ? r : buf_put(b, "}", 1);
}

static int put_answer(struct upload *u)
{
	const char *path = u->place.path, *name = strrchr(path, '/') + 1;
	struct buf *b = &u->answer;
	int r = json_printf(b, "%s{\"path\":", buf_len(b) > 0 ? "," : "[");

	if (r == 0)
		r = json_put_string(b, path, strlen(path));
	if (r == 0)
		r = buf_put(b, ",\"name\":", 8);
	if (r == 0)
		r = json_put_string(b, name, strlen(name));
	if (r == 0)
		r = buf_put(b, ",\"type\":\"file\"", 14);
	if (r == 0)
		r = put_metadata(&u->metadata, b);
	if (r == 0)
		r = buf_put(b, "}", 1);
	return r < 0 ? err_sys(&u->err, r, "answer") : 0;
}

static int close_file(struct upload *u)
{
	int r = metadata_set(&u->metadata, u->fd, &u->err);

	fd_closep(&u->fd);
	return r < 0 ? r : put_answer(u);
}

/* ---- From bytes to files ----------------------------------------------------------------- */

/* Parts of another name are skipped: they have no file. */
static int on_part(const struct multipart_part *part, void *arg)
{
	struct upload *u = arg;
	int r;

	if (strcmp(part->name, "file") != 0)
		return 0;
	if (u->has_path && u->files > 0)
		return err_set(&u->err, -EINVAL, "one path, and more than one file");
	if (!u->has_path) {
		if (part->filename[0] == '\0')
			return err_set(&u->err, -EINVAL, "a part without a file name");
		r = path_expand(part->filename, u->place.user.pw.home, u->agent->default_cwd,
				u->place.path, sizeof(u->place.path), &u->err);
		if (r < 0)
			return r;
	}
	return open_file(u);
}

static int on_part_data(const uint8_t *data, size_t len, void *arg)
{
	struct upload *u = arg;

	return u->fd >= 0 ? write_file(u, data, len) : 0;
}

static int on_part_end(void *arg)
{
	struct upload *u = arg;

	return u->fd >= 0 ? close_file(u) : 0;
}

static const struct multipart_ops part_ops = {
	.begin = on_part,
	.data = on_part_data,
	.end = on_part_end,
};

/* After gunzip, if there is one. */
static int take_plain(const uint8_t *data, size_t len, void *arg)
{
	struct upload *u = arg;

	return u->parts ? multipart_feed(&u->multipart, data, len) : write_file(u, data, len);
}

/* r is the error of a stage; one that has its own words has said them already. */
static void note(struct upload *u, int r, const char *what)
{
	if (r < 0 && u->err.code == 0)
		(void)err_sys(&u->err, r, "%s", what);
}

static void answer(struct upload *u)
{
	struct web_req *req = u->req;

	if (u->err.code == 0 && buf_put(&u->answer, buf_len(&u->answer) > 0 ? "]" : "[]",
					buf_len(&u->answer) > 0 ? 1 : 2) < 0)
		note(u, -ENOMEM, "answer");
	if (u->err.code != 0)
		web_fail(req, route_status(u->err.code), "%s", u->err.msg);
	else
		web_answer(req, 200, "application/json", "", buf_head(&u->answer),
			   buf_len(&u->answer));
	upload_free(u);
}

static void on_body(struct web_req *req, const uint8_t *data, size_t len, void *arg)
{
	struct upload *u = arg;

	(void)req;
	if (u->err.code != 0) {
		u->dropped += len;
		if (u->dropped > DROPPED_MAX)
			answer(u);
		return;
	}
	if (u->gunzip != NULL)
		note(u, gunzip_feed(u->gunzip, data, len, take_plain, u), "gzip");
	else
		note(u, take_plain(data, len, u), "body");
}

static void on_body_end(struct web_req *req, void *arg)
{
	struct upload *u = arg;

	(void)req;
	if (u->err.code == 0 && u->gunzip != NULL)
		note(u, gunzip_finish(u->gunzip), "gzip");
	if (u->err.code == 0 && u->parts)
		note(u, multipart_finish(&u->multipart), "multipart");
	if (u->err.code == 0 && !u->parts)
		note(u, close_file(u), "file");
	answer(u);
}

/* What has come by now stays: the file was overwritten in place. */
static void on_gone(struct web_req *req, void *arg)
{
	(void)req;
	upload_free(arg);
}

/* ---- The request's head ------------------------------------------------------------------ */

static int begin(struct upload *u)
{
	const char *type = web_req_field(u->req, "content-type");
	const char *coding = web_req_field(u->req, "content-encoding");
	int r = metadata_from_head(&u->metadata, web_req_head(u->req), &u->err);

	if (r < 0)
		return r;
	if (coding != NULL && strcasecmp(coding, "gzip") == 0) {
		r = gunzip_new(&u->gunzip);
		if (r < 0)
			return err_sys(&u->err, r, "gzip");
	} else if (coding != NULL && strcasecmp(coding, "identity") != 0) {
		return err_set(&u->err, -EINVAL, "unknown content encoding");
	}
	if (type != NULL && strncasecmp(type, "application/octet-stream", 24) == 0) {
		if (!u->has_path)
			return err_set(&u->err, -EINVAL, "path is required");
		return open_file(u);
	}
	if (type == NULL || multipart_init(&u->multipart, type, &part_ops, u) < 0)
		return err_set(&u->err, -EINVAL,
			       "multipart/form-data or application/octet-stream is expected");
	u->parts = true;
	return 0;
}

void route_upload(struct httpd *h, struct web_req *req)
{
	static const struct web_req_ops ops = { .body = on_body,
						.body_end = on_body_end,
						.gone = on_gone };
	const char *path = web_req_query(req, "path");
	struct upload *u = calloc(1, sizeof(*u));

	if (u == NULL) {
		web_fail(req, 503, "out of memory");
		return;
	}
	u->agent = h->agent;
	u->req = req;
	u->fd = -1;
	u->has_path = path != NULL && path[0] != '\0';
	buf_init(&u->answer, ANSWER_MAX);
	if (route_file_place(h, req, "write", path, &u->place) < 0) {
		upload_free(u);
		return;
	}
	web_req_watch(req, &ops, u);
	note(u, begin(u), "upload");
}
