/* SPDX-License-Identifier: Apache-2.0 */
/* The store: what it keeps, over a restart and the death of its process, and what it refuses. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/store/store.h"

static char dir[] = "/tmp/casemate-store.XXXXXX";
static char path[64];
static struct err err;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state.db", dir);
}

static void clean(void)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
	char name[80];

	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	cr_assert_eq(rmdir(dir), 0);
}

static struct store *open_store(void)
{
	struct store *s = NULL;

	cr_assert_eq(store_open(path, &s, &err), 0, "%s", err.msg);
	return s;
}

static const struct store_tenant alice = { .name = "alice",
					   .sandboxes_max = 3,
					   .memory_max = 1 << 30,
					   .vcpus_max = 8,
					   .creates_per_min = 60,
					   .created_ms = 5 };

struct seen {
	unsigned count;
	char name[16], digest[65], config[64];
};

static int see_image(const struct store_image *i, void *arg)
{
	struct seen *s = arg;

	s->count++;
	(void)snprintf(s->name, sizeof(s->name), "%s", i->name);
	(void)snprintf(s->digest, sizeof(s->digest), "%s", i->digest);
	(void)snprintf(s->config, sizeof(s->config), "%s", i->config);
	return i->bytes == 7 ? 0 : -EIO;
}

static int see_snapshot(const struct store_snapshot *p, void *arg)
{
	struct seen *s = arg;

	s->count++;
	(void)snprintf(s->name, sizeof(s->name), "%s %s%s", p->id, p->name, p->whole ? "!" : "");
	return p->bytes == 7 && strcmp(p->tenant, "alice") == 0 ? 0 : -EIO;
}

Test(store, snapshots, .init = set_up, .fini = clean)
{
	struct store_snapshot p = { .id = "s1",
				    .tenant = "alice",
				    .name = "n",
				    .sandbox = "i1",
				    .life = "{}",
				    .bytes = 7,
				    .created_ms = 2 };
	struct store *s = open_store();
	struct seen seen = { 0 };

	cr_expect_lt(store_snapshot_put(s, &p), 0, "of no tenant");
	cr_assert_eq(store_tenant_put(s, &alice), 0);
	cr_assert_eq(store_snapshot_put(s, &p), 0);
	p.whole = true;
	cr_assert_eq(store_snapshot_put(s, &p), 0); /* replaced */
	p.id = "s0";
	p.name = "";
	p.created_ms = 1;
	cr_assert_eq(store_snapshot_put(s, &p), 0);
	store_close(s);
	s = open_store();
	cr_assert_eq(store_snapshots_each(s, see_snapshot, &seen), 0);
	cr_expect_eq(seen.count, 2);
	cr_expect_str_eq(seen.name, "s1 n!", "not the newest last: %s", seen.name);
	cr_assert_eq(store_snapshot_remove(s, "s1"), 0);
	cr_assert_eq(store_snapshot_remove(s, "s1"), 0);
	seen.count = 0;
	cr_assert_eq(store_snapshots_each(s, see_snapshot, &seen), 0);
	cr_expect_eq(seen.count, 1);
	store_close(s);
}

Test(store, names_of_images, .init = set_up, .fini = clean)
{
	static const char
		one[] = "0000000000000000000000000000000000000000000000000000000000000001",
		two[] = "0000000000000000000000000000000000000000000000000000000000000002";
	struct store_image i = {
		.name = "a", .digest = one, .config = "{}", .bytes = 7, .created_ms = 1
	};
	struct store *s = open_store();
	struct seen seen = { 0 };

	cr_expect_eq(store_image_find(s, "a", see_image, &seen), -ENOENT);
	cr_assert_eq(store_image_put(s, &i), 0);
	i.name = "b";
	cr_assert_eq(store_image_put(s, &i), 0);
	i.digest = two;
	i.config = "{\"user\":\"u\"}";
	cr_assert_eq(store_image_put(s, &i), 0); /* the name moves */
	i.digest = "short";
	cr_expect_lt(store_image_put(s, &i), 0);
	store_close(s);
	s = open_store();
	cr_assert_eq(store_image_find(s, "b", see_image, &seen), 0);
	cr_expect_str_eq(seen.digest, two);
	cr_expect_str_eq(seen.config, "{\"user\":\"u\"}");
	seen.count = 0;
	cr_assert_eq(store_images_each(s, see_image, &seen), 0);
	cr_expect_eq(seen.count, 2);
	cr_expect_str_eq(seen.name, "b");
	cr_assert_eq(store_image_remove(s, "a"), 0);
	cr_expect_eq(store_image_remove(s, "a"), -ENOENT);
	seen.count = 0;
	cr_assert_eq(store_images_each(s, see_image, &seen), 0);
	cr_expect_eq(seen.count, 1);
	store_close(s);
}

