/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_images.c - /v1/images: names of the images that the jailer keeps. An image is its digest;
 * a name is a label on one, with what the image says about its processes (image_config.h). The
 * images themselves come by upload.h and go here. Names are the operator's to give and to take, and
 * everybody's to use.
 *
 * What is used isn't removed: not by the last of its names going, nor by gc.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/image_config.h"
#include "api/daemon/images_internal.h"
#include "api/daemon/jailer.h"
#include "api/proto/contract.h"
#include "base/clock.h"

static void op_done(void *state)
{
	struct images_op *op = state;

	if (op->call != NULL)
		rpc_cancel(op->call);
	loop_timer_del(op->timer);
	free(op->config);
	free(op->removals);
	json_decref(op->removed);
	op->call = NULL;
	op->timer = NULL;
	op->config = NULL;
	op->removals = NULL;
	op->removed = NULL;
}

void images_gone(struct http_req *req, void *state)
{
	(void)req;
	op_done(state);
}

void images_fail(struct images_op *op, unsigned status, const char *code, const char *msg)
{
	http_error(op->req, status, code, "%s", msg);
}

/* An answer that counts; any other has been passed on. */
static bool answered_ok(struct images_op *op, const struct rpc_status *st)
{
	op->call = NULL;
	if (st->code == RPC_OK)
		return true;
	if (st->code != RPC_CANCELLED)
		images_fail(op, st->code == RPC_UNAVAILABLE ? 503 : 500,
			    st->code == RPC_UNAVAILABLE ? "unavailable" : "internal", st->msg);
	return false;
}

/* ---- Names and digests --------------------------------------------------------------------- */

/* "sha256:HEX" or HEX, into dst. */
bool images_take_digest(const char *s, char dst[SPEC_DIGEST_LEN + 1])
{
	if (s == NULL)
		return false;
	if (strncmp(s, "sha256:", 7) == 0)
		s += 7;
	if (strlen(s) != SPEC_DIGEST_LEN || strspn(s, "0123456789abcdef") != SPEC_DIGEST_LEN)
		return false;
	memcpy(dst, s, SPEC_DIGEST_LEN + 1);
	return true;
}

static bool name_ok(const char *s)
{
	char digest[SPEC_DIGEST_LEN + 1];

	return s[0] != '\0' && s[0] != '.' && strlen(s) <= SPEC_NAME_MAX &&
	       s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0' &&
	       !images_take_digest(s, digest);
}

struct names {
	const char *digest;
	unsigned count;
};

static int count_name(const struct store_image *i, void *arg)
{
	struct names *n = arg;

	n->count += strcmp(i->digest, n->digest) == 0;
	return 0;
}

/* How many names it has; -errno. */
int images_names_of(const struct service *sv, const char *digest)
{
	struct names n = { .digest = digest };
	int r = store_images_each(sv->store, count_name, &n);

	return r < 0 ? r : (int)n.count;
}

struct resolving {
	struct spec *spec;
	struct err *err;
};

static int use_image(const struct store_image *i, void *arg)
{
	struct resolving *r = arg;

	if (strlen(i->digest) != SPEC_DIGEST_LEN)
		return err_set(r->err, -EPROTO, "image: its name leads nowhere");
	memcpy(r->spec->digest, i->digest, SPEC_DIGEST_LEN + 1);
	return image_config_apply(i->config, r->spec, r->err);
}

int service_image(const struct service *sv, struct spec *spec, struct err *err)
{
	struct resolving x = { spec, err };
	int r;

	/* A digest is as good as a name while it has one: what has none may go at any moment. */
	if (images_take_digest(spec->image, spec->digest)) {
		r = images_names_of(sv, spec->digest);
		if (r < 0)
			return err_sys(err, r, "image: state");
		return r > 0 ? 0
			     : err_set(err, -EINVAL, "image: no image of this digest has a name");
	}
	r = store_image_find(sv->store, spec->image, use_image, &x);
	/* One that the operator has put into the store, or none: the jailer knows. */
	if (r == -ENOENT)
		return 0;
	return r < 0 && err->code == 0 ? err_sys(err, r, "image: state") : r;
}

