/* SPDX-License-Identifier: Apache-2.0 */
/* What casemated's filter must let through, and what it is there for. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "policies/seccomp/filter.h"
#include "seccomp/casemated.h"

#define NOBODY 65534

/* Runs fn in a child, under the filter or without it: its wait status. */
static int run(int (*fn)(const char *dir), const char *dir, bool filtered)
{
	pid_t pid = fork();
	int status = 0;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		const struct rlimit no_core = { 0, 0 };
		(void)setrlimit(RLIMIT_CORE, &no_core);
		/* Like casemated, it isn't root: SQLite behaves differently there. */
		if (geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				       setresuid(NOBODY, NOBODY, NOBODY) < 0))
			_exit(98);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    (filtered && SECCOMP_INSTALL(seccomp_casemated, 0) < 0))
			_exit(99);
		_exit(fn(dir));
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* ---- SQLite, as the daemon's store has it ---- */

static sqlite3 *open_store(const char *dir)
{
	char path[96];
	sqlite3 *db = NULL;

	(void)snprintf(path, sizeof(path), "%s/store.db", dir);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != 0 ||
	    sqlite3_busy_timeout(db, 50) != 0)
		return NULL;
	return db;
}

static int sql(sqlite3 *db, const char *text)
{
	return sqlite3_exec(db, text, NULL, NULL, NULL);
}

static int use_store(const char *dir)
{
	sqlite3 *db = open_store(dir), *other;

	if (db == NULL || sql(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
				  "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT) STRICT") != 0)
		return 1;
	if (sql(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)"
		    "INSERT INTO t SELECT i, hex(randomblob(64)) FROM n") != 0)
		return 2;
	/* A second connection has to wait, and then may not. */
	other = open_store(dir);
	if (other == NULL || sql(db, "BEGIN IMMEDIATE") != 0 ||
	    sql(other, "BEGIN IMMEDIATE") != SQLITE_BUSY || sql(db, "COMMIT") != 0 ||
	    sql(other, "DELETE FROM t WHERE a % 2; SELECT count(*) FROM t ORDER BY b") != 0)
		return 3;
	if (sqlite3_close(other) != 0 ||
	    sql(db, "PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA integrity_check") != 0)
		return 4;
	/* Back to a journal of the old kind, for a backup. */
	if (sql(db, "PRAGMA journal_mode = DELETE; UPDATE t SET b = b || 'x'; DROP TABLE t") != 0)
		return 5;
	return sqlite3_close(db) == 0 ? 0 : 6;
}

static void remove_store(const char *dir)
{
	static const char *const names[] = { "store.db", "store.db-wal", "store.db-shm",
					     "store.db-journal" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[96];
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	cr_expect_eq(rmdir(dir), 0);
}

Test(daemon_filter, a_database_works)
{
	char dir[] = "/tmp/casemate-filter.XXXXXX";
	int status;

	cr_assert_not_null(mkdtemp(dir));
	cr_assert(geteuid() != 0 || chown(dir, NOBODY, NOBODY) == 0);
	status = run(use_store, dir, true);
	remove_store(dir);
	cr_expect_eq(status, 0, "status %#x", (unsigned)status);
}

#ifndef CASEMATE_NO_FILTERS
/* ---- What a daemon that was taken over would want ---- */

static int network(const char *dir)
{
	(void)dir;
	return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int another_process(const char *dir)
{
	pid_t pid = fork();

	(void)dir;
	if (pid == 0)
		_exit(0);
	return pid < 0;
}

static int another_program(const char *dir)
{
	(void)dir;
	return execl("/bin/true", "true", (char *)NULL);
}

static int code(const char *dir)
{
	(void)dir;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}

static int written_file(const char *dir)
{
	(void)dir;
	return open("/dev/null", O_WRONLY | O_CLOEXEC) < 0;
}

static int signal_to_init(const char *dir)
{
	(void)dir;
	return kill(1, 0) < 0 && errno != EPERM;
}

Test(daemon_filter, attacks_end_it)
{
	static const struct {
		const char *name;
		int (*fn)(const char *dir);
	} attacks[] = { { "network", network },		{ "process", another_process },
			{ "program", another_program }, { "code", code },
			{ "file", written_file },	{ "signal", signal_to_init } };

	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		int status = run(attacks[i].fn, NULL, false);
		cr_expect_eq(status, 0, "%s fails without a filter: %#x", attacks[i].name,
			     (unsigned)status);
		status = run(attacks[i].fn, NULL, true);
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: status %#x",
			  attacks[i].name, (unsigned)status);
	}
}
#endif
