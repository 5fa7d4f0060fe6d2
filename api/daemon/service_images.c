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
#include <jailer.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/image_config.h"
#include "api/daemon/jailer.h"
#include "api/daemon/profile.h"
#include "api/daemon/service.h"
#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/num.h"

#define CALL_MS	     30000U
#define AGAIN_MS     200U /* the pool's VMs of an image are on their way out */
#define AGAIN_MAX    25U
#define GC_AGE_S     3600U /* an image that came lately may be about to get its name */
#define REMOVALS_MAX 1024U

typedef Casemate__Jailer__V1__ListImagesResponse listing;
typedef Casemate__Jailer__V1__ListImagesResponse__Image listed_image;

/* A request that waits for the jailer: the request's state. */
struct images_op {
	struct http_req *req;
	struct service *sv;
	struct rpc_pending *call;
	struct loop_timer *timer;
	void (*listed)(struct images_op *op, const listing *m);
	char name[SPEC_NAME_MAX + 1];
	char digest[SPEC_DIGEST_LEN + 1];
	char *config;	/* of put */
	uint64_t age_s; /* of gc */
	char (*removals)[SPEC_DIGEST_LEN + 1];
	size_t removals_count, at;
	unsigned tries;
	uint64_t freed;
	json_t *removed;
};

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

static void on_gone(struct http_req *req, void *state)
{
	(void)req;
	op_done(state);
}

static void fail(struct images_op *op, unsigned status, const char *code, const char *msg)
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
		fail(op, st->code == RPC_UNAVAILABLE ? 503 : 500,
		     st->code == RPC_UNAVAILABLE ? "unavailable" : "internal", st->msg);
	return false;
}

/* ---- Names and digests --------------------------------------------------------------------- */

/* "sha256:HEX" or HEX, into dst. */
static bool take_digest(const char *s, char dst[SPEC_DIGEST_LEN + 1])
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
	       !take_digest(s, digest);
}

struct users {
	const char *digest;
	const char *id; /* of one that uses it */
};

static bool find_user(struct sandbox *s, void *arg)
{
	struct users *u = arg;
	const bool over = sandbox_state(s) == SANDBOX_ENDED || sandbox_state(s) == SANDBOX_FAILED;

	if (!over && strcmp(sandbox_spec(s)->digest, u->digest) == 0)
		u->id = sandbox_id(s);
	return u->id == NULL;
}

/* The id of a sandbox that was made from it and is still there, paused ones included; NULL. */
static const char *user_of(const struct service *sv, const char *digest)
{
	struct users u = { .digest = digest };

	sandboxes_each(sv->sandboxes, find_user, &u);
	return u.id;
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
static int names_of(const struct service *sv, const char *digest)
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
	int r = store_image_find(sv->store, spec->image, use_image, &x);

	/* One that the operator has put into the store, or none: the jailer knows. */
	if (r == -ENOENT)
		return 0;
	return r < 0 && err->code == 0 ? err_sys(err, r, "image: state") : r;
}

/* ---- Asking the jailer --------------------------------------------------------------------- */

static const listed_image *find_listed(const listing *m, const char *digest)
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
		op->listed(op, (const listing *)(const void *)out);
}

static struct images_op *begin(struct http_req *req, struct service *sv,
			       void (*fn)(struct images_op *op, const listing *m))
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
static void ask(struct images_op *op)
{
	static const struct rpc_pending_ops ops = { .done = on_listed };
	Casemate__Jailer__V1__ListImagesRequest q = CASEMATE__JAILER__V1__LIST_IMAGES_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(op->sv->jailer);

	if (jailer == NULL)
		fail(op, 503, "unavailable", jailer_problem(op->sv->jailer));
	else if (rpc_start(jailer, &jailer_methods[JAILER_LIST_IMAGES], &q.base, NULL, CALL_MS,
			   &ops, op, &op->call) < 0)
		fail(op, 503, "unavailable", "the jailer can't be asked");
	else
		http_hold(op->req, on_gone);
}

/* ---- GET ----------------------------------------------------------------------------------- */

static json_t *digest_json(const char *digest)
{
	return json_sprintf("sha256:%s", digest);
}

static json_t *image_json(const struct store_image *i, const listed_image *file)
{
	return json_pack("{s:s, s:o, s:I, s:I, s:b, s:b, s:o}", "name", i->name, "digest",
			 digest_json(i->digest), "bytes", (json_int_t)i->bytes, "created_unix_ms",
			 (json_int_t)i->created_ms, "present", file != NULL, "verity",
			 file != NULL && file->verity, "config",
			 json_loads(i->config, JSON_REJECT_DUPLICATES, NULL));
}

