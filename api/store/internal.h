/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what store.c (the file) and its tables share. */
#ifndef API_STORE_INTERNAL_H
#define API_STORE_INTERNAL_H

#include <sqlite3.h>

#include "api/store/store.h"

enum store_sql {
	SQL_TENANT_PUT,
	SQL_TENANTS,
	SQL_KEY_ADD,
	SQL_KEY_REMOVE,
	SQL_KEY_FIND,
	SQL_KEY_USED,
	SQL_KEYS,
	SQL_SANDBOX_PUT,
	SQL_SANDBOX_END,
	SQL_SANDBOXES_END_ALL,
	SQL_SANDBOX_FIND,
	SQL_SANDBOXES_LIVING,
	SQL_SANDBOXES_TRIM,
	SQL_IMAGE_PUT,
	SQL_IMAGE_REMOVE,
	SQL_IMAGE_FIND,
	SQL_IMAGES,
	SQL_TEMPLATE_ADD,
	SQL_TEMPLATE_SHARE,
	SQL_TEMPLATE_REMOVE,
	SQL_TEMPLATE_FIND,
	SQL_TEMPLATES,
	SQL_BUILD_ADD,
	SQL_BUILD_STATE,
	SQL_BUILD_FIND,
	SQL_BUILDS,
	SQL_BUILDS_ABORT,
	SQL_BUILD_REMOVE,
	SQL_TAG_PUT,
	SQL_TAG_REMOVE,
	SQL_TAGS,
	SQL_SNAPSHOT_PUT,
	SQL_SNAPSHOT_REMOVE,
	SQL_SNAPSHOTS,
	SQL_COUNT
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *sql[SQL_COUNT];
	uint8_t secret[STORE_SECRET_BYTES];
	uint8_t hold_secret[STORE_SECRET_BYTES];
};

/* schema.c. Brings the file to our version. */
MUST_USE int store_migrate(sqlite3 *db, struct err *err);
extern const char *const store_sql[SQL_COUNT];

/* An SQLite result as 0 or -errno. */
int store_errno(int rc);
/* The statement, ready for its parameters. */
sqlite3_stmt *store_take(struct store *s, enum store_sql which);
/* Runs one that gives no rows, and makes it ready again. 0 or -errno. */
MUST_USE int store_run(sqlite3_stmt *q);
/* The same, on the disk when it returns. */
MUST_USE int store_run_durable(struct store *s, sqlite3_stmt *q);
/* Parameter n, a text that lives until the statement has run. */
void store_bind_text(sqlite3_stmt *q, int n, const char *text);
/* Column n as a string, cut to cap - 1. */
void store_text(sqlite3_stmt *q, int n, char *dst, size_t cap);

#endif
