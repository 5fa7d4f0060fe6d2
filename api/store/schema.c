/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - the tables, how an older file becomes a newer one, and every statement there is. */
#include <errno.h>
#include <stdio.h>

#include "api/store/internal.h"
#include "base/num.h"

/* "Cm" in ASCII, so that another program's file isn't taken for ours. */
#define APPLICATION_ID 0x436d3031

/* Migration n makes version n + 1 of version n. What has been released is never changed. */
static const char *const migrations[] = {
	"CREATE TABLE tenants ("
	"  name TEXT PRIMARY KEY,"
	"  sandboxes_max INTEGER NOT NULL CHECK (sandboxes_max >= 0),"
	"  memory_max INTEGER NOT NULL CHECK (memory_max >= 0),"
	"  vcpus_max INTEGER NOT NULL CHECK (vcpus_max >= 0),"
	"  creates_per_min INTEGER NOT NULL CHECK (creates_per_min >= 0),"
	"  created_ms INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE keys ("
	"  id TEXT PRIMARY KEY,"
	"  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),"
	"  tenant TEXT NOT NULL REFERENCES tenants (name),"
	"  label TEXT NOT NULL,"
	"  admin INTEGER NOT NULL CHECK (admin IN (0, 1)),"
	"  created_ms INTEGER NOT NULL,"
	"  used_ms INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE sandboxes ("
	"  id TEXT PRIMARY KEY,"
	"  tenant TEXT NOT NULL REFERENCES tenants (name),"
	"  profile TEXT NOT NULL,"
	"  created_ms INTEGER NOT NULL,"
	"  ended_ms INTEGER NOT NULL,"
	"  reason TEXT NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX sandboxes_ended ON sandboxes (ended_ms);"
	"CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"INSERT INTO secrets VALUES ('tokens', randomblob(32));",
	"CREATE TABLE images ("
	"  name TEXT PRIMARY KEY,"
	"  digest TEXT NOT NULL CHECK (length(digest) = 64),"
	"  bytes INTEGER NOT NULL CHECK (bytes > 0),"
	"  config TEXT NOT NULL,"
	"  created_ms INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;",
	"ALTER TABLE sandboxes ADD COLUMN life TEXT NOT NULL DEFAULT ''; INSERT INTO secrets VALUES ('hold', randomblob(32));",
	"CREATE TABLE templates ("
	"  id TEXT PRIMARY KEY,"
	"  tenant TEXT NOT NULL REFERENCES tenants (name),"
	"  name TEXT NOT NULL,"
	"  public INTEGER NOT NULL CHECK (public IN (0, 1)),"
	"  created_ms INTEGER NOT NULL,"
	"  UNIQUE (tenant, name)"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE builds ("
	"  id TEXT PRIMARY KEY,"
	"  template TEXT NOT NULL REFERENCES templates (id) ON DELETE CASCADE,"
	"  state TEXT NOT NULL,"
	"  reason TEXT NOT NULL,"
	"  config TEXT NOT NULL,"
	"  snapshot TEXT NOT NULL,"
	"  vcpus INTEGER NOT NULL CHECK (vcpus > 0),"
	"  memory INTEGER NOT NULL CHECK (memory > 0),"
	"  created_ms INTEGER NOT NULL,"
	"  ended_ms INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX builds_of ON builds (template, created_ms);"
	"CREATE TABLE template_tags ("
	"  template TEXT NOT NULL REFERENCES templates (id) ON DELETE CASCADE,"
	"  tag TEXT NOT NULL,"
	"  build TEXT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,"
	"  created_ms INTEGER NOT NULL,"
	"  PRIMARY KEY (template, tag)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX template_tags_of ON template_tags (build);",
	"ALTER TABLE tenants ADD COLUMN snapshots_max INTEGER NOT NULL DEFAULT 32"
	"  CHECK (snapshots_max >= 0);"
	"ALTER TABLE tenants ADD COLUMN snapshot_bytes_max INTEGER NOT NULL DEFAULT 17179869184"
	"  CHECK (snapshot_bytes_max >= 0);"
	"UPDATE tenants SET snapshots_max = 9223372036854775807,"
	"  snapshot_bytes_max = 9223372036854775807 WHERE name = 'local';"
	"CREATE TABLE snapshots ("
	"  id TEXT PRIMARY KEY,"
	"  tenant TEXT NOT NULL REFERENCES tenants (name),"
	"  name TEXT NOT NULL,"
	"  sandbox TEXT NOT NULL,"
	"  life TEXT NOT NULL,"
	"  bytes INTEGER NOT NULL CHECK (bytes >= 0),"
	"  created_ms INTEGER NOT NULL,"
	"  whole INTEGER NOT NULL CHECK (whole IN (0, 1))"
	") STRICT, WITHOUT ROWID;",
};

const char *const store_sql[SQL_COUNT] = {
	[SQL_TENANT_PUT] = "INSERT INTO tenants VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
			   " ON CONFLICT (name) DO UPDATE SET sandboxes_max = ?2, memory_max = ?3,"
			   " vcpus_max = ?4, creates_per_min = ?5, snapshots_max = ?7,"
			   " snapshot_bytes_max = ?8",
	[SQL_TENANTS] = "SELECT name, sandboxes_max, memory_max, vcpus_max, creates_per_min,"
			" created_ms, snapshots_max, snapshot_bytes_max FROM tenants"
			" ORDER BY created_ms, name",
	[SQL_KEY_ADD] = "INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
	[SQL_KEY_REMOVE] = "DELETE FROM keys WHERE id = ?1",
	[SQL_KEY_FIND] = "SELECT id, tenant, label, admin, created_ms, used_ms FROM keys"
			 " WHERE hash = ?1",
	[SQL_KEY_USED] = "UPDATE keys SET used_ms = ?2 WHERE id = ?1",
	[SQL_KEYS] = "SELECT id, tenant, label, admin, created_ms, used_ms FROM keys"
		     " ORDER BY created_ms, id",
	[SQL_SANDBOX_PUT] = "INSERT OR REPLACE INTO sandboxes VALUES (?1, ?2, ?3, ?4, 0, '', ?5)",
	[SQL_SANDBOX_END] = "UPDATE sandboxes SET ended_ms = ?2, reason = ?3, life = ''"
			    " WHERE id = ?1 AND ended_ms = 0",
	[SQL_SANDBOXES_END_ALL] = "UPDATE sandboxes SET ended_ms = ?1, reason = ?2, life = ''"
				  " WHERE ended_ms = 0",
	[SQL_SANDBOX_FIND] = "SELECT id, tenant, profile, created_ms, ended_ms, reason, life"
			     " FROM sandboxes WHERE id = ?1",
	[SQL_SANDBOXES_LIVING] = "SELECT id, tenant, profile, created_ms, ended_ms, reason, life"
				 " FROM sandboxes WHERE ended_ms = 0 ORDER BY created_ms, id",
	[SQL_SANDBOXES_TRIM] =
		"DELETE FROM sandboxes WHERE ended_ms > 0 AND (ended_ms < ?1 OR id IN"
		" (SELECT id FROM sandboxes WHERE ended_ms > 0"
		"  ORDER BY ended_ms DESC LIMIT -1 OFFSET ?2))",
	[SQL_IMAGE_PUT] = "INSERT OR REPLACE INTO images VALUES (?1, ?2, ?3, ?4, ?5)",
	[SQL_IMAGE_REMOVE] = "DELETE FROM images WHERE name = ?1",
	[SQL_IMAGE_FIND] = "SELECT name, digest, bytes, config, created_ms FROM images"
			   " WHERE name = ?1",
	[SQL_SNAPSHOT_PUT] =
		"INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SQL_SNAPSHOT_REMOVE] = "DELETE FROM snapshots WHERE id = ?1",
	[SQL_SNAPSHOTS] = "SELECT id, tenant, name, sandbox, life, bytes, created_ms, whole"
			  " FROM snapshots ORDER BY created_ms, id",
	[SQL_IMAGES] = "SELECT name, digest, bytes, config, created_ms FROM images ORDER BY name",
	[SQL_TEMPLATE_ADD] = "INSERT INTO templates VALUES (?1, ?2, ?3, ?4, ?5)",
	[SQL_TEMPLATE_SHARE] = "UPDATE templates SET public = ?2 WHERE id = ?1",
	[SQL_TEMPLATE_REMOVE] = "DELETE FROM templates WHERE id = ?1",
	/* One's own comes before another's of the same name. */
	[SQL_TEMPLATE_FIND] = "SELECT id, tenant, name, public, created_ms FROM templates"
			      " WHERE (id = ?2 OR name = ?2) AND (tenant = ?1 OR public = 1)"
			      " ORDER BY tenant = ?1 DESC, created_ms, id LIMIT 1",
	[SQL_TEMPLATES] = "SELECT id, tenant, name, public, created_ms FROM templates"
			  " WHERE tenant = ?1 ORDER BY created_ms, id",
	[SQL_BUILD_ADD] = "INSERT INTO builds VALUES (?1, ?2, ?3, '', '{}', '', ?4, ?5, ?6, 0)",
	[SQL_BUILD_STATE] = "UPDATE builds SET state = ?2, reason = ?3, config = ?4, snapshot = ?5,"
			    " ended_ms = ?6 WHERE id = ?1",
	[SQL_BUILD_FIND] = "SELECT id, template, state, reason, config, snapshot, vcpus, memory,"
			   " created_ms, ended_ms FROM builds WHERE id = ?1",
	[SQL_BUILDS] = "SELECT id, template, state, reason, config, snapshot, vcpus, memory,"
		       " created_ms, ended_ms FROM builds WHERE template = ?1"
		       " ORDER BY created_ms DESC, id",
	[SQL_BUILDS_ABORT] = "UPDATE builds SET state = 'error', reason = ?1, ended_ms = ?2"
			     " WHERE ended_ms = 0",
	[SQL_BUILD_REMOVE] = "DELETE FROM builds WHERE id = ?1",
	[SQL_TAG_PUT] =
		"INSERT OR REPLACE INTO template_tags SELECT ?1, ?2, ?3, ?4"
		" WHERE EXISTS (SELECT 1 FROM template_tags WHERE template = ?1 AND tag = ?2)"
		" OR (SELECT count(*) FROM template_tags WHERE template = ?1) < ?5",
	[SQL_TAG_REMOVE] = "DELETE FROM template_tags WHERE template = ?1 AND tag = ?2",
	[SQL_TAGS] = "SELECT tag, build, created_ms FROM template_tags WHERE template = ?1"
		     " ORDER BY tag",
};

static int pragma_number(sqlite3 *db, const char *pragma, int64_t *ret)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(db, pragma, -1, &q, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q);
	return rc == SQLITE_ROW ? 0 : store_errno(rc);
}

