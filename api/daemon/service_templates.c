/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_templates.c - templates as the E2B SDKs speak of them: made (and then built:
 * service_builds.c), listed, tagged, shared, deleted. A tenant's are its own; the operator may make
 * one of his everybody's to use.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/build.h"
#include "api/daemon/e2b_view.h"
#include "api/daemon/service_templates.h"
#include "api/daemon/snapshot.h"
#include "api/daemon/templates.h"
#include "api/store/templates.h"
#include "base/clock.h"
#include "base/num.h"

#define VCPUS_DEFAULT  2U
#define MEMORY_DEFAULT 1024U /* MiB */

static const struct tenant *tenant_of(const struct http_req *req)
{
	return auth_principal(req)->tenant;
}

/* An error of the store's or of a lookup's. */
static void answer_error(struct http_req *req, int r)
{
	if (r == -ENOENT)
		http_error(req, 404, "not_found", "template: no such template");
	else if (r == -EDQUOT)
		http_error(req, 429, "quota", "template: has %u tags already", STORE_TAGS_MAX);
	else
		http_error(req, 500, "internal", "state: can't be read or written");
}

bool service_template(struct http_req *req, const struct service *sv, bool own,
		      struct template *ret)
{
	struct template_ref ref;
	int r = template_ref_find(http_param(req), &ref) < 0
			? -ENOENT
			: template_find(sv, tenant_of(req), ref.name, ret);

	/* Another's that may be used is still not one's to look into or to change. */
	if (r == 0 && own && strcmp(ret->tenant, tenant_of(req)->limits.name) != 0)
		r = -ENOENT;
	if (r < 0)
		answer_error(req, r);
	return r == 0;
}

/* The body, an object; NULL: answered 400. */
static json_t *body_of(struct http_req *req)
{
	size_t len;
	const char *body = http_body(req, &len);
	json_t *o = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(o))
		return o;
	json_decref(o);
	http_error(req, 400, "invalid_argument", "body: must be a JSON object");
	return NULL;
}

/* ---- Views --------------------------------------------------------------------------------- */

struct summary {
	json_t *builds; /* of GET /templates/ID; NULL = not wanted */
	unsigned count;
	char id[BUILD_ID_LEN + 1]; /* the newest that is ready, else the newest */
	char state[16];
	uint64_t vcpus, memory;
	int64_t updated_ms;
};

static json_t *build_view(const struct store_build *b)
{
	char created[E2B_TIME_LEN + 1], updated[E2B_TIME_LEN + 1];
	json_t *o;

	e2b_time(b->created_ms, created);
	e2b_time(b->ended_ms != 0 ? b->ended_ms : b->created_ms, updated);
	o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "buildID", b->id, "status", b->state,
		      "createdAt", created, "updatedAt", updated, "cpuCount", (json_int_t)b->vcpus,
		      "memoryMB", (json_int_t)(b->memory / MIB));
	if (o != NULL && b->ended_ms != 0)
		(void)json_object_set_new(o, "finishedAt", json_string(updated));
	return o;
}

static int add_build(const struct store_build *b, void *arg)
{
	struct summary *s = arg;
	const bool ready = strcmp(b->state, STORE_BUILD_READY) == 0;

	s->count++;
	if (s->builds != NULL && json_array_append_new(s->builds, build_view(b)) < 0)
		return -ENOMEM;
	if (s->count > 1 && (!ready || strcmp(s->state, STORE_BUILD_READY) == 0))
		return 0;
	if (strlen(b->id) >= sizeof(s->id) || strlen(b->state) >= sizeof(s->state))
		return -EPROTO;
	memcpy(s->id, b->id, strlen(b->id) + 1);
	memcpy(s->state, b->state, strlen(b->state) + 1);
	s->vcpus = b->vcpus;
	s->memory = b->memory;
	s->updated_ms = b->ended_ms != 0 ? b->ended_ms : b->created_ms;
	return 0;
}

/* New reference; NULL = no memory, or no state. How often sandboxes are made of one isn't counted.
 */
static json_t *template_view(const struct service *sv, const struct template *t, bool builds)
{
	struct summary s = { .builds = builds ? json_array() : NULL, .updated_ms = t->created_ms };
	char created[E2B_TIME_LEN + 1], updated[E2B_TIME_LEN + 1];
	json_t *o = NULL;

	if (store_builds_each(sv->store, t->id, add_build, &s) == 0) {
		e2b_time(t->created_ms, created);
		e2b_time(s.updated_ms, updated);
		o = json_pack("{s:s, s:[s], s:[s], s:b, s:s, s:s, s:n, s:i}", "templateID", t->id,
			      "names", t->name, "aliases", t->name, "public", (int)t->public,
			      "createdAt", created, "updatedAt", updated, "lastSpawnedAt",
			      "spawnCount", 0);
	}
	if (o != NULL && builds)
		(void)json_object_set(o, "builds", s.builds);
	else if (o != NULL)
		(void)json_object_update_new(
			o,
			json_pack("{s:s, s:s, s:I, s:I, s:I, s:i, s:s, s:n}", "buildID", s.id,
				  "buildStatus", s.count > 0 ? s.state : STORE_BUILD_WAITING,
				  "cpuCount", (json_int_t)s.vcpus, "memoryMB",
				  (json_int_t)(s.memory / MIB), "buildCount", (json_int_t)s.count,
				  "diskSizeMB", 0, "envdVersion", E2B_ENVD_VERSION, "createdBy"));
	json_decref(s.builds);
	return o;
}