static int count_tenant(const struct store_tenant *t, void *arg)
{
	int *n = arg;

	(*n)++;
	return strcmp(t->name, "alice") == 0 ? (int)t->sandboxes_max : 0;
}

Test(store, tenants_and_keys, .init = set_up, .fini = clean)
{
	struct store *s = open_store();
	struct store_tenant more = alice;
	struct store_key k = { .id = "k1", .tenant = "alice", .label = "ci", .created_ms = 7 }, got;
	const uint8_t hash[32] = { 1, 2, 3 }, other[32] = { 9 };
	uint8_t secret[32];
	int n = 0;

	memcpy(secret, store_secret(s), 32);
	cr_assert_eq(store_key_add(s, &k, hash), -ENOENT, "a key of nobody's");
	cr_assert_eq(store_tenant_put(s, &alice), 0);
	more.sandboxes_max = 4;
	cr_assert_eq(store_tenant_put(s, &more), 0);
	cr_assert_eq(store_tenants_each(s, count_tenant, &n), 4);
	cr_assert_eq(store_key_add(s, &k, hash), 0);
	cr_assert_eq(store_key_add(s, &k, other), -EEXIST);
	snprintf(k.id, sizeof(k.id), "k2");
	cr_assert_eq(store_key_add(s, &k, hash), -EEXIST, "the same key again");
	cr_assert_eq(store_key_find(s, other, &got), -ENOENT);
	cr_assert_eq(store_key_find(s, hash, &got), 0);
	cr_assert_str_eq(got.tenant, "alice");
	cr_assert_eq(store_key_used(s, "k1", 99), 0);
	store_close(s);
	s = open_store();
	cr_assert_eq(memcmp(secret, store_secret(s), 32), 0);
	cr_assert_eq(store_key_find(s, hash, &got), 0);
	cr_assert_eq(got.used_ms, 99);
	cr_assert_eq(store_key_remove(s, "k1"), 0);
	cr_assert_eq(store_key_remove(s, "k1"), -ENOENT);
	cr_assert_eq(store_key_find(s, hash, &got), -ENOENT);
	store_close(s);
}

static void on_sandbox(const struct store_sandbox *b, void *arg)
{
	snprintf(arg, 200, "%s %s %s %lld %s", b->id, b->tenant, b->profile, (long long)b->ended_ms,
		 b->reason);
}

static const struct store_sandbox box = {
	.id = "i1", .tenant = "alice", .profile = "{}", .created_ms = 10, .reason = ""
};

static int on_living(const struct store_sandbox *b, void *arg)
{
	(void)snprintf((char *)arg + strlen(arg), 100, "%s=%s ", b->id, b->life);
	return strcmp(b->id, "stop") == 0 ? 7 : 0;
}

