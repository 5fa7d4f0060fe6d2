/* SPDX-License-Identifier: Apache-2.0 */
/* images.c - the table of images' names. */
#include <errno.h>

#include "api/store/internal.h"

int store_image_put(struct store *s, const struct store_image *i)
{
	sqlite3_stmt *q = store_take(s, SQL_IMAGE_PUT);

	store_bind_text(q, 1, i->name);
	store_bind_text(q, 2, i->digest);
	(void)sqlite3_bind_int64(q, 3, (sqlite3_int64)i->bytes);
	store_bind_text(q, 4, i->config);
	(void)sqlite3_bind_int64(q, 5, i->created_ms);
	return store_run_durable(s, q);
}

int store_image_remove(struct store *s, const char *name)
{
	sqlite3_stmt *q = store_take(s, SQL_IMAGE_REMOVE);
	int r;

	store_bind_text(q, 1, name);
	r = store_run_durable(s, q);
	return r == 0 && sqlite3_changes(s->db) == 0 ? -ENOENT : r;
}

/* The row that q has stepped to; its texts live until q's next step. -ENOMEM. */
static int image_of(sqlite3_stmt *q, struct store_image *ret)
{
	*ret = (struct store_image){ .name = (const char *)sqlite3_column_text(q, 0),
				     .digest = (const char *)sqlite3_column_text(q, 1),
				     .bytes = (uint64_t)sqlite3_column_int64(q, 2),
				     .config = (const char *)sqlite3_column_text(q, 3),
				     .created_ms = sqlite3_column_int64(q, 4) };
	return ret->name == NULL || ret->digest == NULL || ret->config == NULL ? -ENOMEM : 0;
}

int store_image_find(struct store *s, const char *name,
		     int (*fn)(const struct store_image *i, void *arg), void *arg)
{
	sqlite3_stmt *q = store_take(s, SQL_IMAGE_FIND);
	struct store_image i;
	int rc, r;

	store_bind_text(q, 1, name);
	rc = sqlite3_step(q);
	r = rc == SQLITE_DONE ? -ENOENT : rc == SQLITE_ROW ? image_of(q, &i) : store_errno(rc);
	if (r == 0)
		r = fn(&i, arg);
	(void)sqlite3_reset(q);
	(void)sqlite3_clear_bindings(q);
	return r;
}

int store_images_each(struct store *s, int (*fn)(const struct store_image *i, void *arg), void *arg)
{
	sqlite3_stmt *q = store_take(s, SQL_IMAGES);
	int rc, r = 0;

	while (r == 0 && (rc = sqlite3_step(q)) != SQLITE_DONE) {
		struct store_image i;
		r = rc == SQLITE_ROW ? image_of(q, &i) : store_errno(rc);
		if (r == 0)
			r = fn(&i, arg);
	}
	(void)sqlite3_reset(q);
	return r;
}
