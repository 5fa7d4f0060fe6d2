/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/build_upload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/credential.h"
#include "api/daemon/templates.h"
#include "api/daemon/tenant.h"
#include "base/clock.h"
#include "base/num.h"

#define PATTERN	    "/templates/{}/files/{}"
#define PIECE_BYTES 65536U
#define ROUND_BYTES (1024U * 1024U) /* at a time: others want the loop, too */

struct build_upload {
	struct http_req *req;
	struct loop *loop;
	struct loop_timer *timer;
	struct loop_timer *more;
	struct build_file *file;
	uint64_t moved_ms; /* when a byte last came */
	char piece[PIECE_BYTES];
};

static uint64_t unix_s(void)
{
	return clock_ns(CLOCK_REALTIME) / UINT64_C(1000000000);
}

/* ---- The URL ------------------------------------------------------------------------------- */

static void make_token(const struct service *sv, const char *tenant,
		       const struct build_files_key *key, uint64_t expires,
		       char token[CREDENTIAL_TOKEN_LEN + 1])
{
	char text[STORE_NAME_MAX + TEMPLATE_ID_LEN + RECIPE_FILES_LEN + 32];

	(void)snprintf(text, sizeof(text), "%s.%s.%s.%" PRIu64, tenant, key->template, key->hash,
		       expires);
	credential_token(store_secret(sv->store), CREDENTIAL_UPLOAD, text, token);
}

void build_upload_url(const struct service *sv, const struct http_req *req,
		      const struct build_files_key *key, char url[BUILD_UPLOAD_URL_MAX])
{
	const char *host = http_request_head(req)->host;
	const char *tenant = auth_principal(req)->tenant->limits.name;
	const uint64_t expires = unix_s() + BUILD_UPLOAD_LIFE_S;
	char token[CREDENTIAL_TOKEN_LEN + 1];

	make_token(sv, tenant, key, expires, token);
	/* The name by which it reaches us now will do again, and so will the way. */
	(void)snprintf(url, BUILD_UPLOAD_URL_MAX,
		       "%s://%.255s/templates/%s/files/%s?tenant=%s&expires=%" PRIu64 "&token=%s",
		       http_door(req) == HTTP_DOOR_TLS ? "https" : "http",
		       host == NULL ? "localhost" : host, key->template, key->hash, tenant, expires,
		       token);
	explicit_bzero(token, sizeof(token));
}

bool build_upload_is(const struct http_req *req)
{
	struct http_params p;

	return strcmp(http_request_head(req)->method, "PUT") == 0 &&
	       http_path_matches(PATTERN, http_path(req), &p);
}

static void refuse(struct http_req *req)
{
	http_error(req, 401, "unauthorized", "upload: the URL isn't one that was given out");
}

/* Whose template it is, when the URL is one of ours. NULL: answered. */
static const struct tenant *check_url(const struct service *sv, struct http_req *req,
				      struct build_files_key *key)
{
	const char *expires = http_query(req, "expires"), *given = http_query(req, "token");
	const char *name = http_query(req, "tenant");
	char token[CREDENTIAL_TOKEN_LEN + 1];
	const struct tenant *tenant;
	struct http_params p;
	struct template t;
	uint64_t until = 0;
	bool fits;

	if (!http_path_matches(PATTERN, http_path(req), &p) || given == NULL || expires == NULL ||
	    name == NULL || !tenant_name_valid(name) || !template_id_ok(p.text[0]) ||
	    strlen(p.text[1]) != RECIPE_FILES_LEN || parse_u64(expires, 0, INT64_MAX, &until) < 0) {
		refuse(req);
		return NULL;
	}
	memcpy(key->template, p.text[0], sizeof(key->template));
	memcpy(key->hash, p.text[1], sizeof(key->hash));
	make_token(sv, name, key, until, token);
	fits = credential_equal(token, given);
	explicit_bzero(token, sizeof(token));
	tenant = fits ? tenants_find(sv->auth.tenants, name) : NULL;
	if (tenant == NULL) {
		refuse(req);
		return NULL;
	}
	if (until <= unix_s()) {
		http_error(req, 401, "unauthorized", "upload: the URL has expired");
		return NULL;
	}
	if (template_find(sv, tenant, key->template, &t) == 0)
		return tenant;
	http_error(req, 404, "not_found", "template: no such template");
	return NULL;
}

