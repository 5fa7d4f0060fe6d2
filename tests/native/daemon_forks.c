/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_forks.c - forks beyond what there is room for: a storm of them, and a host that is short
 * of memory. What can't be made is said; the parent and others go on, and nothing is left.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
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

static void make(char id[32])
{
	cr_assert_eq(ask("POST", "/v1/sandboxes", DIRTY_GUEST), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "id"));
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

/* What the daemon reads instead of what the kernel says. */
static void on_a_full_host(void)
{
	static const char text[] = "MemTotal:       24000000 kB\nMemAvailable:     300000 kB\n";
	char path[96];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/meminfo", d.jail.dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0 || fd_write_full(fd, text, sizeof(text) - 1) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(path, "/proc/meminfo", NULL, MS_BIND, NULL) < 0)
		_exit(1);
}

static void set_up_full(void)
{
	d.before_exec = on_a_full_host;
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