/* ---- List, show ---------------------------------------------------------------------------- */

struct listing {
	struct template list[TEMPLATES_MAX];
	size_t count;
};

static int add_listed(const struct store_template *t, void *arg)
{
	struct listing *l = arg;
	struct template *to = &l->list[l->count];

	if (strlen(t->id) >= sizeof(to->id) || strlen(t->name) >= sizeof(to->name))
		return -EPROTO;
	memcpy(to->id, t->id, strlen(t->id) + 1);
	memcpy(to->name, t->name, strlen(t->name) + 1);
	to->public = t->public;
	to->created_ms = t->created_ms;
	return ++l->count == TEMPLATES_MAX;
}

/* The tenant's, oldest first; -errno. */
static int list_of(const struct service *sv, const struct tenant *tenant, struct listing **ret)
{
	struct listing *l = calloc(1, sizeof(*l));
	int r = l == NULL ? -ENOMEM
			  : store_templates_each(sv->store, tenant->limits.name, add_listed, l);

	if (r < 0) {
		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

static void list(struct http_req *req, void *arg)
{
	const struct service *sv = arg;
	json_t *answer = json_array();
	struct listing *l = NULL;

	if (list_of(sv, tenant_of(req), &l) < 0) {
		json_decref(answer);
		answer = NULL;
	}
	for (size_t i = 0; l != NULL && i < l->count && answer != NULL; i++) {
		if (json_array_append_new(answer, template_view(sv, &l->list[i], false)) == 0)
			continue;
		json_decref(answer);
		answer = NULL;
	}
	free(l);
	http_answer(req, 200, answer);
}

static void show(struct http_req *req, void *arg)
{
	struct template t = { 0 };

	if (service_template(req, arg, true, &t))
		http_answer(req, 200, template_view(arg, &t, true));
}

/* ---- Making -------------------------------------------------------------------------------- */

/* "NAME" or "NAME:TAG", and more tags. */
static int take_name(const json_t *o, struct template_ref *ref, struct build_order *order,
		     struct err *err)
{
	const json_t *tags = json_object_get(o, "tags"), *name = json_object_get(o, "name");
	const char *text = json_string_value(name != NULL ? name : json_object_get(o, "alias"));
	const char *tag;
	int r = text == NULL ? err_set(err, -EINVAL, "name: is missing")
			     : template_ref_parse(text, ref, err);

	if (r < 0)
		return r;
	if (tags != NULL && !json_is_null(tags) && !json_is_array(tags))
		return err_set(err, -EINVAL, "tags: must be a list");
	if (json_array_size(tags) >= BUILD_TAGS_MAX)
		return err_set(err, -EINVAL, "tags: more than %u", BUILD_TAGS_MAX - 1);
	if (ref->tag[0] != '\0' || json_array_size(tags) == 0) {
		tag = ref->tag[0] != '\0' ? ref->tag : TEMPLATE_TAG_NONE;
		memcpy(order->tags[order->tags_count++], tag, strlen(tag) + 1);
	}
	for (size_t i = 0; i < json_array_size(tags); i++) {
		tag = json_string_value(json_array_get(tags, i));
		if (tag == NULL || !template_tag_ok(tag))
			return err_set(err, -EINVAL, "tags: not a tag");
		memcpy(order->tags[order->tags_count++], tag, strlen(tag) + 1);
	}
	return 0;
}

static int take_number(const json_t *o, const char *name, uint64_t fallback, uint64_t max,
		       uint64_t *ret, struct err *err)
{
	const json_t *v = json_object_get(o, name);
	json_int_t n = json_integer_value(v);

	if (v == NULL || json_is_null(v)) {
		*ret = fallback;
		return 0;
	}
	if (!json_is_integer(v) || n < 1 || (uint64_t)n > max)
		return err_set(err, -EINVAL, "%s: must be from 1 to %llu", name,
			       (unsigned long long)max);
	*ret = (uint64_t)n;
	return 0;
}

static int take_order(const json_t *o, const struct spec_limits *lim, struct template_ref *ref,
		      struct build_order *order, struct err *err)
{
	uint64_t mib = 0;
	int r = take_name(o, ref, order, err);

	if (r == 0)
		r = take_number(o, "cpuCount", VCPUS_DEFAULT, SPEC_VCPUS_MAX, &order->vcpus, err);
	if (r == 0)
		r = take_number(o, "memoryMB", MIN(MEMORY_DEFAULT, lim->memory_max / MIB),
				lim->memory_max / MIB, &mib, err);
	order->memory = mib * MIB;
	if (r == 0 && (order->memory < SPEC_MEMORY_MIN || order->memory % SPEC_MEMORY_STEP != 0))
		r = err_set(err, -EINVAL, "memoryMB: must be even, and at least %llu",
			    (unsigned long long)(SPEC_MEMORY_MIN / MIB));
	return r;
}

/* The tenant's template of this name, a new one when there is none. */
static int have_template(const struct service *sv, const struct tenant *tenant, const char *name,
			 struct template *ret, struct err *err)
{
	const int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	int r = template_find(sv, tenant, name, ret);
	struct store_template t = { .tenant = tenant->limits.name,
				    .name = name,
				    .created_ms = now };
	char id[TEMPLATE_ID_LEN + 1];
	struct listing *l;

	if (r == 0 && strcmp(ret->tenant, tenant->limits.name) == 0)
		return 0;
	if (r < 0 && r != -ENOENT)
		return err_sys(err, r, "state");
	r = list_of(sv, tenant, &l);
	if (r == 0) {
		r = l->count < TEMPLATES_MAX ? 0 : -EDQUOT;
		free(l);
	}
	if (r == -EDQUOT)
		return err_set(err, r, "templates: %u are there already", TEMPLATES_MAX);
	template_id_make(id);
	t.id = id;
	if (r == 0)
		r = store_template_add(sv->store, &t);
	if (r == 0)
		r = template_find(sv, tenant, id, ret);
	return r < 0 ? err_sys(err, r, "state") : 0;
}

static void make(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct build_order order = { .tenant = auth_principal(req)->tenant };
	struct template_ref ref = { 0 };
	struct build *b = NULL;
	struct err err = { 0 };
	struct template t = { 0 };
	json_t *o, *tags;
	int r;

	if (sandboxes_snapshots(sv->sandboxes) == NULL) {
		http_error(req, 501, "not_supported",
			   "templates: need a service that keeps its state (--state)");
		return;
	}
	o = body_of(req);
	if (o == NULL)
		return;
	r = take_order(o, &sv->limits, &ref, &order, &err);
	if (r == 0)
		r = have_template(sv, order.tenant, ref.name, &t, &err);
	if (r == 0) {
		order.template = t.id;
		r = builds_add(sv->builds, &order, &b, &err);
	}
	json_decref(o);
	if (r < 0) {
		service_answer_refused(req, r, err.msg);
		return;
	}
	tags = json_array();
	for (size_t i = 0; i < order.tags_count; i++)
		(void)json_array_append_new(tags, json_string(order.tags[i]));
	http_answer(req, 202,
		    json_pack("{s:s, s:s, s:b, s:[s], s:o, s:[s]}", "templateID", t.id, "buildID",
			      build_id(b), "public", (int)t.public, "names", t.name, "tags", tags,
			      "aliases", t.name));
}

/* ---- Deleting, sharing --------------------------------------------------------------------- */

static void delete (struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct template_ref ref;
	struct template t = { 0 };
	int r = template_ref_find(http_param(req), &ref) < 0
			? -ENOENT
			: template_find(sv, tenant_of(req), ref.name, &t);

	/* SDKs delete snapshots here as well. */
	if (r == -ENOENT || (r == 0 && strcmp(t.tenant, tenant_of(req)->limits.name) != 0)) {
		service_delete_snapshot(req, sv);
		return;
	}
	if (r == 0)
		r = templates_remove(sv, t.id);
	if (r < 0)
		answer_error(req, r);
	else
		http_answer(req, 204, NULL);
}

static void share(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct template t = { 0 };
	const json_t *v;
	json_t *o;
	int r;

	if (!service_template(req, sv, true, &t))
		return;
	o = body_of(req);
	if (o == NULL)
		return;
	v = json_object_get(o, "public");
	if (!json_is_boolean(v))
		http_error(req, 400, "invalid_argument", "public: must be true or false");
	/* Its name is then everybody's: not one tenant's to take. */
	else if (json_is_false(v) || auth_admin(req)) {
		r = store_template_share(sv->store, t.id, json_is_true(v));
		if (r < 0)
			answer_error(req, r);
		else
			http_answer(req, 200, json_pack("{s:[s]}", "names", t.name));
	}
	json_decref(o);
}

/* ---- Tags ---------------------------------------------------------------------------------- */

static int add_tag(const struct store_tag *t, void *arg)
{
	char created[E2B_TIME_LEN + 1];

	e2b_time(t->created_ms, created);
	return json_array_append_new(arg, json_pack("{s:s, s:s, s:s}", "tag", t->tag, "buildID",
						    t->build, "createdAt", created)) < 0
		       ? -ENOMEM
		       : 0;
}

static void tags(struct http_req *req, void *arg)
{
	const struct service *sv = arg;
	struct template t = { 0 };
	json_t *l;

	if (!service_template(req, sv, false, &t))
		return;
	l = json_array();
	if (l != NULL && store_tags_each(sv->store, t.id, add_tag, l) < 0) {
		json_decref(l);
		l = NULL;
	}
	http_answer(req, 200, l);
}

/* The members of a request about tags: whose, and which. False: answered. */
static bool take_tags(struct http_req *req, const struct service *sv, const json_t *o,
		      const char *member, struct template_ref *ref, struct template *t)
{
	const char *text = json_string_value(json_object_get(o, member));
	const json_t *l = json_object_get(o, "tags");
	int r;

	if (text == NULL || template_ref_find(text, ref) < 0 || json_array_size(l) == 0 ||
	    json_array_size(l) > BUILD_TAGS_MAX) {
		http_error(req, 400, "invalid_argument", "%s, tags: a name, and 1 to %u tags",
			   member, BUILD_TAGS_MAX);
		return false;
	}
	for (size_t i = 0; i < json_array_size(l); i++) {
		const char *tag = json_string_value(json_array_get(l, i));
		if (tag != NULL && template_tag_ok(tag))
			continue;
		http_error(req, 400, "invalid_argument",
			   "tags: each is 1 to %u of a-z, 0-9, '-', '_' and '.'", TEMPLATE_TAG_MAX);
		return false;
	}
	r = template_find(sv, tenant_of(req), ref->name, t);
	if (r == 0 && strcmp(t->tenant, tenant_of(req)->limits.name) != 0)
		r = -ENOENT;
	if (r < 0)
		answer_error(req, r);
	return r == 0;
}

static void assign(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	const int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	char build[BUILD_ID_LEN + 1];
	struct template_ref ref;
	struct template t = { 0 };
	json_t *o = body_of(req), *l;
	int r;

	if (o == NULL)
		return;
	l = json_object_get(o, "tags");
	if (take_tags(req, sv, o, "target", &ref, &t)) {
		r = template_build(sv, t.id, ref.tag[0] != '\0' ? ref.tag : TEMPLATE_TAG_NONE,
				   build);
		for (size_t i = 0; i < json_array_size(l) && r == 0; i++) {
			const struct store_tag g = { json_string_value(json_array_get(l, i)), build,
						     now };
			r = store_tag_put(sv->store, t.id, &g);
		}
		if (r < 0) {
			answer_error(req, r);
		} else {
			templates_tidy(sv, t.id);
			http_answer(req, 201, json_pack("{s:s, s:O}", "buildID", build, "tags", l));
		}
	}
	json_decref(o);
}

static void unassign(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct template_ref ref;
	struct template t = { 0 };
	json_t *o = body_of(req), *l;
	int r = 0;

	if (o == NULL)
		return;
	l = json_object_get(o, "tags");
	if (take_tags(req, sv, o, "name", &ref, &t)) {
		for (size_t i = 0; i < json_array_size(l) && (r == 0 || r == -ENOENT); i++)
			r = store_tag_remove(sv->store, t.id,
					     json_string_value(json_array_get(l, i)));
		if (r < 0 && r != -ENOENT) {
			answer_error(req, r);
		} else {
			templates_tidy(sv, t.id);
			http_answer(req, 204, NULL);
		}
	}
	json_decref(o);
}

const struct http_route service_template_routes[] = {
	{ "POST", "/v3/templates", make },
	{ "POST", "/v2/templates", make },
	{ "GET", "/templates", list },
	{ "GET", "/v2/templates", list },
	{ "POST", "/templates/tags", assign },
	{ "DELETE", "/templates/tags", unassign },
	{ "GET", "/templates/aliases/{}", service_alias },
	{ "GET", "/templates/{}", show },
	{ "DELETE", "/templates/{}", delete },
	{ "PATCH", "/templates/{}", share },
	{ "PATCH", "/v2/templates/{}", share },
	{ "GET", "/templates/{}/tags", tags },
	{ "GET", "/templates/{}/files/{}", service_build_files },
	{ "POST", "/v2/templates/{}/builds/{}", service_build_begin },
	{ "GET", "/templates/{}/builds/{}/status", service_build_status },
	{ "GET", "/templates/{}/builds/{}/logs", service_build_logs },
	{ NULL, NULL, NULL },
};
