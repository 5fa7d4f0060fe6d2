/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_keys.c - /v1/keys and /v1/tenants: the operator's. A key is shown once, in the answer
 * that makes it; after that there is only its hash.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "api/daemon/credential.h"
#include "api/daemon/service.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/num.h"

static int64_t unix_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
}

static json_t *key_json(const struct store_key *k)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:I, s:I}", "id", k->id, "tenant", k->tenant,
			 "label", k->label, "admin", k->admin ? 1 : 0, "created_unix_ms",
			 (json_int_t)k->created_ms, "used_unix_ms", (json_int_t)k->used_ms);
}

/* ---- What a request says ------------------------------------------------------------------- */

struct wanted {
	char tenant[STORE_NAME_MAX + 1];
	char label[STORE_LABEL_MAX + 1];
	bool admin;
	const json_t *limits; /* NULL = as they are */
};

static int take_text(const json_t *root, const char *name, char *dst, size_t cap, struct err *err)
{
	const json_t *v = json_object_get(root, name);
	const char *s = json_string_value(v);

	if (v == NULL)
		return 0;
	if (s == NULL || strlen(s) >= cap)
		return err_set(err, -EINVAL, "%s: must be a string of at most %zu bytes", name,
			       cap - 1);
	for (const char *p = s; *p != '\0'; p++)
		if (*p < 0x20 || *p >= 0x7f)
			return err_set(err, -EINVAL, "%s: must be printable ASCII", name);
	memcpy(dst, s, strlen(s) + 1);
	return 0;
}

static int take_wanted(const json_t *root, struct wanted *w, struct err *err)
{
	const json_t *admin = json_object_get(root, "admin");
	int r = take_text(root, "tenant", w->tenant, sizeof(w->tenant), err);

	if (r == 0)
		r = take_text(root, "label", w->label, sizeof(w->label), err);
	if (r == 0 && admin != NULL && !json_is_boolean(admin))
		r = err_set(err, -EINVAL, "admin: must be true or false");
	w->admin = json_is_true(admin);
	w->limits = json_object_get(root, "limits");
	if (r == 0 && w->limits != NULL && !json_is_object(w->limits))
		r = err_set(err, -EINVAL, "limits: must be an object");
	return r;
}

static int take_limit(const json_t *limits, const char *name, uint64_t *ret, struct err *err)
{
	const json_t *v = json_object_get(limits, name);

	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return err_set(err, -EINVAL, "limits: %s: must be a whole number", name);
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int take_limits(const json_t *limits, struct store_tenant *t, struct err *err)
{
	int r = take_limit(limits, "sandboxes", &t->sandboxes_max, err);

	if (r == 0)
		r = take_limit(limits, "memory_bytes", &t->memory_max, err);
	if (r == 0)
		r = take_limit(limits, "vcpus", &t->vcpus_max, err);
	if (r == 0)
		r = take_limit(limits, "creates_per_minute", &t->creates_per_min, err);
	if (r == 0)
		r = take_limit(limits, "snapshots", &t->snapshots_max, err);
	if (r == 0)
		r = take_limit(limits, "snapshot_bytes", &t->snapshot_bytes_max, err);
	return r;
}

/* The tenant of that name, with these limits where they are given. */
static int ensure_tenant(struct service *sv, const char *name, const json_t *limits,
			 struct tenant **ret, struct err *err)
{
	struct tenant *t = tenants_find(sv->auth.tenants, name);
	struct store_tenant want = t != NULL ? t->limits : tenant_defaults(name);
	int r = take_limits(limits, &want, err);

	if (r < 0)
		return r;
	if (t == NULL || limits != NULL)
		return tenants_put(sv->auth.tenants, &want, ret, err);
	*ret = t;
	return 0;
}

/* The body's object; NULL: answered 400. */
static json_t *body_object(struct http_req *req)
{
	size_t len;
	const char *body = http_body(req, &len);
	json_t *root =
		len == 0 ? json_object() : json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(root))
		return root;
	json_decref(root);
	http_error(req, 400, "invalid_argument", "body: must be a JSON object");
	return NULL;
}

/* ---- Keys ---------------------------------------------------------------------------------- */

