/* SPDX-License-Identifier: Apache-2.0 */
/* service_snapshots.c - snapshots of sandboxes: /v1/snapshots, and as the E2B SDKs speak of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/layers.h"
#include "api/daemon/service.h"
#include "api/daemon/snapshot.h"
#include "api/daemon/templates.h"
#include "base/num.h"

#define PAGE_MAX 100U

/* May the request's principal see it? */
static bool owns(const struct http_req *req, const struct snapshot *p)
{
	const struct principal *who = auth_principal(req);

	return who->admin || who->tenant == snapshot_tenant(p);
}

/* The one that the path names, or NULL: answered 404. An id or a name, of one's own; the operator
 * says whose by the id. */
static struct snapshot *find(struct http_req *req, const struct service *sv)
{
	const struct snapshots *ss = sandboxes_snapshots(sv->sandboxes);
	const struct principal *who = auth_principal(req);
	struct snapshot *p = snapshot_find(ss, who->tenant, http_param(req));

	if (p == NULL && who->admin)
		p = snapshot_by_id(ss, http_param(req));
	if (p == NULL)
		http_error(req, 404, "not_found", "snapshot: no such snapshot");
	return p;
}

/* ---- Making -------------------------------------------------------------------------------- */

struct making {
	struct http_req *req;
	struct service *sv;
	json_t *(*view)(const struct snapshot *p, const struct snapshot_end *end);
	bool waits;
};

static void making_done(void *state)
{
	struct making *m = state;

	if (m->waits)
		snapshot_unwatch(sandboxes_snapshots(m->sv->sandboxes), m);
	m->waits = false;
}

static void on_client_gone(struct http_req *req, void *state)
{
	(void)req;
	making_done(state);
}

static void on_made(struct snapshot *p, const struct snapshot_end *end, void *arg)
{
	struct making *m = arg;

	m->waits = false;
	if (end->status == 0)
		http_answer(m->req, 201, m->view(p, end));
	else
		http_error(m->req, end->status, end->code, "%s", end->msg);
}

static void refuse(struct http_req *req, int r, const struct err *err)
{
	if (r == -ESTALE)
		http_error(req, 409, "not_running", "%s", err->msg);
	else if (r == -EALREADY)
		http_error(req, 409, "busy", "%s", err->msg);
	else
		service_answer_refused(req, r, err->msg);
}

/* {"name":"..."}, or nothing: "" = none. Others are refused unless `lax`. */
static int take_name(const struct http_req *req, bool lax, char name[SNAPSHOT_NAME_MAX + 1],
		     struct err *err)
{
	size_t len;
	const char *body = http_body(req, &len), *text;
	json_t *o = len == 0 ? json_object() : json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *v = json_object_get(o, "name");
	int r = 0;

	name[0] = '\0';
	text = v == NULL || json_is_null(v) ? "" : json_string_value(v);
	if (!json_is_object(o) || (!lax && json_object_size(o) != (v != NULL)))
		r = err_set(err, -EINVAL, "body: may have \"name\", a string, and nothing else");
	else if (text == NULL || (text[0] != '\0' && !snapshot_name_valid(text)))
		r = err_set(err, -EINVAL,
			    "name: must be 1 to %u of a-z 0-9 . _ -, the first a letter or digit",
			    SNAPSHOT_NAME_MAX);
	else if (layer_named(text) ||
		 strncmp(text, TEMPLATES_SNAPSHOT, strlen(TEMPLATES_SNAPSHOT)) == 0)
		r = err_set(err, -EINVAL,
			    "name: what begins with " LAYER_PREFIX " or " TEMPLATES_SNAPSHOT
			    " is of the service's own making");
	else
		memcpy(name, text, strlen(text) + 1);
	json_decref(o);
	return r;
}