/* ---- Asking the jailer --------------------------------------------------------------------- */

static const images_listed *find_listed(const images_listing *m, const char *digest)
{
	for (size_t i = 0; i < m->n_images; i++)
		if (strcmp(m->images[i]->digest, digest) == 0)
			return m->images[i];
	return NULL;
}

static void on_listed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct images_op *op = arg;

	(void)fds;
	if (answered_ok(op, st))
		op->listed(op, (const images_listing *)(const void *)out);
}

struct images_op *images_begin(struct http_req *req, struct service *sv,
			       void (*fn)(struct images_op *op, const images_listing *m))
{
	struct images_op *op = http_set_state(req, sizeof(*op), op_done);

	if (op == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return NULL;
	}
	op->req = req;
	op->sv = sv;
	op->listed = fn;
	return op;
}

/* Holds the request until the jailer has answered. */
void images_ask(struct images_op *op)
{
	static const struct rpc_pending_ops ops = { .done = on_listed };
	Casemate__Jailer__V1__ListImagesRequest q = CASEMATE__JAILER__V1__LIST_IMAGES_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(op->sv->jailer);

	if (jailer == NULL)
		images_fail(op, 503, "unavailable", jailer_problem(op->sv->jailer));
	else if (rpc_start(jailer, &jailer_methods[JAILER_LIST_IMAGES], &q.base, NULL,
			   IMAGES_CALL_MS, &ops, op, &op->call) < 0)
		images_fail(op, 503, "unavailable", "the jailer can't be asked");
	else
		http_hold(op->req, images_gone);
}

/* ---- GET ----------------------------------------------------------------------------------- */

json_t *images_digest_json(const char *digest)
{
	return json_sprintf("sha256:%s", digest);
}

static json_t *image_json(const struct store_image *i, const images_listed *file)
{
	return json_pack("{s:s, s:o, s:I, s:I, s:b, s:b, s:o}", "name", i->name, "digest",
			 images_digest_json(i->digest), "bytes", (json_int_t)i->bytes,
			 "created_unix_ms", (json_int_t)i->created_ms, "present", file != NULL,
			 "verity", file != NULL && file->verity, "config",
			 json_loads(i->config, JSON_REJECT_DUPLICATES, NULL));
}

struct listing_walk {
	const images_listing *m;
	json_t *list;
};

static int add_named(const struct store_image *i, void *arg)
{
	struct listing_walk *w = arg;

	return json_array_append_new(w->list, image_json(i, find_listed(w->m, i->digest))) < 0
		       ? -ENOMEM
		       : 0;
}

/* What the jailer has and nothing names. */
static json_t *unnamed_json(const struct service *sv, const images_listing *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_images; i++) {
		const images_listed *f = m->images[i];
		if (images_names_of(sv, f->digest) == 0)
			(void)json_array_append_new(list, json_pack("{s:o, s:I, s:I}", "digest",
								    images_digest_json(f->digest),
								    "bytes", (json_int_t)f->bytes,
								    "stored_unix_ms",
								    (json_int_t)f->stored_unix_ms));
	}
	return list;
}

static void answer_list(struct images_op *op, const images_listing *m)
{
	struct listing_walk w = { .m = m, .list = json_array() };
	json_t *placed = json_array();

	for (size_t i = 0; i < m->n_placed; i++)
		(void)json_array_append_new(placed, json_string(m->placed[i]));
	if (w.list != NULL && store_images_each(op->sv->store, add_named, &w) < 0) {
		json_decref(w.list);
		w.list = NULL;
	}
	http_answer(op->req, 200,
		    json_pack("{s:o, s:o, s:o, s:I}", "images", w.list, "placed", placed, "unnamed",
			      unnamed_json(op->sv, m), "bytes_max", (json_int_t)m->bytes_max));
}

