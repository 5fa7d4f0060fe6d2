/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_forks.c - forks beyond what there is room for: a storm of them, a host that is short of
 * memory, a disk that is full. What can't be made is said; the parent and others go on, and nothing
 * is left. And forks with scratch disks.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/native/daemon_rig.h"

#define CLIENTS	    12U
#define COUNT	    4U
#define MAX	    16U
#define PROCS_MAX   32
#define DIRTY_GUEST "{\"memory_bytes\":67108864,\"hostname\":\"dirty-32\"}"

static struct daemon_rig d;
static struct answer a;

static void set_up(void)
{
	d.max = MAX;
	d.jail.max = MAX + 8;
	daemon_rig_open(&d);
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

static unsigned ask(const char *method, const char *target, const char *body)
{
	daemon_rig_ask(&d, false, method, target, "", body, &a);
	return a.status;
}

static void make_of(const char *body, char id[32])
{
	cr_assert_eq(ask("POST", "/v1/sandboxes", body), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "id"));
}

static void make(char id[32])
{
	make_of(DIRTY_GUEST, id);
}

static bool alive(const char *id)
{
	char fields[128];

	(void)snprintf(fields, sizeof(fields), "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\n",
		       id);
	daemon_rig_ask(&d, true, "GET", "/health", fields, NULL, &a);
	return a.status == 204;
}

static int begin_fork(const char *id, unsigned count)
{
	char body[32];
	int n = snprintf(body, sizeof(body), "{\"count\":%u}", count);
	int fd = daemon_rig_dial(&d, false);

	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd,
			     "POST /v1/sandboxes/%s/fork HTTP/1.1\r\nHost: 127.0.0.1\r\n"
			     "Content-Length: %d\r\n\r\n%s",
			     id, n, body),
		     0);
	return fd;
}

/* How many that haven't ended; ended, when end is set. */
static size_t count_sandboxes(bool end)
{
	const json_t *s;
	json_t *o;
	size_t i, n;

	cr_assert_eq(ask("GET", "/v1/sandboxes", NULL), 200, "%s", a.body);
	o = answer_json(&a);
	n = json_array_size(json_object_get(o, "sandboxes"));
	json_array_foreach(json_object_get(o, "sandboxes"), i, s)
	{
		char target[96];
		(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s",
			       json_string_value(json_object_get(s, "id")));
		if (end)
			cr_assert_eq(ask("DELETE", target, NULL), 204, "%s", a.body);
	}
	json_decref(o);
	return n;
}

static void expect_nothing_left(void)
{
	pid_t pids[PROCS_MAX];

	(void)count_sandboxes(true);
	cr_assert_eq(count_sandboxes(false), 0);
	cr_assert_eq(rig_groups(&d.jail), 0);
	cr_assert_eq(rig_children(&d.jail, pids, PROCS_MAX), 0);
}

/* More clients than may be served, of two parents, at once: all or nothing for each of them. */
Test(daemon_forks, a_storm, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char parents[2][32];
	int fds[CLIENTS];
	size_t made = 0, refused = 0;

	make(parents[0]);
	make(parents[1]);
	for (unsigned i = 0; i < CLIENTS; i++)
		fds[i] = begin_fork(parents[i % 2], COUNT);
	for (unsigned i = 0; i < CLIENTS; i++) {
		daemon_rig_read(fds[i], &a);
		close(fds[i]);
		made += a.status == 201;
		refused += a.status == 409 || a.status == 429 || a.status == 503;
		cr_assert(a.status == 201 || strlen(answer_text(&a, "message")) > 12, "%s", a.body);
	}
	cr_expect_eq(made + refused, CLIENTS);
	cr_expect_gt(made, 0);
	cr_expect_gt(refused, 0);
	cr_expect_eq(count_sandboxes(false), 2 + made * COUNT);
	cr_expect(alive(parents[0]));
	cr_expect(alive(parents[1]));
	expect_nothing_left();
}

static void set_up_full(void)
{
	d.available = 300;
	set_up();
}

Test(daemon_forks, a_host_without_memory, .init = set_up_full, .fini = tear_down, .timeout = 120)
{
	char id[32], target[96];

	make(id);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s/fork", id);
	cr_assert_eq(ask("POST", target, "{}"), 503, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "less than 320 MiB of memory available"), "%s", a.body);
	cr_expect(alive(id));
	cr_expect_eq(count_sandboxes(false), 1);
	expect_nothing_left();
}

static void set_up_for_one(void)
{
	d.available = 350; /* 256 stay; a fork may take 64 */
	set_up();
}

/* Two of different parents at once, where there is room for one of them. */
Test(daemon_forks, memory_for_one, .init = set_up_for_one, .fini = tear_down, .timeout = 120)
{
	char parents[2][32], target[64];
	pid_t vmms[PROCS_MAX];
	int first;

	make(parents[0]);
	cr_assert_eq(rig_children(&d.jail, vmms, PROCS_MAX), 1);
	make(parents[1]);
	cr_assert_eq(kill(vmms[0], SIGSTOP), 0);
	first = begin_fork(parents[0], 1);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s/fork", parents[0]);
	for (unsigned i = 0; i < 1000 && ask("POST", target, "{}") != 409; i++)
		(void)usleep(5000); /* until it has begun */
	cr_assert_eq(a.status, 409, "%s", a.body);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s/fork", parents[1]);
	cr_expect_eq(ask("POST", target, "{}"), 503, "%s", a.body);
	cr_expect_not_null(strstr(a.body, "less than 384 MiB of memory available"), "%s", a.body);
	cr_assert_eq(kill(vmms[0], SIGCONT), 0);
	daemon_rig_read(first, &a);
	close(first);
	cr_expect_eq(a.status, 201, "%s", a.body);
	cr_expect_eq(ask("POST", target, "{}"), 201, "%s", a.body);
	cr_expect_eq(count_sandboxes(false), 4);
	expect_nothing_left();
}

