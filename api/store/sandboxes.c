/* SPDX-License-Identifier: Apache-2.0 */
/* sandboxes.c - the table of sandboxes. */
#include <errno.h>

#include "api/store/internal.h"

int store_sandbox_put(struct store *s, const struct store_sandbox *b)
{
	sqlite3_stmt *q = store_take(s, SQL_SANDBOX_PUT);

	store_bind_text(q, 1, b->id);
	store_bind_text(q, 2, b->tenant);
	store_bind_text(q, 3, b->profile);
	(void)sqlite3_bind_int64(q, 4, b->created_ms);
	store_bind_text(q, 5, b->life == NULL ? "" : b->life);
	return store_run(q);
}

int store_sandbox_end(struct store *s, const char *id, int64_t now_unix_ms, const char *reason)
{
	sqlite3_stmt *q = store_take(s, SQL_SANDBOX_END);

	store_bind_text(q, 1, id);
	(void)sqlite3_bind_int64(q, 2, now_unix_ms);
	store_bind_text(q, 3, reason);
	return store_run(q);
}

int store_sandboxes_end_all(struct store *s, int64_t now_unix_ms, const char *reason)
{
	sqlite3_stmt *q = store_take(s, SQL_SANDBOXES_END_ALL);
	int r;

	(void)sqlite3_bind_int64(q, 1, now_unix_ms);
	store_bind_text(q, 2, reason);
	r = store_run(q);
	return r < 0 ? r : sqlite3_changes(s->db);
}

/* False: no memory. */
static bool take_row(sqlite3_stmt *q, struct store_sandbox *ret)
{
	*ret = (struct store_sandbox){
		.id = (const char *)sqlite3_column_text(q, 0),
		.tenant = (const char *)sqlite3_column_text(q, 1),
		.profile = (const char *)sqlite3_column_text(q, 2),
		.created_ms = sqlite3_column_int64(q, 3),
		.ended_ms = sqlite3_column_int64(q, 4),
		.reason = (const char *)sqlite3_column_text(q, 5),
		.life = (const char *)sqlite3_column_text(q, 6),
	};
	return ret->id != NULL && ret->tenant != NULL && ret->profile != NULL &&
	       ret->reason != NULL && ret->life != NULL;
}

int store_sandbox_find(struct store *s, const char *id,
		       void (*fn)(const struct store_sandbox *b, void *arg), void *arg)
{
	sqlite3_stmt *q = store_take(s, SQL_SANDBOX_FIND);
	struct store_sandbox b;
	int rc;

	store_bind_text(q, 1, id);
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW && take_row(q, &b))
		fn(&b, arg);
	else if (rc == SQLITE_ROW)
		rc = SQLITE_NOMEM;
	(void)sqlite3_reset(q);
	(void)sqlite3_clear_bindings(q);
	return rc == SQLITE_DONE ? -ENOENT : store_errno(rc);
}

int store_sandboxes_living(struct store *s, int (*fn)(const struct store_sandbox *b, void *arg),
			   void *arg)
{
	sqlite3_stmt *q = store_take(s, SQL_SANDBOXES_LIVING);
	struct store_sandbox b;
	int r = 0, rc;

	while ((rc = sqlite3_step(q)) == SQLITE_ROW && r == 0) {
		if (!take_row(q, &b)) {
			rc = SQLITE_NOMEM;
			break;
		}
		r = fn(&b, arg);
	}
	(void)sqlite3_reset(q);
	return r != 0 ? r : rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : store_errno(rc);
}

int store_sandboxes_trim(struct store *s, int64_t before_unix_ms, uint64_t keep)
{
	sqlite3_stmt *q = store_take(s, SQL_SANDBOXES_TRIM);

	(void)sqlite3_bind_int64(q, 1, before_unix_ms);
	(void)sqlite3_bind_int64(q, 2, keep > INT64_MAX ? INT64_MAX : (sqlite3_int64)keep);
	return store_run(q);
}