struct listing_walk {
	const listing *m;
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
static json_t *unnamed_json(const struct service *sv, const listing *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_images; i++) {
		const listed_image *f = m->images[i];
		if (names_of(sv, f->digest) == 0)
			(void)json_array_append_new(
				list, json_pack("{s:o, s:I, s:I}", "digest", digest_json(f->digest),
						"bytes", (json_int_t)f->bytes, "stored_unix_ms",
						(json_int_t)f->stored_unix_ms));
	}
	return list;
}

static void answer_list(struct images_op *op, const listing *m)
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
	struct images_op *op = begin(req, arg, answer_list);

	if (op != NULL)
		ask(op);
}

struct one {
	struct images_op *op;
	const listing *m;
	unsigned status;
};

static int answer_image(const struct store_image *i, void *arg)
{
	const struct one *o = arg;

	http_answer(o->op->req, o->status, image_json(i, find_listed(o->m, i->digest)));
	return 0;
}

static void answer_one(struct images_op *op, const listing *m)
{
	struct one o = { op, m, op->config != NULL ? 201 : 200 };
	int r = store_image_find(op->sv->store, op->name, answer_image, &o);

	if (r == -ENOENT)
		fail(op, 404, "not_found", "image: no such name");
	else if (r < 0)
		fail(op, 500, "internal", "state: can't be read");
}

static struct images_op *begin_named(struct http_req *req, struct service *sv,
				     void (*fn)(struct images_op *op, const listing *m))
{
	struct images_op *op;

	if (!name_ok(http_param(req))) {
		http_error(req, 400, "invalid_argument",
			   "image: a name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and no digest");
		return NULL;
	}
	op = begin(req, sv, fn);
	if (op != NULL)
		memcpy(op->name, http_param(req), strlen(http_param(req)) + 1);
	return op;
}

static void show(struct http_req *req, void *arg)
{
	struct images_op *op = begin_named(req, arg, answer_one);

	if (op != NULL)
		ask(op);
}

/* ---- PUT ----------------------------------------------------------------------------------- */

static bool is_placed(const listing *m, const char *name)
{
	for (size_t i = 0; i < m->n_placed; i++)
		if (strcmp(m->placed[i], name) == 0)
			return true;
	return false;
}

static void give_name(struct images_op *op, const listing *m)
{
	const listed_image *f = find_listed(m, op->digest);
	struct store_image i = { .name = op->name,
				 .digest = op->digest,
				 .config = op->config,
				 .created_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000) };

	if (is_placed(m, op->name)) {
		fail(op, 409, "conflict", "image: one of the store's own has this name");
		return;
	}
	if (f == NULL) {
		fail(op, 404, "not_found", "image: there is none of this digest; upload it");
		return;
	}
	i.bytes = f->bytes;
	if (store_image_put(op->sv->store, &i) < 0)
		fail(op, 500, "internal", "state: can't be written");
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
	else if (!take_digest(json_string_value(json_object_get(root, "digest")), op->digest))
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
	op = begin_named(req, arg, give_name);
	if (op == NULL)
		return;
	r = take_body(op, &err);
	if (r < 0)
		service_answer_refused(req, r, err.msg);
	else
		ask(op);
}

/* ---- DELETE, gc ---------------------------------------------------------------------------- */

static void remove_next(struct images_op *op);

static void on_again(void *arg)
{
	struct images_op *op = arg;

	op->timer = NULL;
	remove_next(op);
}

static void on_removed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct images_op *op = arg;

	(void)fds;
	op->call = NULL;
	if (st->code == RPC_CANCELLED)
		return;
	if (st->code == RPC_FAILED_PRECONDITION && ++op->tries < AGAIN_MAX &&
	    loop_timer_add(op->sv->loop, AGAIN_MS, on_again, op, &op->timer) == 0)
		return;
	if (st->code == RPC_OK) {
		op->freed += ((const Casemate__Jailer__V1__RemoveImageResponse *)(const void *)out)
				     ->bytes;
		(void)json_array_append_new(op->removed, digest_json(op->removals[op->at]));
	} else if (st->code == RPC_UNAVAILABLE) {
		fail(op, 503, "unavailable", st->msg);
		return;
	}
	op->at++;
	op->tries = 0;
	remove_next(op);
}

