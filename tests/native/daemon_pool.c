/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_pool.c - what lies ready, when something goes wrong: VMs that die while they are made,
 * while they wait and while they are claimed, and an image that is lost or replaced.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/native/daemon_rig.h"
#include "tests/native/proc.h"

#define SMALL	 "{\"memory_bytes\":67108864}"
#define DEPTH	 2U
#define LOOKS	 3000
#define LOOK_US	 5000
#define VMMS_MAX 16
#define KILLS	 8U
#define PLENTY	 4096U /* MiB */

static struct daemon_rig d;
static struct answer a;

static void set_up(void)
{
	d.pool = DEPTH;
	d.available = PLENTY;
	d.jail.max = 16;
	daemon_rig_open(&d);
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

TestSuite(daemon_pool, .init = set_up, .fini = tear_down, .timeout = 120);

static unsigned ask(const char *method, const char *target, const char *body)
{
	daemon_rig_ask(&d, false, method, target, "", body, &a);
	return a.status;
}

/* Creates one, and ends it: how it came to run, or NULL. */
static const char *try_one(void)
{
	char target[96];
	const char *path;

	if (ask("POST", "/v1/sandboxes", SMALL) != 201)
		return NULL;
	path = answer_text(&a, "path");
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", answer_text(&a, "id"));
	cr_assert_eq(ask("DELETE", target, NULL), 204, "%s", a.body);
	return path;
}

static const char *made_by(void)
{
	const char *path = try_one();

	cr_assert_not_null(path, "%s", a.body);
	return path;
}

/* As long as anything lies ready it has the old image open; the first that doesn't, and isn't
 * restored either: NULL or how it came to run. */
static const char *first_without_pool(void)
{
	const char *path = "pool";

	for (unsigned i = 0; i <= DEPTH && path != NULL && strcmp(path, "pool") == 0; i++)
		path = try_one();
	return path;
}

struct ready {
	bool template;
	json_int_t working_set;
	json_int_t spares;
};

static struct ready ready(void)
{
	struct ready r = { 0 };
	const json_t *shape;
	json_t *o;

	cr_assert_eq(ask("GET", "/v1/status", NULL), 200, "%s", a.body);
	o = answer_json(&a);
	shape = json_array_get(json_object_get(o, "pool"), 0);
	r.template = json_is_true(json_object_get(shape, "template"));
	r.working_set = json_integer_value(json_object_get(shape, "working_set_bytes"));
	r.spares = json_integer_value(json_object_get(shape, "spares"));
	json_decref(o);
	return r;
}

static void await_spares(json_int_t n)
{
	for (unsigned i = 0; i < LOOKS && ready().spares != n; i++)
		usleep(LOOK_US);
	cr_assert_eq(ready().spares, n, "%s", a.body);
}

/* A pool that is full. */
static void warm_up(void)
{
	cr_assert_str_eq(made_by(), "cold");
	await_spares(DEPTH);
}

/* The VMMs, newest last. */
static int vmms(pid_t pids[VMMS_MAX])
{
	return rig_children(&d.jail, pids, VMMS_MAX);
}

/* How many the rig's jailer has when nothing but the pool is there. */
static void expect_only_spares(void)
{
	pid_t pids[VMMS_MAX];

	for (unsigned i = 0; i < LOOKS && vmms(pids) != (int)DEPTH; i++)
		usleep(LOOK_US);
	cr_expect_eq(vmms(pids), (int)DEPTH);
	cr_expect_eq(rig_groups(&d.jail), (int)DEPTH * rig_trees(&d.jail));
}

/* The scout has told what its like write at once, before anything lies ready. */
Test(daemon_pool, knows_its_working_set)
{
	struct ready r;

	warm_up();
	r = ready();
	cr_expect_gt(r.working_set, 0);
	cr_expect_leq(r.working_set, 2048 * 4096);
	expect_only_spares(); /* the scout is gone */
	cr_expect_str_eq(made_by(), "pool");
}

/* Each moment of boot, template, scout and restore, a little later each time. */
Test(daemon_pool, killed_while_it_is_filled)
{
	for (unsigned i = 0; i < KILLS; i++) {
		pid_t pids[VMMS_MAX];
		int n;
		(void)made_by();
		usleep(4000 * i);
		n = vmms(pids);
		if (n > 0)
			(void)kill(pids[n - 1], SIGKILL);
	}
	await_spares(DEPTH);
	expect_only_spares();
	cr_expect_str_eq(made_by(), "pool");
}

/* It dies between the claim and its agent's answer: the client is told so, and the next one gets
 * another. */
Test(daemon_pool, killed_while_it_is_claimed)
{
	pid_t pids[VMMS_MAX];
	int fd, n;

	warm_up();
	n = vmms(pids);
	for (int i = 0; i < n; i++)
		cr_assert_eq(kill(pids[i], SIGSTOP), 0);
	fd = daemon_rig_dial(&d, false);
	cr_assert_gt(dprintf(fd,
			     "POST /v1/sandboxes HTTP/1.1\r\nHost: 127.0.0.1\r\n"
			     "Content-Length: %zu\r\n\r\n%s",
			     strlen(SMALL), SMALL),
		     0);
	for (unsigned i = 0; i < LOOKS && ready().spares == n; i++)
		usleep(LOOK_US);
	for (int i = 0; i < n; i++)
		cr_assert_eq(kill(pids[i], SIGKILL), 0);
	daemon_rig_read(fd, &a);
	close(fd);
	cr_assert_eq(a.status, 502, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "ended before it was up: killed"), "%s", a.body);
	await_spares(DEPTH);
	expect_only_spares();
	cr_expect_str_eq(made_by(), "pool");
}