/* Once nobody has it open, as it is on the disk. */
static bool file_has(const char *text)
{
	static char bytes[1 << 20];
	FILE *f = fopen(path, "r");
	size_t n;

	cr_assert_not_null(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	return memmem(bytes, n, text, strlen(text)) != NULL;
}

/* What another process needs of one that lives goes with its end. */
Test(store, living, .init = set_up, .fini = clean)
{
	struct store *s = open_store();
	struct store_sandbox b = box;
	uint8_t secret[STORE_SECRET_BYTES];
	char text[400] = "";

	memcpy(secret, store_hold_secret(s), sizeof(secret));
	cr_assert_neq(memcmp(secret, store_secret(s), sizeof(secret)), 0);
	cr_assert_eq(store_tenant_put(s, &alice), 0);
	b.life = "one";
	cr_assert_eq(store_sandbox_put(s, &b), 0);
	b.id = "i0";
	b.created_ms = 9;
	b.life = NULL;
	cr_assert_eq(store_sandbox_put(s, &b), 0);
	b.id = "i2";
	b.life = "two, and secret";
	cr_assert_eq(store_sandbox_put(s, &b), 0);
	store_close(s);
	cr_assert(file_has("two, and secret"));
	s = open_store();
	cr_assert_eq(store_sandbox_end(s, "i2", 20, "deleted"), 0);
	store_close(s);
	cr_assert(!file_has("two, and secret"));
	s = open_store();
	cr_assert_eq(memcmp(secret, store_hold_secret(s), sizeof(secret)), 0);
	cr_assert_eq(store_sandboxes_living(s, on_living, text), 0);
	cr_assert_str_eq(text, "i0= i1=one ");
	b.id = "stop";
	b.created_ms = 1;
	b.life = "two";
	cr_assert_eq(store_sandbox_put(s, &b), 0);
	text[0] = '\0';
	cr_assert_eq(store_sandboxes_living(s, on_living, text), 7);
	cr_assert_str_eq(text, "stop=two ");
	store_close(s);
}

Test(store, sandboxes, .init = set_up, .fini = clean)
{
	struct store *s = open_store();
	struct store_sandbox b = box;
	char text[200];

	cr_assert_eq(store_sandbox_put(s, &b), -ENOENT, "nobody's sandbox");
	cr_assert_eq(store_tenant_put(s, &alice), 0);
	cr_assert_eq(store_sandbox_put(s, &b), 0);
	b.id = "i2";
	cr_assert_eq(store_sandbox_put(s, &b), 0);
	cr_assert_eq(store_sandbox_find(s, "i3", on_sandbox, text), -ENOENT);
	cr_assert_eq(store_sandbox_find(s, "i1", on_sandbox, text), 0);
	cr_assert_str_eq(text, "i1 alice {} 0 ");
	cr_assert_eq(store_sandbox_end(s, "i1", 20, "deleted"), 0);
	cr_assert_eq(store_sandbox_end(s, "i1", 30, "again"), 0);
	cr_assert_eq(store_sandbox_find(s, "i1", on_sandbox, text), 0);
	cr_assert_str_eq(text, "i1 alice {} 20 deleted");
	cr_assert_eq(store_sandboxes_end_all(s, 40, "restart"), 1);
	cr_assert_eq(store_sandbox_find(s, "i2", on_sandbox, text), 0);
	cr_assert_str_eq(text, "i2 alice {} 40 restart");
	cr_assert_eq(store_sandboxes_trim(s, 0, 1), 0);
	cr_assert_eq(store_sandbox_find(s, "i1", on_sandbox, text), -ENOENT);
	cr_assert_eq(store_sandbox_find(s, "i2", on_sandbox, text), 0);
	cr_assert_eq(store_sandboxes_trim(s, 41, 100), 0);
	cr_assert_eq(store_sandbox_find(s, "i2", on_sandbox, text), -ENOENT);
	store_close(s);
}

/* What has been acknowledged is there after kill -9, and nothing half done is in its way. */
Test(store, survives_its_process, .init = set_up, .fini = clean)
{
	int p[2], status;
	char text[200], c;
	struct store *s;
	pid_t pid;

	cr_assert_eq(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		struct store_sandbox b = box;
		char id[16];
		s = open_store();
		if (store_tenant_put(s, &alice) < 0)
			_exit(1);
		for (unsigned i = 0; i < 100; i++) {
			snprintf(id, sizeof(id), "i%u", i);
			b.id = id;
			if (store_sandbox_put(s, &b) < 0)
				_exit(1);
		}
		(void)!write(p[1], "x", 1);
		for (;;)
			pause();
	}
	cr_assert_eq(read(p[0], &c, 1), 1);
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	s = open_store();
	cr_assert_eq(store_sandbox_find(s, "i99", on_sandbox, text), 0);
	cr_assert_eq(store_sandboxes_end_all(s, 1, "restart"), 100);
	store_close(s);
}

Test(store, refusals, .init = set_up, .fini = clean)
{
	struct store *s = open_store(), *second = NULL;
	sqlite3 *db;
	struct stat st;
	int fd;

	cr_assert_eq(store_open(path, &second, &err), -EBUSY, "%s", err.msg);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	store_close(s);
	/* A later version of ourselves. */
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, "PRAGMA user_version = 1000", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	cr_assert_eq(store_open(path, &s, &err), -EPROTO);
	cr_assert_not_null(strstr(err.msg, "later version"), "%s", err.msg);
	/* Another program's file. */
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, "PRAGMA application_id = 7", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	cr_assert_eq(store_open(path, &s, &err), -EPROTO);
	cr_assert_not_null(strstr(err.msg, "another program"), "%s", err.msg);
	/* Readable by others; a link; no database at all. */
	cr_assert_eq(chmod(path, 0644), 0);
	cr_assert_eq(store_open(path, &s, &err), -EPERM);
	unlink(path);
	cr_assert_eq(symlink("/dev/null", path), 0);
	cr_assert_eq(store_open(path, &s, &err), -ELOOP);
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	for (int i = 0; i < 300; i++)
		cr_assert_eq(write(fd, "not a database, surely", 22), 22);
	close(fd);
	cr_assert_eq(store_open(path, &s, &err), -EPROTO, "%d %s", err.code, err.msg);
}

Test(store, in_memory)
{
	struct store *s = NULL;

	cr_assert_eq(store_open(NULL, &s, &err), 0, "%s", err.msg);
	cr_assert_eq(store_tenant_put(s, &alice), 0);
	store_close(s);
}
