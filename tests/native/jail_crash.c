/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 of the jail's process and of the jailer at every step of the making of a jail, and many
 * jails one after the other: nothing is left. casemate-jailer-test stops where it is told.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "jailer/stage.h"
#include "tests/native/jail_rig.h"

#define CYCLES 400 /* CASEMATE_CYCLES in the environment: more */

static struct rig g;

static void setup(void)
{
	rig_require();
	g = (struct rig){ 0 };
	rig_prepare(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_crash, .init = setup, .fini = teardown, .timeout = 300);

static void ignore(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	(void)st;
	(void)out;
	(void)fds;
	(void)arg;
}

/* Asks for a jail and doesn't wait for the answer. */
static void ask(void)
{
	Casemate__Jailer__V1__CreateRequest q = CASEMATE__JAILER__V1__CREATE_REQUEST__INIT;
	static const struct rpc_pending_ops ops = { .done = ignore };

	q.id = (char *)(uintptr_t) "one";
	q.kernel = (char *)(uintptr_t) "k";
	q.image = (char *)(uintptr_t) "i";
	q.vcpus = 1;
	q.memory_bytes = RIG_MEMORY;
	q.scratch_bytes = RIG_SCRATCH;
	cr_assert_eq(rpc_start(g.conn, &jailer_methods[JAILER_CREATE], &q.base, NULL, 0, &ops, NULL,
			       NULL),
		     0);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(loop_step(g.loop, 1), 0);
}

static bool comm_is(pid_t pid, const char *name)
{
	char path[48], text[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	return fd_read_file(AT_FDCWD, path, text, sizeof(text)) > 0 &&
	       strncmp(text, name, strlen(name)) == 0;
}

/* The process of the jail, once it has stopped. */
static pid_t await_stopped_child(uint32_t stage)
{
	pid_t pids[16];

	for (int i = 0; i < 1000; i++) {
		int n = rig_children(&g, pids, ARRAY_SIZE(pids));
		for (int k = 0; k < n; k++) {
			if (comm_is(pids[k], "casemate-stop"))
				return pids[k];
		}
		usleep(2000);
	}
	cr_assert_fail("nothing stops before stage %s", stage_name(stage));
	return -1;
}

static void start_stopping(const char *option, const char *value)
{
	g.test_option = option;
	g.test_value = value;
	rig_start_jailer(&g);
	rig_connect(&g);
	ask();
}

static void start_again(void)
{
	g.test_option = NULL;
	rig_start_jailer(&g);
	rig_connect(&g);
}

static void await_no_groups(const char *after)
{
	for (int i = 0; i < 1000 && rig_groups(&g) > 0; i++)
		usleep(2000);
	cr_expect_eq(rig_groups(&g), 0, "groups are left after %s", after);
}

/* The jailer lives on: it cleans up, and the next jail is fine. */
Test(jail_crash, the_process_of_the_jail_at_each_stage)
{
	for (uint32_t s = STAGE_SIGNALS + 1; s < STAGE_COUNT; s++) {
		char text[8];
		pid_t pid;
		(void)snprintf(text, sizeof(text), "%u", s);
		start_stopping("--stop", text);
		pid = await_stopped_child(s);
		cr_expect_gt(rig_groups(&g), 0);
		cr_assert_eq(kill(pid, SIGKILL), 0);
		cr_expect(rig_pid_gone(pid));
		await_no_groups(stage_name(s));
		rig_stop_jailer(&g);
	}
	start_again();
}

/* Nobody cleans up but the next jailer. */
Test(jail_crash, the_jailer_while_the_jail_is_at_each_stage)
{
	for (uint32_t s = STAGE_SIGNALS + 1; s < STAGE_COUNT; s++) {
		char text[8];
		pid_t pid;
		(void)snprintf(text, sizeof(text), "%u", s);
		start_stopping("--stop", text);
		pid = await_stopped_child(s);
		rig_kill_jailer(&g);
		cr_expect(rig_pid_gone(pid), "the process outlives its jailer before stage %s",
			  stage_name(s));
		start_again();
		await_no_groups(stage_name(s));
		rig_stop_jailer(&g);
	}
	start_again();
}

static bool is_stopped(pid_t pid)
{
	char path[48], text[512];
	const char *at;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fd_read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
		return false;
	at = strrchr(text, ')');
	return at != NULL && at[1] == ' ' && at[2] == 'T';
}

Test(jail_crash, the_jailer_at_each_of_its_own_steps)
{
	static const char *const points[] = { "cgroup", "clone", "claim" };

	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		start_stopping("--stop-point", points[i]);
		for (int k = 0; k < 1000 && !is_stopped(g.jailer); k++)
			usleep(2000);
		cr_assert(is_stopped(g.jailer), "the jailer doesn't stop at %s", points[i]);
		cr_expect_gt(rig_groups(&g), 0);
		rig_kill_jailer(&g);
		start_again();
		await_no_groups(points[i]);
		rig_stop_jailer(&g);
	}
	start_again();
}

static unsigned count_fds(pid_t pid)
{
	char path[48];
	unsigned n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	cr_assert_not_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

/* The last tenth is as fast as the first, and nothing grows. */
Test(jail_crash, many_jails_leak_nothing)
{
	const char *text = getenv("CASEMATE_CYCLES");
	uint64_t cycles = CYCLES;
	double *ms, first, last;
	unsigned fds;
	size_t part;

	if (text != NULL)
		cr_assert_eq(parse_u64(text, 20, 1000000, &cycles), 0);
	ms = calloc(cycles, sizeof(*ms));
	cr_assert_not_null(ms);
	part = cycles / 10;
	g.pool = 2;
	rig_start_jailer(&g);
	rig_connect(&g);
	ms[0] = rig_time_create(&g);
	fds = rig_settle(&g) ? count_fds(g.jailer) : 0;
	for (uint64_t i = 0; i < cycles; i++)
		ms[i] = rig_time_create(&g);
	cr_expect(rig_settle(&g));
	cr_expect_eq(count_fds(g.jailer), fds, "descriptors: %u, then %u", fds,
		     count_fds(g.jailer));
	cr_expect_eq(rig_groups(&g), 2 * rig_trees(&g));
	first = median(ms, part);
	last = median(ms + cycles - part, part);
	cr_log_info("%llu jails: first tenth %.3f ms, last tenth %.3f ms (medians)",
		    (unsigned long long)cycles, first, last);
	/* The machine may be busy with something else meanwhile. */
	cr_expect_lt(last, 2 * first + 1, "%.3f ms, then %.3f ms", first, last);
	free(ms);
}