/* ---- The body ------------------------------------------------------------------------------ */

static void upload_done(void *state)
{
	struct build_upload *u = state;

	loop_timer_del(u->timer);
	loop_timer_del(u->more);
	u->timer = u->more = NULL;
	build_file_drop(u->file);
	u->file = NULL;
}

static void fail(struct build_upload *u, unsigned status, const char *code, const char *msg)
{
	struct http_req *req = u->req;

	upload_done(u);
	http_error(req, status, code, "%s", msg);
}

static void finish(struct build_upload *u)
{
	struct http_req *req = u->req;
	struct build_file *file = u->file;

	u->file = NULL;
	upload_done(u);
	if (build_file_commit(file) < 0)
		http_error(req, 400, "bad_request", "body: cut off");
	else
		http_answer(req, 200, json_object());
}

static void on_more(void *arg);

static void pump(struct build_upload *u)
{
	for (size_t n = 0; u->file != NULL && n < ROUND_BYTES;) {
		ssize_t got = http_pull(u->req, u->piece, sizeof(u->piece));
		if (got == -EAGAIN)
			return;
		if (got < 0) {
			fail(u, 400, "bad_request", "body: malformed, or cut off");
			return;
		}
		if (got == 0) {
			finish(u);
			return;
		}
		int r = build_file_put(u->file, u->piece, (size_t)got);
		if (r < 0) {
			fail(u, 507, "no_room", "files: can't be written");
			return;
		}
		u->moved_ms = now_ms();
		n += (size_t)got;
	}
	if (u->file != NULL && u->more == NULL &&
	    loop_timer_add(u->loop, 0, on_more, u, &u->more) < 0)
		fail(u, 500, "internal", "out of memory");
}

static void on_more(void *arg)
{
	struct build_upload *u = arg;

	u->more = NULL;
	pump(u);
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

static void on_tick(void *arg)
{
	struct build_upload *u = arg;

	u->timer = NULL;
	if (now_ms() - u->moved_ms >= BUILD_UPLOAD_STALL_MS)
		fail(u, 408, "timeout", "body: nothing came for a minute");
	else if (loop_timer_add(u->loop, BUILD_UPLOAD_STALL_MS / 4, on_tick, u, &u->timer) < 0)
		fail(u, 500, "internal", "out of memory");
}

/* ---- Its beginning ------------------------------------------------------------------------- */

void build_upload_begin(const struct service *sv, struct http_req *req)
{
	static const struct http_flow_ops ops = { .readable = on_readable, .gone = on_gone };
	const struct http_head *h = http_request_head(req);
	struct build_files_key key = { 0 };
	const struct tenant *tenant;
	struct err err = { 0 };
	struct build_upload *u;
	struct build_file *file;
	int r;

	if (!auth_host_admit(&sv->auth, req))
		return;
	tenant = check_url(sv, req, &key);
	if (tenant == NULL)
		return;
	if (h->body != HTTP_BODY_LENGTH || h->length == 0) {
		http_error(req, 411, "length_required",
			   "Content-Length: is needed, of at least one byte");
		return;
	}
	r = build_files_begin(sv->files, tenant, &key, h->length, &file, &err);
	if (r < 0) {
		service_answer_refused(req, r, err.msg);
		return;
	}
	u = http_set_state(req, sizeof(*u), upload_done);
	if (u == NULL) {
		build_file_drop(file);
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	u->req = req;
	u->loop = sv->loop;
	u->file = file;
	u->moved_ms = now_ms();
	http_take(req, &ops);
	if (loop_timer_add(u->loop, BUILD_UPLOAD_STALL_MS / 4, on_tick, u, &u->timer) < 0)
		fail(u, 500, "internal", "out of memory");
}