/* The next one that nothing names or uses, still; after the last, the answer. */
static void remove_next(struct images_op *op)
{
	static const struct rpc_pending_ops ops = { .done = on_removed };
	Casemate__Jailer__V1__RemoveImageRequest q =
		CASEMATE__JAILER__V1__REMOVE_IMAGE_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(op->sv->jailer);

	while (op->at < op->removals_count && (user_of(op->sv, op->removals[op->at]) != NULL ||
					       names_of(op->sv, op->removals[op->at]) != 0))
		op->at++;
	if (op->at == op->removals_count) {
		http_answer(op->req, 200,
			    json_pack("{s:O, s:I}", "removed", op->removed, "freed_bytes",
				      (json_int_t)op->freed));
		return;
	}
	sandboxes_forget_image(op->sv->sandboxes, op->removals[op->at]);
	q.digest = op->removals[op->at];
	if (jailer == NULL || rpc_start(jailer, &jailer_methods[JAILER_REMOVE_IMAGE], &q.base, NULL,
					CALL_MS, &ops, op, &op->call) < 0)
		fail(op, 503, "unavailable", "jailer: the image can't be removed now");
}

/* Room for what is to be removed: false = answered 500. */
static bool prepare(struct images_op *op, size_t count)
{
	op->removed = json_array();
	op->removals = calloc(count + 1, sizeof(*op->removals));
	if (op->removed != NULL && op->removals != NULL)
		return true;
	fail(op, 500, "internal", "out of memory");
	return false;
}

static void collect(struct images_op *op, const listing *m)
{
	const uint64_t now = clock_ns(CLOCK_REALTIME) / 1000000;

	if (!prepare(op, m->n_images))
		return;
	for (size_t i = 0; i < m->n_images && i < REMOVALS_MAX; i++) {
		const listed_image *f = m->images[i];
		uint64_t since = f->stored_unix_ms > 0 ? (uint64_t)f->stored_unix_ms : 0;
		if (names_of(op->sv, f->digest) == 0 && strlen(f->digest) == SPEC_DIGEST_LEN &&
		    now >= since && now - since >= op->age_s * 1000)
			memcpy(op->removals[op->removals_count++], f->digest, SPEC_DIGEST_LEN + 1);
	}
	remove_next(op);
}

/* {"min_age_s":N}, or nothing. */
static void gc(struct http_req *req, void *arg)
{
	struct images_op *op;
	struct err err = { 0 };
	uint64_t age_ms = 0;
	size_t len;
	const char *body = http_body(req, &len);
	int r;

	if (!auth_admin(req))
		return;
	r = profile_parse_timeout(body, len, "min_age_s", false, GC_AGE_S, &age_ms, &err);
	if (r < 0) {
		service_answer_refused(req, r, err.msg);
		return;
	}
	op = begin(req, arg, collect);
	if (op == NULL)
		return;
	op->age_s = age_ms / 1000;
	ask(op);
}

static int take_found(const struct store_image *i, void *arg)
{
	struct images_op *op = arg;

	return take_digest(i->digest, op->digest) ? 0 : -EPROTO;
}

static void take_name(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct images_op *op;
	const char *user;
	int r, names;

	if (!auth_admin(req))
		return;
	op = begin_named(req, sv, NULL);
	if (op == NULL || !prepare(op, 1))
		return;
	r = store_image_find(sv->store, op->name, take_found, op);
	names = r == 0 ? names_of(sv, op->digest) : 0;
	if (r == -ENOENT) {
		fail(op, 404, "not_found", "image: no such name");
		return;
	}
	user = r == 0 ? user_of(sv, op->digest) : NULL;
	if (names == 1 && user != NULL) {
		http_error(req, 409, "conflict", "image %s: sandbox %s uses it", op->name, user);
		return;
	}
	if (r == 0 && names >= 0)
		r = store_image_remove(sv->store, op->name);
	if (r < 0 || names < 0) {
		fail(op, 500, "internal", "state: can't be read or written");
		return;
	}
	if (names == 1)
		memcpy(op->removals[op->removals_count++], op->digest, sizeof(op->digest));
	http_hold(req, on_gone);
	remove_next(op);
}

const struct http_route service_image_routes[] = {
	{ "GET", "/v1/images", list },
	{ "POST", "/v1/images/gc", gc },
	{ "GET", "/v1/images/{}", show },
	{ "PUT", "/v1/images/{}", put },
	{ "DELETE", "/v1/images/{}", take_name },
	{ NULL, NULL, NULL },
};
