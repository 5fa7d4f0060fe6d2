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
#include "tests/native/proc.h"

#define CYCLES 400 /* CASEMATE_CYCLES in the environment: more */
/* 360 jails that leak 128 bytes each are seen; a page more, because a buffer was longer, isn't. */
#define HEAP_SLACK_KIB 40U

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

/* What the jailer has, that jails of the past could have left to it. */
struct belongings {
	unsigned fds;
	unsigned mounts;
	uint64_t heap_kib; /* what it has written to, of no file: what a program leaks is there */
};

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

static unsigned count_mounts(pid_t pid)
{
	char path[48], line[1024];
	unsigned n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	f = fopen(path, "re");
	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strchr(line, '\n') != NULL;
	cr_assert_eq(fclose(f), 0);
	return n;
}

/* Of the jailer, and of the process that makes the jails. */
static struct belongings look(void)
{
	const pid_t spawner = rig_spawner(&g);

	cr_assert(rig_settle(&g));
	cr_assert_gt(spawner, 0);
	return (struct belongings){
		.fds = count_fds(g.jailer) + count_fds(spawner),
		.mounts = count_mounts(g.jailer),
		.heap_kib = status_number(g.jailer, "RssAnon", 10) +
			    status_number(spawner, "RssAnon", 10),
	};
}

static void make_and_destroy(uint64_t jails)
{
	for (uint64_t i = 0; i < jails; i++) {
		struct rig_jail j;
		enum rpc_code code;

		rig_create_ok(&g, "one", &j);
		close(j.control);
		close(j.log);
		code = rig_destroy(&g, "one");
		cr_assert_eq(code, RPC_OK, "%s", rpc_code_name(code));
	}
}

/* After the first tenth, in which each buffer gets its size, nothing grows. */
Test(jail_crash, many_jails_leak_nothing)
{
	const char *text = getenv("CASEMATE_CYCLES");
	uint64_t cycles = CYCLES;
	struct belongings before, after;

	if (text != NULL)
		cr_assert_eq(parse_u64(text, 20, 1000000, &cycles), 0);
	g.pool = 2;
	rig_start_jailer(&g);
	rig_connect(&g);
	make_and_destroy(cycles / 10);
	before = look();
	make_and_destroy(cycles - cycles / 10);
	after = look();
	cr_expect_eq(after.fds, before.fds, "descriptors: %u, then %u", before.fds, after.fds);
	cr_expect_eq(after.mounts, before.mounts, "mounts: %u, then %u", before.mounts,
		     after.mounts);
	cr_expect_leq(after.heap_kib, before.heap_kib + HEAP_SLACK_KIB, "heap: %llu KiB, then %llu",
		      (unsigned long long)before.heap_kib, (unsigned long long)after.heap_kib);
	cr_expect_eq(rig_groups(&g), 2 * rig_trees(&g));
}
