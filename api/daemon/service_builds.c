/* SPDX-License-Identifier: Apache-2.0 */
/* service_builds.c - builds of templates: where their files go to, the order, and how it goes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/build.h"
#include "api/daemon/build_files.h"
#include "api/daemon/build_upload.h"
#include "api/daemon/service_templates.h"
#include "api/store/templates.h"
#include "base/num.h"

/* ---- Files --------------------------------------------------------------------------------- */

void service_build_files(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct build_files_key key = { 0 };
	const char *hash = http_param2(req);
	char url[BUILD_UPLOAD_URL_MAX];
	struct template t;
	bool present;

	if (!service_template(req, sv, true, &t))
		return;
	if (strlen(hash) != RECIPE_FILES_LEN ||
	    strspn(hash, "0123456789abcdef") != RECIPE_FILES_LEN) {
		http_error(req, 400, "invalid_argument", "hash: must be 64 of 0-9 and a-f");
		return;
	}
	memcpy(key.template, t.id, sizeof(key.template));
	memcpy(key.hash, hash, sizeof(key.hash));
	present = build_files_has(sv->files, &key);
	build_upload_url(sv, req, &key, url);
	http_answer(req, 201, json_pack("{s:b, s:s}", "present", (int)present, "url", url));
}

/* ---- The order ----------------------------------------------------------------------------- */

static void no_such_build(struct http_req *req)
{
	http_error(req, 404, "not_found", "build: no such build");
}

/* One whose log is in memory; NULL = it isn't. */
static struct build *live(const struct http_req *req, const struct service *sv,
			  const struct template *t)
{
	struct build *b = builds_find(sv->builds, http_param2(req));

	return b != NULL && strcmp(build_template(b), t->id) == 0 ? b : NULL;
}

void service_build_begin(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct err err = { 0 };
	struct recipe recipe;
	struct template t;
	struct build *b;
	size_t len;
	const char *body = http_body(req, &len);
	int r;

	if (!service_template(req, sv, true, &t))
		return;
	b = live(req, sv, &t);
	if (b == NULL) {
		no_such_build(req);
		return;
	}
	r = recipe_parse(body, len, &recipe, &err);
	if (r == 0)
		r = build_begin(b, &recipe, &err);
	if (r < 0)
		service_answer_refused(req, r, err.msg);
	else
		http_answer(req, 202, json_object());
}

/* ---- How it goes --------------------------------------------------------------------------- */

struct past {
	struct http_req *req;
	const struct template *t;
	bool found;
};

/* One of before, whose log is gone. */
static int answer_past(const struct store_build *b, void *arg)
{
	struct past *p = arg;
	json_t *o;

	if (strcmp(b->template, p->t->id) != 0)
		return 0;
	p->found = true;
	o = json_pack("{s:s, s:s, s:s, s:[], s:[]}", "templateID", b->template, "buildID", b->id,
		      "status", b->state, "logs", "logEntries");
	if (o != NULL && b->reason[0] != '\0')
		(void)json_object_set_new(
			o, "reason", json_pack("{s:s, s:[]}", "message", b->reason, "logEntries"));
	http_answer(p->req, 200, o);
	return 0;
}

static bool take_offset(struct http_req *req, const char *name, uint64_t *ret)
{
	const char *text = http_query(req, name);

	*ret = 0;
	if (text == NULL || parse_u64(text, 0, UINT32_MAX, ret) == 0)
		return true;
	http_error(req, 400, "invalid_argument", "%s: must be a number", name);
	return false;
}

void service_build_status(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct past p = { .req = req };
	struct template t;
	struct build *b;
	uint64_t from;
	int r;

	if (!service_template(req, sv, true, &t) || !take_offset(req, "logsOffset", &from))
		return;
	b = live(req, sv, &t);
	if (b != NULL) {
		http_answer(req, 200, build_json(b, from));
		return;
	}
	p.t = &t;
	r = store_build_find(sv->store, http_param2(req), answer_past, &p);
	if (r == -ENOENT || (r == 0 && !p.found))
		no_such_build(req);
	else if (r < 0)
		http_error(req, 500, "internal", "state: can't be read");
}

void service_build_logs(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct template t;
	struct build *b;
	uint64_t from;
	json_t *o;

	if (!service_template(req, sv, true, &t) || !take_offset(req, "logsOffset", &from))
		return;
	b = live(req, sv, &t);
	if (b == NULL) {
		no_such_build(req);
		return;
	}
	o = build_json(b, from);
	http_answer(req, 200,
		    o == NULL ? NULL
			      : json_pack("{s:O}", "logs", json_object_get(o, "logEntries")));
	json_decref(o);
}
