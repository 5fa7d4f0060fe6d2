/* SPDX-License-Identifier: Apache-2.0 */
#include "api/store/templates.h"

#include <errno.h>

#include "api/store/internal.h"

static const char *text(sqlite3_stmt *q, int n)
{
	return (const char *)sqlite3_column_text(q, n);
}

/* For a statement that names a row: -ENOENT when there is none. */
static int run_on_row(struct store *s, sqlite3_stmt *q)
{
	int r = store_run_durable(s, q);

	return r == 0 && sqlite3_changes(s->db) == 0 ? -ENOENT : r;
}

/* Calls row for each of q's rows until it returns other than 0, which is returned. *ret_count: how
 * many there were. */
static int each_row(sqlite3_stmt *q, int (*row)(sqlite3_stmt *q, void *arg), void *arg,
		    unsigned *ret_count)
{
	int rc, r = 0;

	*ret_count = 0;
	while (r == 0 && (rc = sqlite3_step(q)) != SQLITE_DONE) {
		r = rc == SQLITE_ROW ? row(q, arg) : store_errno(rc);
		(*ret_count)++;
	}
	(void)sqlite3_reset(q);
	(void)sqlite3_clear_bindings(q);
	return r;
}

static int one_row(sqlite3_stmt *q, int (*row)(sqlite3_stmt *q, void *arg), void *arg)
{
	unsigned count;
	int r = each_row(q, row, arg, &count);

	return count == 0 ? -ENOENT : r;
}

static int all_rows(sqlite3_stmt *q, int (*row)(sqlite3_stmt *q, void *arg), void *arg)
{
	unsigned count;

	return each_row(q, row, arg, &count);
}

/* ---- Templates ----------------------------------------------------------------------------- */

struct template_call {
	int (*fn)(const struct store_template *t, void *arg);
	void *arg;
};

static int template_row(sqlite3_stmt *q, void *arg)
{
	const struct template_call *c = arg;
	const struct store_template t = { .id = text(q, 0),
					  .tenant = text(q, 1),
					  .name = text(q, 2),
					  .public = sqlite3_column_int(q, 3) != 0,
					  .created_ms = sqlite3_column_int64(q, 4) };

	if (t.id == NULL || t.tenant == NULL || t.name == NULL)
		return -ENOMEM;
	return c->fn(&t, c->arg);
}

int store_template_add(struct store *s, const struct store_template *t)
{
	sqlite3_stmt *q = store_take(s, SQL_TEMPLATE_ADD);

	store_bind_text(q, 1, t->id);
	store_bind_text(q, 2, t->tenant);
	store_bind_text(q, 3, t->name);
	(void)sqlite3_bind_int(q, 4, t->public);
	(void)sqlite3_bind_int64(q, 5, t->created_ms);
	return store_run_durable(s, q);
}

int store_template_share(struct store *s, const char *id, bool public)
{
	sqlite3_stmt *q = store_take(s, SQL_TEMPLATE_SHARE);

	store_bind_text(q, 1, id);
	(void)sqlite3_bind_int(q, 2, public);
	return run_on_row(s, q);
}

int store_template_remove(struct store *s, const char *id)
{
	sqlite3_stmt *q = store_take(s, SQL_TEMPLATE_REMOVE);

	store_bind_text(q, 1, id);
	return run_on_row(s, q);
}

int store_template_find(struct store *s, const char *tenant, const char *key,
			int (*fn)(const struct store_template *t, void *arg), void *arg)
{
	struct template_call c = { fn, arg };
	sqlite3_stmt *q = store_take(s, SQL_TEMPLATE_FIND);

	store_bind_text(q, 1, tenant);
	store_bind_text(q, 2, key);
	return one_row(q, template_row, &c);
}

int store_templates_each(struct store *s, const char *tenant,
			 int (*fn)(const struct store_template *t, void *arg), void *arg)
{
	struct template_call c = { fn, arg };
	sqlite3_stmt *q = store_take(s, SQL_TEMPLATES);

	store_bind_text(q, 1, tenant);
	return all_rows(q, template_row, &c);
}

/* ---- Builds -------------------------------------------------------------------------------- */

struct build_call {
	int (*fn)(const struct store_build *b, void *arg);
	void *arg;
};