static void make(struct http_req *req, struct service *sv, struct sandbox *s, bool lax,
		 json_t *(*view)(const struct snapshot *p, const struct snapshot_end *end))
{
	char name[SNAPSHOT_NAME_MAX + 1];
	struct err err = { 0 };
	struct making *m;
	int r = take_name(req, lax, name, &err);

	if (r < 0) {
		refuse(req, r, &err);
		return;
	}
	m = http_set_state(req, sizeof(*m), making_done);
	if (m == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	*m = (struct making){ .req = req, .sv = sv, .view = view };
	r = snapshot_make(s, name, on_made, m, &err);
	if (r < 0) {
		refuse(req, r, &err);
		return;
	}
	m->waits = true;
	http_hold(req, on_client_gone);
}

static json_t *native_view(const struct snapshot *p, const struct snapshot_end *end)
{
	json_t *o = snapshot_json(p);

	if (o != NULL && json_object_set_new(o, "paused_ms", json_real(end->paused_ms)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static void make_native(struct http_req *req, void *arg)
{
	struct sandbox *s = service_find(req, arg);

	if (s != NULL)
		make(req, arg, s, false, native_view);
}

/* ---- /v1/snapshots ------------------------------------------------------------------------- */

struct listing {
	const struct http_req *req;
	json_t *list;
};

static bool add_listed(struct snapshot *p, void *arg)
{
	struct listing *l = arg;

	if (!owns(l->req, p))
		return true;
	if (json_array_append_new(l->list, snapshot_json(p)) == 0)
		return true;
	json_decref(l->list);
	l->list = NULL;
	return false;
}

static void list(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct listing l = { .req = req, .list = json_array() };

	if (l.list != NULL)
		snapshots_each(sandboxes_snapshots(sv->sandboxes), add_listed, &l);
	http_answer(req, 200, l.list == NULL ? NULL : json_pack("{s:o}", "snapshots", l.list));
}

static void show(struct http_req *req, void *arg)
{
	struct snapshot *p = find(req, arg);

	if (p != NULL)
		http_answer(req, 200, snapshot_json(p));
}

void service_delete_snapshot(struct http_req *req, void *arg)
{
	struct snapshot *p = find(req, arg);

	if (p == NULL)
		return;
	snapshot_delete(p);
	http_answer(req, 204, NULL);
}

/* ---- As E2B has them ----------------------------------------------------------------------- */

#define E2B_ID_LEN (SNAPSHOT_ID_LEN + sizeof(":default"))

static void e2b_id(const struct snapshot *p, char ret[E2B_ID_LEN])
{
	(void)snprintf(ret, E2B_ID_LEN, "%s:default", snapshot_id(p));
}

static json_t *e2b_snapshot_json(const struct snapshot *p)
{
	char id[E2B_ID_LEN];

	e2b_id(p, id);
	if (snapshot_name(p)[0] == '\0')
		return json_pack("{s:s, s:[]}", "snapshotID", id, "names");
	return json_pack("{s:s, s:[s]}", "snapshotID", id, "names", snapshot_name(p));
}

static json_t *e2b_view(const struct snapshot *p, const struct snapshot_end *end)
{
	(void)end;
	return e2b_snapshot_json(p);
}

void service_e2b_snapshot(struct http_req *req, struct service *sv, struct sandbox *s)
{
	make(req, sv, s, true, e2b_view);
}

/* One page: those behind the one of a time, which no two have and which may have gone meanwhile. */
struct page {
	struct http_req *req;
	const char *sandbox, *name; /* filters; NULL = none */
	uint64_t limit, before_ms;
	json_t *list;
	const struct snapshot *last;
	bool more;
};

static bool add_to_page(struct snapshot *p, void *arg)
{
	struct page *g = arg;

	if (snapshot_tenant(p) != auth_principal(g->req)->tenant || layer_named(snapshot_name(p)) ||
	    (uint64_t)snapshot_created_unix_ms(p) >= g->before_ms ||
	    (g->sandbox != NULL && strcmp(g->sandbox, snapshot_sandbox(p)) != 0) ||
	    (g->name != NULL && strcmp(g->name, snapshot_name(p)) != 0))
		return true;
	if (json_array_size(g->list) == g->limit) {
		g->more = true;
		return false;
	}
	g->last = p;
	return json_array_append_new(g->list, e2b_snapshot_json(p)) == 0;
}

static void e2b_list(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	const char *limit = http_query(req, "limit"), *token = http_query(req, "nextToken");
	struct page g = { .req = req,
			  .sandbox = http_query(req, "sandboxID"),
			  .name = http_query(req, "name"),
			  .limit = PAGE_MAX,
			  .before_ms = UINT64_MAX };
	char text[32];

	if ((limit != NULL && parse_u64(limit, 1, PAGE_MAX, &g.limit) < 0) ||
	    (token != NULL && parse_u64(token, 0, INT64_MAX, &g.before_ms) < 0)) {
		http_error(req, 400, "invalid_argument",
			   "limit must be from 1 to %u, nextToken one of ours", PAGE_MAX);
		return;
	}
	g.list = json_array();
	if (g.list != NULL)
		snapshots_each(sandboxes_snapshots(sv->sandboxes), add_to_page, &g);
	if (g.more) {
		(void)snprintf(text, sizeof(text), "%" PRId64, snapshot_created_unix_ms(g.last));
		http_add_field(req, "X-Next-Token", text);
	}
	http_answer(req, 200, g.list);
}

/* ---- Sandboxes of one ---------------------------------------------------------------------- */

/* The E2B request says what it may reach; whether it has a card for that, the snapshot. */
static void fit_network(const struct snapshot *p, struct spec *spec)
{
	spec->nic = snapshot_spec(p)->nic;
	if (spec->nic)
		return;
	free(spec->network);
	spec->network = NULL;
}

static int create_from(const struct service *sv, struct snapshot *p, struct spec *spec,
		       struct sandbox **ret, struct err *err)
{
	int r = snapshot_shape(p, spec, err);

	if (r == 0)
		return sandbox_create_from(sv->sandboxes, spec, p, ret, err);
	spec_done(spec);
	return r;
}

int service_create(const struct service *sv, struct spec *spec, struct sandbox **ret,
		   struct err *err)
{
	struct snapshot *p;
	int r;

	if (spec->template[0] != '\0') {
		r = templates_create(sv, spec->template, true, spec, ret, err);
		if (r != -ENOENT)
			return r;
		spec_done(spec);
		return err_set(err, r, "template: no such template");
	}
	if (spec->snapshot[0] == '\0') {
		r = service_image(sv, spec, err);
		if (r == 0)
			return sandbox_create(sv->sandboxes, spec, ret, err);
		spec_done(spec);
		return r;
	}
	p = snapshot_find(sandboxes_snapshots(sv->sandboxes), spec->tenant, spec->snapshot);
	if (p != NULL)
		return create_from(sv, p, spec, ret, err);
	spec_done(spec);
	return err_set(err, -ENOENT, "snapshot: no such snapshot");
}

int service_create_e2b(const struct service *sv, const char *template, struct spec *spec,
		       struct sandbox **ret, struct err *err)
{
	struct snapshot *p =
		snapshot_find(sandboxes_snapshots(sv->sandboxes), spec->tenant, template);

	if (p == NULL)
		return service_create(sv, spec, ret, err);
	fit_network(p, spec);
	return create_from(sv, p, spec, ret, err);
}

const struct http_route service_snapshot_routes[] = {
	{ "POST", "/v1/sandboxes/{}/snapshots", make_native },
	{ "GET", "/v1/snapshots", list },
	{ "GET", "/v1/snapshots/{}", show },
	{ "DELETE", "/v1/snapshots/{}", service_delete_snapshot },
	{ "GET", "/snapshots", e2b_list },
	{ NULL, NULL, NULL },
};