static int add_key(struct service *sv, const struct wanted *w, json_t **ret, struct err *err)
{
	char key[CREDENTIAL_KEY_LEN + 1];
	uint8_t hash[CREDENTIAL_HASH_BYTES], raw[STORE_KEY_ID_LEN / 2];
	struct store_key k = { .admin = w->admin, .created_ms = unix_ms() };
	struct tenant *tenant;
	int r = ensure_tenant(sv, w->tenant[0] != '\0' ? w->tenant : TENANT_LOCAL, w->limits,
			      &tenant, err);

	if (r < 0)
		return r;
	BUG_ON(getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw));
	for (size_t i = 0; i < sizeof(raw); i++)
		(void)snprintf(k.id + 2 * i, 3, "%02x", raw[i]);
	(void)snprintf(k.tenant, sizeof(k.tenant), "%s", tenant->limits.name);
	(void)snprintf(k.label, sizeof(k.label), "%s", w->label);
	credential_key_make(key);
	BUG_ON(credential_key_hash(key, hash) < 0);
	r = store_key_add(sv->store, &k, hash);
	*ret = r == 0 ? key_json(&k) : NULL;
	(void)json_object_set_new(*ret, "key", json_string(key));
	explicit_bzero(key, sizeof(key));
	return r < 0 ? err_sys(err, r, "key: store") : 0;
}

static void create_key(struct http_req *req, void *arg)
{
	struct wanted w = { 0 };
	struct err err = { 0 };
	json_t *root, *answer = NULL;
	int r;

	if (!auth_admin(req))
		return;
	root = body_object(req);
	if (root == NULL)
		return;
	r = take_wanted(root, &w, &err);
	if (r == 0)
		r = add_key(arg, &w, &answer, &err);
	json_decref(root);
	if (r < 0)
		service_answer_refused(req, r, err.msg);
	else
		http_answer(req, 201, answer);
}

static int add_listed(const struct store_key *k, void *arg)
{
	return json_array_append_new(arg, key_json(k)) < 0 ? -ENOMEM : 0;
}

static void list_keys(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	json_t *list;
	int r;

	if (!auth_admin(req))
		return;
	list = json_array();
	r = list == NULL ? -ENOMEM : store_keys_each(sv->store, add_listed, list);
	if (r < 0) {
		json_decref(list);
		http_error(req, 500, "internal", "store: %s", strerror(-r));
		return;
	}
	http_answer(req, 200, json_pack("{s:o}", "keys", list));
}

static void remove_key(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	int r;

	if (!auth_admin(req))
		return;
	r = store_key_remove(sv->store, http_param(req));
	if (r == -ENOENT)
		http_error(req, 404, "not_found", "key: no such key");
	else if (r < 0)
		http_error(req, 500, "internal", "store: %s", strerror(-r));
	else
		http_answer(req, 204, NULL);
}

/* ---- Tenants ------------------------------------------------------------------------------- */

static void list_tenants(struct http_req *req, void *arg)
{
	struct service *sv = arg;

	if (auth_admin(req))
		http_answer(req, 200,
			    json_pack("{s:o}", "tenants", tenants_json(sv->auth.tenants)));
}

static void put_tenant(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct err err = { 0 };
	struct tenant *t;
	json_t *root;
	int r;

	if (!auth_admin(req))
		return;
	root = body_object(req);
	if (root == NULL)
		return;
	r = strlen(http_param(req)) > STORE_NAME_MAX
		    ? err_set(&err, -EINVAL, "tenant: name too long")
		    : ensure_tenant(sv, http_param(req), root, &t, &err);
	json_decref(root);
	if (r < 0)
		service_answer_refused(req, r, err.msg);
	else
		http_answer(req, 200, tenant_json(t));
}

const struct http_route service_key_routes[] = {
	{ "POST", "/v1/keys", create_key },	 { "GET", "/v1/keys", list_keys },
	{ "DELETE", "/v1/keys/{}", remove_key }, { "GET", "/v1/tenants", list_tenants },
	{ "PUT", "/v1/tenants/{}", put_tenant }, { NULL, NULL, NULL },
};
