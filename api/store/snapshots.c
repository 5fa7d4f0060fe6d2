/* SPDX-License-Identifier: Apache-2.0 */
/* snapshots.c - the table of snapshots. */
#include <errno.h>

#include "api/store/internal.h"

int store_snapshot_put(struct store *s, const struct store_snapshot *p)
{
	sqlite3_stmt *q = store_take(s, SQL_SNAPSHOT_PUT);

	store_bind_text(q, 1, p->id);
	store_bind_text(q, 2, p->tenant);
	store_bind_text(q, 3, p->name);
	store_bind_text(q, 4, p->sandbox);
	store_bind_text(q, 5, p->life);
	(void)sqlite3_bind_int64(q, 6, (sqlite3_int64)p->bytes);
	(void)sqlite3_bind_int64(q, 7, p->created_ms);
	(void)sqlite3_bind_int(q, 8, p->whole ? 1 : 0);
	return store_run_durable(s, q);
}

int store_snapshot_remove(struct store *s, const char *id)
{
	sqlite3_stmt *q = store_take(s, SQL_SNAPSHOT_REMOVE);

	store_bind_text(q, 1, id);
	return store_run_durable(s, q);
}

/* False: no memory. */
static bool take_row(sqlite3_stmt *q, struct store_snapshot *ret)
{
	*ret = (struct store_snapshot){
		.id = (const char *)sqlite3_column_text(q, 0),
		.tenant = (const char *)sqlite3_column_text(q, 1),
		.name = (const char *)sqlite3_column_text(q, 2),
		.sandbox = (const char *)sqlite3_column_text(q, 3),
		.life = (const char *)sqlite3_column_text(q, 4),
		.bytes = (uint64_t)sqlite3_column_int64(q, 5),
		.created_ms = sqlite3_column_int64(q, 6),
		.whole = sqlite3_column_int(q, 7) != 0,
	};
	return ret->id != NULL && ret->tenant != NULL && ret->name != NULL &&
	       ret->sandbox != NULL && ret->life != NULL;
}

int store_snapshots_each(struct store *s, int (*fn)(const struct store_snapshot *p, void *arg),
			 void *arg)
{
	sqlite3_stmt *q = store_take(s, SQL_SNAPSHOTS);
	struct store_snapshot p;
	int rc, r = 0;

	while (r == 0 && (rc = sqlite3_step(q)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW)
			r = store_errno(rc);
		else
			r = take_row(q, &p) ? fn(&p, arg) : -ENOMEM;
	}
	(void)sqlite3_reset(q);
	return r;
}