static int build_row(sqlite3_stmt *q, void *arg)
{
	const struct build_call *c = arg;
	const struct store_build b = { .id = text(q, 0),
				       .template = text(q, 1),
				       .state = text(q, 2),
				       .reason = text(q, 3),
				       .config = text(q, 4),
				       .snapshot = text(q, 5),
				       .vcpus = (uint64_t)sqlite3_column_int64(q, 6),
				       .memory = (uint64_t)sqlite3_column_int64(q, 7),
				       .created_ms = sqlite3_column_int64(q, 8),
				       .ended_ms = sqlite3_column_int64(q, 9) };

	if (b.id == NULL || b.template == NULL || b.state == NULL || b.reason == NULL ||
	    b.config == NULL || b.snapshot == NULL)
		return -ENOMEM;
	return c->fn(&b, c->arg);
}

int store_build_add(struct store *s, const struct store_build *b)
{
	sqlite3_stmt *q = store_take(s, SQL_BUILD_ADD);

	store_bind_text(q, 1, b->id);
	store_bind_text(q, 2, b->template);
	store_bind_text(q, 3, b->state);
	(void)sqlite3_bind_int64(q, 4, (sqlite3_int64)b->vcpus);
	(void)sqlite3_bind_int64(q, 5, (sqlite3_int64)b->memory);
	(void)sqlite3_bind_int64(q, 6, b->created_ms);
	return store_run_durable(s, q);
}

int store_build_state(struct store *s, const struct store_build *b)
{
	sqlite3_stmt *q = store_take(s, SQL_BUILD_STATE);

	store_bind_text(q, 1, b->id);
	store_bind_text(q, 2, b->state);
	store_bind_text(q, 3, b->reason);
	store_bind_text(q, 4, b->config);
	store_bind_text(q, 5, b->snapshot);
	(void)sqlite3_bind_int64(q, 6, b->ended_ms);
	return run_on_row(s, q);
}

int store_build_find(struct store *s, const char *id,
		     int (*fn)(const struct store_build *b, void *arg), void *arg)
{
	struct build_call c = { fn, arg };
	sqlite3_stmt *q = store_take(s, SQL_BUILD_FIND);

	store_bind_text(q, 1, id);
	return one_row(q, build_row, &c);
}

int store_builds_each(struct store *s, const char *template,
		      int (*fn)(const struct store_build *b, void *arg), void *arg)
{
	struct build_call c = { fn, arg };
	sqlite3_stmt *q = store_take(s, SQL_BUILDS);

	store_bind_text(q, 1, template);
	return all_rows(q, build_row, &c);
}

int store_builds_abort(struct store *s, const char *reason, int64_t now_unix_ms)
{
	sqlite3_stmt *q = store_take(s, SQL_BUILDS_ABORT);

	store_bind_text(q, 1, reason);
	(void)sqlite3_bind_int64(q, 2, now_unix_ms);
	return store_run_durable(s, q);
}

int store_build_remove(struct store *s, const char *id)
{
	sqlite3_stmt *q = store_take(s, SQL_BUILD_REMOVE);

	store_bind_text(q, 1, id);
	return run_on_row(s, q);
}

/* ---- Tags ---------------------------------------------------------------------------------- */

struct tag_call {
	int (*fn)(const struct store_tag *t, void *arg);
	void *arg;
};

static int tag_row(sqlite3_stmt *q, void *arg)
{
	const struct tag_call *c = arg;
	const struct store_tag t = { .tag = text(q, 0),
				     .build = text(q, 1),
				     .created_ms = sqlite3_column_int64(q, 2) };

	return t.tag == NULL || t.build == NULL ? -ENOMEM : c->fn(&t, c->arg);
}

int store_tag_put(struct store *s, const char *template, const struct store_tag *t)
{
	sqlite3_stmt *q = store_take(s, SQL_TAG_PUT);
	int r;

	store_bind_text(q, 1, template);
	store_bind_text(q, 2, t->tag);
	store_bind_text(q, 3, t->build);
	(void)sqlite3_bind_int64(q, 4, t->created_ms);
	(void)sqlite3_bind_int64(q, 5, STORE_TAGS_MAX);
	r = store_run_durable(s, q);
	return r == 0 && sqlite3_changes(s->db) == 0 ? -EDQUOT : r;
}

int store_tag_remove(struct store *s, const char *template, const char *tag)
{
	sqlite3_stmt *q = store_take(s, SQL_TAG_REMOVE);

	store_bind_text(q, 1, template);
	store_bind_text(q, 2, tag);
	return run_on_row(s, q);
}

int store_tags_each(struct store *s, const char *template,
		    int (*fn)(const struct store_tag *t, void *arg), void *arg)
{
	struct tag_call c = { fn, arg };
	sqlite3_stmt *q = store_take(s, SQL_TAGS);

	store_bind_text(q, 1, template);
	return all_rows(q, tag_row, &c);
}
