/* SPDX-License-Identifier: Apache-2.0 */
#include "api/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/store/internal.h"
#include "base/bug.h"
#include "base/fd.h"

#define HEAP_MAX (16 * 1024 * 1024) /* of SQLite's memory: hard */

int store_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CONSTRAINT:
		return rc == SQLITE_CONSTRAINT_FOREIGNKEY ? -ENOENT : -EEXIST;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_SCHEMA:
		return -EPROTO;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_READONLY:
		return -EACCES;
	default:
		return -EIO;
	}
}

sqlite3_stmt *store_take(struct store *s, enum store_sql which)
{
	return s->sql[which];
}

int store_run(sqlite3_stmt *q)
{
	int rc = sqlite3_step(q);

	/* A statement that fails must be reset, too; the result is what step said. */
	if (rc == SQLITE_DONE || rc == SQLITE_ROW)
		rc = SQLITE_OK;
	else
		rc = sqlite3_extended_errcode(sqlite3_db_handle(q));
	(void)sqlite3_reset(q);
	(void)sqlite3_clear_bindings(q);
	return store_errno(rc);
}

int store_run_durable(struct store *s, sqlite3_stmt *q)
{
	int rc = sqlite3_exec(s->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
	int r = store_errno(rc);

	if (r == 0)
		r = store_run(q);
	rc = sqlite3_exec(s->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
	return r < 0 ? r : store_errno(rc);
}

void store_bind_text(sqlite3_stmt *q, int n, const char *text)
{
	(void)sqlite3_bind_text(q, n, text, -1, SQLITE_STATIC);
}

void store_text(sqlite3_stmt *q, int n, char *dst, size_t cap)
{
	const unsigned char *text = sqlite3_column_text(q, n);
	size_t len = text == NULL ? 0 : strnlen((const char *)text, cap - 1);

	if (len > 0)
		memcpy(dst, text, len);
	dst[len] = '\0';
}

/* The file exists and is ours alone before SQLite sees it: it would be made with the umask's mode,
 * and -wal takes over the mode of the file. */
static int make_file(const char *path, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return err_set(err, -EPERM, "%s: must be a file of ours with mode 0600", path);
	return 0;
}

static int tighten(sqlite3 *db)
{
	/* mmap stays off: a file that is cut short under us is then an error, not SIGBUS. */
	static const char pragmas[] = "PRAGMA locking_mode = EXCLUSIVE;"
				      "PRAGMA journal_mode = WAL;"
				      "PRAGMA synchronous = NORMAL;"
				      "PRAGMA foreign_keys = ON;"
				      "PRAGMA mmap_size = 0;"
				      "PRAGMA temp_store = MEMORY;"
				      "PRAGMA cell_size_check = ON;"
				      /* What is deleted was secret: tokens, environments. */
				      "PRAGMA secure_delete = ON;";
	int rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	(void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1024 * 1024);
	(void)sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
	return rc;
}

static int prepare(struct store *s)
{
	for (unsigned i = 0; i < SQL_COUNT; i++) {
		int rc = sqlite3_prepare_v3(s->db, store_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
					    &s->sql[i], NULL);
		if (rc != SQLITE_OK)
			return store_errno(rc);
	}
	return 0;
}

static int load_secret(struct store *s, const char *name, uint8_t ret[STORE_SECRET_BYTES])
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db, "SELECT value FROM secrets WHERE name = ?1", -1, &q,
				    NULL);
	int r = -EPROTO;

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW &&
	    sqlite3_column_bytes(q, 0) == (int)STORE_SECRET_BYTES) {
		memcpy(ret, sqlite3_column_blob(q, 0), STORE_SECRET_BYTES);
		r = 0;
	}
	(void)sqlite3_finalize(q);
	return r;
}

int store_open(const char *path, struct store **ret, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	int rc, r;

	if (s == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	r = path == NULL ? 0 : make_file(path, err);
	if (r < 0) {
		free(s);
		return r;
	}
	(void)sqlite3_hard_heap_limit64(HEAP_MAX);
	rc = sqlite3_open_v2(path == NULL ? ":memory:" : path, &s->db, flags, NULL);
	if (rc == SQLITE_OK)
		rc = tighten(s->db);
	if (rc != SQLITE_OK) {
		r = store_errno(rc);
		(void)err_set(err, r, "%.160s: %s", path == NULL ? "memory" : path,
			      r == -EBUSY ? "another casemated uses it" : sqlite3_errstr(rc));
	}
	if (r == 0) {
		r = store_migrate(s->db, err);
		if (r < 0)
			(void)err_wrap(err, "%.160s", path == NULL ? "memory" : path);
	}
	if (r == 0 && (prepare(s) < 0 || load_secret(s, "tokens", s->secret) < 0 ||
		       load_secret(s, "hold", s->hold_secret) < 0))
		r = err_set(err, -EPROTO, "%.160s: %s", path == NULL ? "memory" : path,
			    sqlite3_errmsg(s->db));
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < SQL_COUNT; i++)
		(void)sqlite3_finalize(s->sql[i]);
	BUG_ON(sqlite3_close(s->db) != SQLITE_OK);
	explicit_bzero(s->secret, sizeof(s->secret));
	explicit_bzero(s->hold_secret, sizeof(s->hold_secret));
	free(s);
}

const uint8_t *store_secret(const struct store *s)
{
	return s->secret;
}

const uint8_t *store_hold_secret(const struct store *s)
{
	return s->hold_secret;
}