/* ---- Scratch disks ------------------------------------------------------------------------- */

#define DISK_GUEST "{\"memory_bytes\":67108864,\"scratch_bytes\":16777216}"
#define DISK_AT	   (5 << 20)

static unsigned fork_it(const char *id, unsigned count, char children[][32])
{
	const json_t *list;
	json_t *o;

	int fd = begin_fork(id, count);
	daemon_rig_read(fd, &a);
	close(fd);
	if (a.status != 201)
		return a.status;
	o = answer_json(&a);
	list = json_object_get(o, "sandboxes");
	cr_assert_eq(json_array_size(list), count);
	for (unsigned i = 0; i < count; i++)
		(void)snprintf(children[i], 32, "%s",
			       json_string_value(json_object_get(json_array_get(list, i), "id")));
	json_decref(o);
	return 201;
}

/* As its guest would. */
static void write_disk(const char *id, const char *text, size_t bytes)
{
	static char data[8 << 20];
	int fd = daemon_rig_disk(&d, id);

	cr_assert_leq(bytes, sizeof(data));
	memset(data, 'x', sizeof(data));
	memcpy(data, text, strlen(text));
	cr_assert_eq(pwrite(fd, data, bytes, DISK_AT), (ssize_t)bytes);
	close(fd);
}

static const char *disk_of(const char *id)
{
	static char text[6];
	int fd = daemon_rig_disk(&d, id);
	struct stat st;

	cr_assert_eq(pread(fd, text, 5, DISK_AT), 5);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, 16 << 20);
	cr_assert_lt(st.st_blocks * 512, 2 << 20, "it isn't sparse");
	close(fd);
	return text;
}

/* Each has the parent's disk of that moment and nobody's later one: the parent doesn't write into
 * its children's, nor they into its or another's. */
Test(daemon_forks, scratch_disks, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], c[2][32], grandchild[1][32], later[1][32];

	make_of(DISK_GUEST, id);
	write_disk(id, "first", 5);
	cr_assert_eq(fork_it(id, 2, c), 201, "%s", a.body);
	write_disk(id, "later", 5);
	cr_expect_str_eq(disk_of(c[0]), "first");
	write_disk(c[0], "mine!", 5);
	cr_expect_str_eq(disk_of(c[1]), "first");
	cr_expect_str_eq(disk_of(id), "later");
	cr_assert_eq(fork_it(c[0], 1, grandchild), 201, "%s", a.body);
	cr_assert_eq(fork_it(id, 1, later), 201, "%s", a.body);
	cr_expect_str_eq(disk_of(grandchild[0]), "mine!");
	cr_expect_str_eq(disk_of(later[0]), "later");
	cr_expect(alive(id) && alive(c[0]) && alive(c[1]) && alive(grandchild[0]));
	cr_assert_eq(count_sandboxes(false), 5);
	expect_nothing_left();
}

/* The parent was paused for its disk, and goes on, at whatever moment nobody waits any more. */
Test(daemon_forks, nobody_waits_for_it, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], target[64];

	make_of(DISK_GUEST, id);
	write_disk(id, "first", 8 << 20);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", id);
	for (unsigned i = 0; i < 8; i++) {
		int fd = begin_fork(id, 2);
		(void)usleep(i * 6000);
		close(fd);
		cr_assert(alive(id), "round %u: %u %s", i, a.status, a.body);
		cr_assert_eq(ask("GET", target, NULL), 200);
		cr_assert_str_eq(answer_text(&a, "paused"), "no");
	}
	expect_nothing_left();
}

static void on_a_full_disk(void)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/store/scratch", d.jail.dir);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    (mkdir(path, 0700) < 0 && errno != EEXIST) ||
	    mount("tmpfs", path, "tmpfs", 0, "size=72m,mode=0700") < 0)
		_exit(1);
}

static void set_up_full_disk(void)
{
	d.jail.before_exec = on_a_full_disk;
	set_up();
}

/* 64 MiB are to stay free of 72: one copy of 3 MiB has room, and none of 6. */
Test(daemon_forks, a_full_disk, .init = set_up_full_disk, .fini = tear_down, .timeout = 120)
{
	char id[32], c[1][32], target[64];

	make_of(DISK_GUEST, id);
	write_disk(id, "first", 3 << 20);
	cr_assert_eq(fork_it(id, 1, c), 201, "%s", a.body);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", c[0]);
	cr_assert_eq(ask("DELETE", target, NULL), 204);
	write_disk(id, "first", 6 << 20);
	cr_assert_eq(fork_it(id, 1, c), 503, "%u %s", a.status, a.body);
	cr_expect_not_null(strstr(a.body, "not enough for a copy of 6 MiB"), "%s", a.body);
	cr_expect(alive(id));
	cr_assert_eq(count_sandboxes(false), 1);
	expect_nothing_left();
}
