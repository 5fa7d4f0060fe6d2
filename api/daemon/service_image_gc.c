/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_image_gc.c - how images go: with the last of their names, or by gc when they have none.
 * What a sandbox uses stays, paused ones included; what only the pool or a build's
 * cache (layers.h) has made of it ends first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/images_internal.h"
#include "api/daemon/jailer.h"
#include "api/daemon/layers.h"
#include "api/daemon/profile.h"
#include "api/daemon/snapshot.h"
#include "api/proto/contract.h"
#include "base/clock.h"

#define AGAIN_MS     200U /* the pool's VMs of an image are on their way out */
#define AGAIN_MAX    25U
#define GC_AGE_S     3600U /* an image that came lately may be about to get its name */
#define REMOVALS_MAX 1024U

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

/* The id of a sandbox that was made from it and is still there, paused ones included, or of a
 * snapshot of one; NULL. */
static const char *user_of(const struct service *sv, const char *digest)
{
	struct users u = { .digest = digest };

	sandboxes_each(sv->sandboxes, find_user, &u);
	return u.id != NULL ? u.id
			    : snapshots_image_user(sandboxes_snapshots(sv->sandboxes), digest);
}

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
		(void)json_array_append_new(op->removed, images_digest_json(op->removals[op->at]));
	} else if (st->code == RPC_UNAVAILABLE) {
		images_fail(op, 503, "unavailable", st->msg);
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
					       images_names_of(op->sv, op->removals[op->at]) != 0))
		op->at++;
	if (op->at == op->removals_count) {
		http_answer(op->req, 200,
			    json_pack("{s:O, s:I}", "removed", op->removed, "freed_bytes",
				      (json_int_t)op->freed));
		return;
	}
	sandboxes_forget_image(op->sv->sandboxes, op->removals[op->at]);
	layers_forget_image(sandboxes_snapshots(op->sv->sandboxes), op->removals[op->at]);
	q.digest = op->removals[op->at];
	if (jailer == NULL || rpc_start(jailer, &jailer_methods[JAILER_REMOVE_IMAGE], &q.base, NULL,
					IMAGES_CALL_MS, &ops, op, &op->call) < 0)
		images_fail(op, 503, "unavailable", "jailer: the image can't be removed now");
}

/* Room for what is to be removed: false = answered 500. */
static bool prepare(struct images_op *op, size_t count)
{
	op->removed = json_array();
	op->removals = calloc(count + 1, sizeof(*op->removals));
	if (op->removed != NULL && op->removals != NULL)
		return true;
	images_fail(op, 500, "internal", "out of memory");
	return false;
}

static void collect(struct images_op *op, const images_listing *m)
{
	const uint64_t now = clock_ns(CLOCK_REALTIME) / 1000000;

	if (!prepare(op, m->n_images))
		return;
	for (size_t i = 0; i < m->n_images && i < REMOVALS_MAX; i++) {
		const images_listed *f = m->images[i];
		uint64_t since = f->stored_unix_ms > 0 ? (uint64_t)f->stored_unix_ms : 0;
		if (images_names_of(op->sv, f->digest) == 0 &&
		    strlen(f->digest) == SPEC_DIGEST_LEN && now >= since &&
		    now - since >= op->age_s * 1000)
			memcpy(op->removals[op->removals_count++], f->digest, SPEC_DIGEST_LEN + 1);
	}
	remove_next(op);
}

/* {"min_age_s":N}, or nothing. */
void images_gc(struct http_req *req, void *arg)
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
	op = images_begin(req, arg, collect);
	if (op == NULL)
		return;
	op->age_s = age_ms / 1000;
	images_ask(op);
}

static int take_found(const struct store_image *i, void *arg)
{
	struct images_op *op = arg;

	return images_take_digest(i->digest, op->digest) ? 0 : -EPROTO;
}

void images_delete(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct images_op *op;
	const char *user;
	int r, names;

	if (!auth_admin(req))
		return;
	op = images_begin_named(req, sv, NULL);
	if (op == NULL || !prepare(op, 1))
		return;
	r = store_image_find(sv->store, op->name, take_found, op);
	names = r == 0 ? images_names_of(sv, op->digest) : 0;
	if (r == -ENOENT) {
		images_fail(op, 404, "not_found", "image: no such name");
		return;
	}
	user = r == 0 ? user_of(sv, op->digest) : NULL;
	if (names == 1 && user != NULL) {
		http_error(req, 409, "conflict", "image %s: %s %s uses it", op->name,
			   user[0] == 's' ? "snapshot" : "sandbox", user);
		return;
	}
	if (r == 0 && names >= 0)
		r = store_image_remove(sv->store, op->name);
	if (r < 0 || names < 0) {
		images_fail(op, 500, "internal", "state: can't be read or written");
		return;
	}
	if (names == 1)
		memcpy(op->removals[op->removals_count++], op->digest, sizeof(op->digest));
	http_hold(req, images_gone);
	remove_next(op);
}
