/* SPDX-License-Identifier: Apache-2.0 */
/* Jails that lie ready: they are real jails, are used once, and nothing of them is left. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/native/jail_rig.h"

#define POOL 3U

static struct rig g;

static void setup(void)
{
	rig_require();
	g = (struct rig){ .pool = POOL };
	rig_prepare(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_pool, .init = setup, .fini = teardown, .timeout = 60);

static void start(void)
{
	rig_start_jailer(&g);
	rig_connect(&g);
}

/* Waits until so many jails lie ready. */
static void await_ready(unsigned want)
{
	unsigned ready = 0;

	for (int i = 0; i < 400; i++) {
		ready = rig_ready(&g);
		if (ready == want)
			return;
		usleep(5000);
	}
	cr_assert_fail("%u jails lie ready instead of %u", ready, want);
}

Test(jail_pool, is_filled_taken_from_and_filled_again)
{
	struct rig_jail j[2];
	struct rig_report r;

	start();
	await_ready(POOL);
	cr_expect_eq(rig_groups(&g), (int)POOL * rig_trees(&g));
	for (int i = 0; i < 2; i++) {
		char id[8];
		(void)snprintf(id, sizeof(id), "j%d", i);
		rig_create_ok(&g, id, &j[i]);
		rig_report(&j[i], &r);
		cr_expect_eq(rig_value(&r, "cap.sets"), 0);
		cr_expect_eq(rig_value(&r, "fds.beyond"), 0);
	}
	cr_expect_neq(j[0].uid, j[1].uid);
	await_ready(POOL);
	cr_assert_eq(rig_destroy(&g, "j0"), RPC_OK);
	cr_assert_eq(rig_destroy(&g, "j1"), RPC_OK);
	await_ready(POOL);
}

/* The identity of one that has run anything isn't given out again before all others were. */
Test(jail_pool, what_was_used_does_not_come_back)
{
	uid_t seen[12];
	struct rig_jail j;

	start();
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		rig_create_ok(&g, "again", &j);
		for (size_t k = 0; k < i; k++)
			cr_expect_neq(j.uid, seen[k]);
		seen[i] = j.uid;
		close(j.control);
		close(j.log);
		cr_assert_eq(rig_destroy(&g, "again"), RPC_OK);
	}
}

/* A jail that dies while it lies ready is replaced. */
Test(jail_pool, a_dead_one_is_replaced)
{
	pid_t pids[16];
	struct rig_jail j;
	struct rig_report r;
	int n;

	start();
	await_ready(POOL);
	n = rig_children(&g, pids, ARRAY_SIZE(pids));
	cr_assert_eq(n, (int)POOL);
	for (int i = 0; i < n; i++)
		cr_assert_eq(kill(pids[i], SIGKILL), 0);
	/* Until the jailer has seen it, the dead still count. */
	for (int i = 0; i < n; i++)
		cr_assert(rig_pid_gone(pids[i]));
	await_ready(POOL);
	rig_create_ok(&g, "one", &j);
	rig_report(&j, &r);
}

Test(jail_pool, killing_the_jailer_ends_what_lies_ready)
{
	pid_t pids[16], spawner;
	int n;

	start();
	await_ready(POOL);
	n = rig_children(&g, pids, ARRAY_SIZE(pids));
	cr_assert_eq(n, (int)POOL);
	spawner = rig_spawner(&g);
	cr_assert_gt(spawner, 0);
	rig_kill_jailer(&g);
	for (int i = 0; i < n; i++)
		cr_expect(rig_pid_gone(pids[i]));
	cr_expect(rig_pid_gone(spawner));
	start();
	await_ready(POOL);
	cr_expect_eq(rig_groups(&g), (int)POOL * rig_trees(&g));
}

static int count_fds(pid_t pid)
{
	char path[32];
	int n = -2; /* . and .. */
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	cr_assert_not_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* What makes the jails' processes has the same few descriptors however many jails there are. */
Test(jail_pool, the_spawner_keeps_nothing_of_jails)
{
	struct rig_jail j[4];
	pid_t spawner;
	int before;

	start();
	await_ready(POOL);
	spawner = rig_spawner(&g);
	cr_assert_gt(spawner, 0);
	before = count_fds(spawner);
	cr_expect_leq(before, 9); /* 0 to 2, its socket, null, exec, egress, two namespaces */
	for (size_t i = 0; i < ARRAY_SIZE(j); i++) {
		char id[8];
		(void)snprintf(id, sizeof(id), "j%zu", i);
		rig_create_ok(&g, id, &j[i]);
	}
	await_ready(POOL);
	cr_expect_eq(rig_spawner(&g), spawner);
	cr_expect_eq(count_fds(spawner), before);
}

Test(jail_pool, a_dead_spawner_is_replaced)
{
	struct rig_jail j[3];
	struct rig_report r;
	pid_t spawner;

	g.pool = 1;
	start();
	await_ready(1);
	spawner = rig_spawner(&g);
	cr_assert_gt(spawner, 0);
	cr_assert_eq(kill(spawner, SIGKILL), 0);
	/* More than lay ready. */
	for (size_t i = 0; i < ARRAY_SIZE(j); i++) {
		char id[8];
		(void)snprintf(id, sizeof(id), "j%zu", i);
		rig_create_ok(&g, id, &j[i]);
		rig_report(&j[i], &r);
		cr_expect_eq(rig_value(&r, "cap.sets"), 0);
	}
	cr_expect(rig_pid_gone(spawner));
	cr_expect_gt(rig_spawner(&g), 0);
	await_ready(1);
	cr_expect_eq(rig_groups(&g), (int)(ARRAY_SIZE(j) + 1) * rig_trees(&g));
}

/* A tap of its own: attached, up, without an address, and nothing else in its namespace but lo. */
Test(jail_pool, a_network_interface)
{
	struct rig_report r;
	struct rig_jail j;

	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("needs /dev/net/tun");
	g.nic_queues = 2;
	start();
	rig_create_ok(&g, "one", &j);
	rig_report(&j, &r);
	cr_expect_eq(rig_value(&r, "net.interfaces"), 2);
	cr_expect_eq(rig_value(&r, "tap.flags"),
		     IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | IFF_PERSIST);
	cr_expect_eq(rig_value(&r, "tap.queues"), 2);
	cr_expect_eq(rig_value(&r, "tap.vnet_hdr"), 12);
	cr_expect_eq(rig_value(&r, "tap.up"), 1);
	cr_expect_eq(rig_value(&r, "tap.addresses"), 0);
	cr_expect_eq(rig_value(&r, "fds.beyond"), 0);
}

/* Was its process one of those that lay there before it was asked for? */
static bool lay_ready(void)
{
	pid_t pids[16];
	struct rig_jail j;
	int n = rig_children(&g, pids, ARRAY_SIZE(pids));

	cr_assert_eq(n, (int)g.pool);
	rig_create_ok(&g, "one", &j);
	for (int i = 0; i < n; i++)
		if (pids[i] == j.pid)
			return true;
	return false;
}

Test(jail_pool, a_ready_jail_is_the_one_that_is_given)
{
	start();
	await_ready(POOL);
	cr_expect(lay_ready());
	rig_kill_jailer(&g);
	g.pool = 0;
	start();
	cr_expect_not(lay_ready());
}