static int migrate_from(sqlite3 *db, int64_t version)
{
	char pragma[96];
	int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	for (size_t i = (size_t)version; rc == SQLITE_OK && i < ARRAY_SIZE(migrations); i++)
		rc = sqlite3_exec(db, migrations[i], NULL, NULL, NULL);
	(void)snprintf(pragma, sizeof(pragma),
		       "PRAGMA user_version = %zu; PRAGMA application_id = %d",
		       ARRAY_SIZE(migrations), APPLICATION_ID);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, pragma, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	return store_errno(rc);
}

int store_migrate(sqlite3 *db, struct err *err)
{
	int64_t version = 0, app = 0;
	int r = pragma_number(db, "PRAGMA user_version", &version);

	if (r == 0)
		r = pragma_number(db, "PRAGMA application_id", &app);
	if (r < 0)
		return err_set(err, r, "%s", sqlite3_errmsg(db));
	if (version != 0 && app != APPLICATION_ID)
		return err_set(err, -EPROTO, "it belongs to another program");
	if (version < 0 || (size_t)version > ARRAY_SIZE(migrations))
		return err_set(err, -EPROTO, "it was written by a later version (schema %lld)",
			       (long long)version);
	if ((size_t)version == ARRAY_SIZE(migrations))
		return 0;
	r = migrate_from(db, version);
	return r < 0 ? err_set(err, r, "schema: %s", sqlite3_errmsg(db)) : 0;
}