static void list(struct http_req *req, void *arg)
{
	struct images_op *op = images_begin(req, arg, answer_list);

	if (op != NULL)
		images_ask(op);
}

struct one {
	struct images_op *op;
	const images_listing *m;
	unsigned status;
};

static int answer_image(const struct store_image *i, void *arg)
{
	const struct one *o = arg;

	http_answer(o->op->req, o->status, image_json(i, find_listed(o->m, i->digest)));
	return 0;
}

static void answer_one(struct images_op *op, const images_listing *m)
{
	struct one o = { op, m, op->config != NULL ? 201 : 200 };
	int r = store_image_find(op->sv->store, op->name, answer_image, &o);

	if (r == -ENOENT)
		images_fail(op, 404, "not_found", "image: no such name");
	else if (r < 0)
		images_fail(op, 500, "internal", "state: can't be read");
}

struct images_op *images_begin_named(struct http_req *req, struct service *sv,
				     void (*fn)(struct images_op *op, const images_listing *m))
{
	struct images_op *op;

	if (!name_ok(http_param(req))) {
		http_error(req, 400, "invalid_argument",
			   "image: a name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and no digest");
		return NULL;
	}
	op = images_begin(req, sv, fn);
	if (op != NULL)
		memcpy(op->name, http_param(req), strlen(http_param(req)) + 1);
	return op;
}

static void show(struct http_req *req, void *arg)
{
	struct images_op *op = images_begin_named(req, arg, answer_one);

	if (op != NULL)
		images_ask(op);
}

bool images_is_placed(const images_listing *m, const char *name)
{
	for (size_t i = 0; i < m->n_placed; i++)
		if (strcmp(m->placed[i], name) == 0)
			return true;
	return false;
}

/* ---- PUT ----------------------------------------------------------------------------------- */

static void give_name(struct images_op *op, const images_listing *m)
{
	const images_listed *f = find_listed(m, op->digest);
	struct store_image i = { .name = op->name,
				 .digest = op->digest,
				 .config = op->config,
				 .created_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000) };

	if (images_is_placed(m, op->name)) {
		images_fail(op, 409, "conflict", "image: one of the store's own has this name");
		return;
	}
	if (f == NULL) {
		images_fail(op, 404, "not_found", "image: there is none of this digest; upload it");
		return;
	}
	i.bytes = f->bytes;
	if (store_image_put(op->sv->store, &i) < 0)
		images_fail(op, 500, "internal", "state: can't be written");
	else
		answer_one(op, m);
}

/* {"digest":"sha256:...","config":{...}} */
static int take_body(struct images_op *op, struct err *err)
{
	size_t len;
	const char *body = http_body(op->req, &len);
	json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *config = json_object_get(root, "config");
	int r;

	if (!json_is_object(root))
		r = err_set(err, -EINVAL, "body: must be a JSON object");
	else if (json_object_size(root) > (config == NULL ? 1U : 2U))
		r = err_set(err, -EINVAL, "body: only digest and config are known");
	else if (!images_take_digest(json_string_value(json_object_get(root, "digest")),
				     op->digest))
		r = err_set(err, -EINVAL, "digest: must be sha256: and 64 of 0-9 and a-f");
	else
		r = image_config_check(config, &op->config, err);
	json_decref(root);
	return r;
}

static void put(struct http_req *req, void *arg)
{
	struct err err = { 0 };
	struct images_op *op;
	int r;

	if (!auth_admin(req))
		return;
	op = images_begin_named(req, arg, give_name);
	if (op == NULL)
		return;
	r = take_body(op, &err);
	if (r < 0)
		service_answer_refused(req, r, err.msg);
	else
		images_ask(op);
}

const struct http_route service_image_routes[] = {
	{ "GET", "/v1/images", list },
	{ "POST", "/v1/images/gc", images_gc },
	{ "GET", "/v1/images/{}", show },
	{ "PUT", "/v1/images/{}", put },
	{ "DELETE", "/v1/images/{}", images_delete },
	{ NULL, NULL, NULL },
};
