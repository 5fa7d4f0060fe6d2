/* SPDX-License-Identifier: Apache-2.0 */
/* tenants.c - the tables of tenants and of their keys. */
#include <errno.h>

#include "api/store/internal.h"

static sqlite3_int64 clamp(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (sqlite3_int64)v;
}

int store_tenant_put(struct store *s, const struct store_tenant *t)
{
	sqlite3_stmt *q = store_take(s, SQL_TENANT_PUT);

	store_bind_text(q, 1, t->name);
	(void)sqlite3_bind_int64(q, 2, clamp(t->sandboxes_max));
	(void)sqlite3_bind_int64(q, 3, clamp(t->memory_max));
	(void)sqlite3_bind_int64(q, 4, clamp(t->vcpus_max));
	(void)sqlite3_bind_int64(q, 5, clamp(t->creates_per_min));
	(void)sqlite3_bind_int64(q, 6, t->created_ms);
	(void)sqlite3_bind_int64(q, 7, clamp(t->snapshots_max));
	(void)sqlite3_bind_int64(q, 8, clamp(t->snapshot_bytes_max));
	return store_run_durable(s, q);
}

/* Steps through all rows of q. */
static int each(sqlite3_stmt *q, int (*row)(sqlite3_stmt *q, void *arg), void *arg)
{
	int rc, r = 0;

	while (r == 0 && (rc = sqlite3_step(q)) != SQLITE_DONE)
		r = rc == SQLITE_ROW ? row(q, arg) : store_errno(rc);
	(void)sqlite3_reset(q);
	return r;
}

struct tenant_walk {
	int (*fn)(const struct store_tenant *t, void *arg);
	void *arg;
};

static int on_tenant(sqlite3_stmt *q, void *arg)
{
	const struct tenant_walk *w = arg;
	struct store_tenant t = { .sandboxes_max = (uint64_t)sqlite3_column_int64(q, 1),
				  .memory_max = (uint64_t)sqlite3_column_int64(q, 2),
				  .vcpus_max = (uint64_t)sqlite3_column_int64(q, 3),
				  .creates_per_min = (uint64_t)sqlite3_column_int64(q, 4),
				  .created_ms = sqlite3_column_int64(q, 5),
				  .snapshots_max = (uint64_t)sqlite3_column_int64(q, 6),
				  .snapshot_bytes_max = (uint64_t)sqlite3_column_int64(q, 7) };

	store_text(q, 0, t.name, sizeof(t.name));
	return w->fn(&t, w->arg);
}

int store_tenants_each(struct store *s, int (*fn)(const struct store_tenant *t, void *arg),
		       void *arg)
{
	struct tenant_walk w = { .fn = fn, .arg = arg };

	return each(store_take(s, SQL_TENANTS), on_tenant, &w);
}

int store_key_add(struct store *s, const struct store_key *k, const uint8_t hash[STORE_HASH_BYTES])
{
	sqlite3_stmt *q = store_take(s, SQL_KEY_ADD);

	store_bind_text(q, 1, k->id);
	(void)sqlite3_bind_blob(q, 2, hash, STORE_HASH_BYTES, SQLITE_STATIC);
	store_bind_text(q, 3, k->tenant);
	store_bind_text(q, 4, k->label);
	(void)sqlite3_bind_int(q, 5, k->admin ? 1 : 0);
	(void)sqlite3_bind_int64(q, 6, k->created_ms);
	return store_run_durable(s, q);
}

int store_key_remove(struct store *s, const char *id)
{
	sqlite3_stmt *q = store_take(s, SQL_KEY_REMOVE);
	int r;

	store_bind_text(q, 1, id);
	r = store_run_durable(s, q);
	return r == 0 && sqlite3_changes(s->db) == 0 ? -ENOENT : r;
}

static struct store_key key_of(sqlite3_stmt *q)
{
	struct store_key k = { .admin = sqlite3_column_int(q, 3) != 0,
			       .created_ms = sqlite3_column_int64(q, 4),
			       .used_ms = sqlite3_column_int64(q, 5) };

	store_text(q, 0, k.id, sizeof(k.id));
	store_text(q, 1, k.tenant, sizeof(k.tenant));
	store_text(q, 2, k.label, sizeof(k.label));
	return k;
}

int store_key_find(struct store *s, const uint8_t hash[STORE_HASH_BYTES], struct store_key *ret)
{
	sqlite3_stmt *q = store_take(s, SQL_KEY_FIND);
	int rc;

	(void)sqlite3_bind_blob(q, 1, hash, STORE_HASH_BYTES, SQLITE_STATIC);
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		*ret = key_of(q);
	(void)sqlite3_reset(q);
	(void)sqlite3_clear_bindings(q);
	return rc == SQLITE_DONE ? -ENOENT : store_errno(rc);
}

int store_key_used(struct store *s, const char *id, int64_t now_unix_ms)
{
	sqlite3_stmt *q = store_take(s, SQL_KEY_USED);

	store_bind_text(q, 1, id);
	(void)sqlite3_bind_int64(q, 2, now_unix_ms);
	return store_run(q);
}

struct key_walk {
	int (*fn)(const struct store_key *k, void *arg);
	void *arg;
};

static int on_key(sqlite3_stmt *q, void *arg)
{
	const struct key_walk *w = arg;
	const struct store_key k = key_of(q);

	return w->fn(&k, w->arg);
}

int store_keys_each(struct store *s, int (*fn)(const struct store_key *k, void *arg), void *arg)
{
	struct key_walk w = { .fn = fn, .arg = arg };

	return each(store_take(s, SQL_KEYS), on_key, &w);
}