/* ---- The host's memory --------------------------------------------------------------------- */

/* What is available counts, page cache included, not what is free: none is made beyond it, what
 * lies ready is given away, and what comes then is restored. */
Test(daemon_pool, no_more_than_there_is_memory_for)
{
	warm_up();
	daemon_rig_available(&d, 255);
	for (unsigned i = 0; i < DEPTH; i++)
		cr_assert_str_eq(made_by(), "pool");
	for (unsigned i = 0; i < 3; i++)
		cr_assert_str_eq(made_by(), "restore");
	cr_assert_eq(ready().spares, 0);
	daemon_rig_available(&d, PLENTY);
	cr_assert_str_eq(made_by(), "restore");
	await_spares(DEPTH);
	cr_expect_str_eq(made_by(), "pool");
	cr_assert_eq(ask("GET", "/metrics", NULL), 200);
	cr_expect_not_null(strstr(a.body, "started_total{path=\"cold\"} 1\n"), "%s", a.body);
	cr_expect_not_null(strstr(a.body, "started_total{path=\"restore\"} 4\n"), "%s", a.body);
	cr_expect_not_null(strstr(a.body, "started_total{path=\"pool\"} 3\n"), "%s", a.body);
}

/* ---- The image ----------------------------------------------------------------------------- */

static const char *image(const char *suffix)
{
	static char path[2][160];
	static unsigned at;
	char *p = path[at++ % 2];

	(void)snprintf(p, sizeof(path[0]), "%s/store/images/default/root.erofs%s", d.jail.dir,
		       suffix);
	return p;
}

/* How often the daemon has slept and been woken: what tells an idle one from one that tries again
 * and again. */
static uint64_t turns(void)
{
	return status_number(d.daemon, "voluntary_ctxt_switches", 10);
}

/* No more can be made, which is said, and not tried all the time. */
Test(daemon_pool, the_image_is_lost)
{
	uint64_t before;

	warm_up();
	cr_assert_eq(rename(image(""), image(".away")), 0);
	cr_assert_null(first_without_pool());
	cr_assert_eq(a.status, 400, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "image default doesn't exist"), "%s", a.body);
	usleep(100000);
	before = turns();
	usleep(500000);
	cr_expect_lt(turns() - before, 50, "%llu turns in half a second",
		     (unsigned long long)(turns() - before));
	cr_assert_eq(rename(image(".away"), image("")), 0);
	cr_assert_str_eq(made_by(), "cold");
}

/* From .away: the same bytes, and another file. */
static void copy_to_image(void)
{
	static uint8_t data[1U << 20];
	int in = open(image(".away"), O_RDONLY | O_CLOEXEC);
	int out = open(image(""), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ssize_t n;

	cr_assert(in >= 0 && out >= 0);
	while ((n = read(in, data, sizeof(data))) > 0)
		cr_assert_eq(write(out, data, (size_t)n), n);
	close(in);
	close(out);
}

/* A template of the old one must not go on over the new one's blocks: another is made. */
Test(daemon_pool, the_image_is_replaced)
{
	warm_up();
	cr_assert_eq(rename(image(""), image(".away")), 0);
	copy_to_image();
	cr_assert_str_eq(first_without_pool(), "cold", "over another image than it was made with");
	await_spares(DEPTH);
	cr_assert_str_eq(made_by(), "pool");
	expect_only_spares();
}

/* What goes on from a snapshot wants the image that it was over, and says so; with it, it does. */
Test(daemon_pool, the_image_of_a_fork_and_of_a_paused_one)
{
	static const char why[] = "isn't the one that the snapshot is of";
	char fork_it[96], pause_it[96], resume[96];
	const char *id;

	cr_assert_eq(ask("POST", "/v1/sandboxes", SMALL), 201, "%s", a.body);
	id = answer_text(&a, "id");
	(void)snprintf(fork_it, sizeof(fork_it), "/v1/sandboxes/%s/fork", id);
	(void)snprintf(pause_it, sizeof(pause_it), "/v1/sandboxes/%s/pause", id);
	(void)snprintf(resume, sizeof(resume), "/v1/sandboxes/%s/resume", id);
	cr_assert_eq(rename(image(""), image(".away")), 0);
	copy_to_image();
	cr_assert_eq(ask("POST", fork_it, "{}"), 500, "%s", a.body);
	cr_assert_not_null(strstr(a.body, why), "%s", a.body);
	cr_assert_eq(ask("POST", pause_it, "{\"disk\":true}"), 200, "%s", a.body);
	cr_assert_eq(ask("POST", resume, NULL), 500, "%s", a.body);
	cr_assert_not_null(strstr(a.body, why), "%s", a.body);
	cr_assert_eq(rename(image(".away"), image("")), 0);
	cr_assert_eq(ask("POST", resume, NULL), 200, "%s", a.body);
	cr_assert_eq(ask("POST", fork_it, "{}"), 201, "%s", a.body);
}
