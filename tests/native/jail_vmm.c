/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product as it is: casemate-jailer under its own filter makes jails in which the real
 * casemate-vmm, under that filter and its own, reads its control socket and ends as it should.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/native/jail_rig.h"
#include "tests/native/proc.h"

static struct rig g;

static void setup(void)
{
	rig_require();
	g = (struct rig){ .vmm = VMM_BIN, .pool = 2 };
	rig_prepare(&g);
	rig_start_jailer(&g);
	rig_connect(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_vmm, .init = setup, .fini = teardown, .timeout = 60);

/* The VMM says this once its filter is on. */
static void await_jailed(const struct rig_jail *j)
{
	struct pollfd p = { .fd = j->log, .events = POLLIN };
	char text[256] = "";

	cr_assert_eq(poll(&p, 1, 10000), 1, "the VMM says nothing");
	cr_assert_gt(read(j->log, text, sizeof(text) - 1), 0, "the VMM has ended");
	cr_expect_not_null(strstr(text, "vm.jailed"), "%s", text);
}

Test(jail_vmm, runs_under_both_filters)
{
	struct rig_jail j;

	rig_create_ok(&g, "one", &j);
	await_jailed(&j);
	cr_expect_eq(status_number(g.jailer, "Seccomp", 10), 2);
	cr_expect_eq(status_number(j.pid, "Seccomp", 10), 2);
	/* Linux 5.9 counts them. */
	if (status_number(g.jailer, "Seccomp_filters", 10) != 0) {
		cr_expect_eq(status_number(g.jailer, "Seccomp_filters", 10), 1);
		cr_expect_eq(status_number(j.pid, "Seccomp_filters", 10), 2);
	}
	cr_assert_eq(rig_destroy(&g, "one"), RPC_OK);
}

/* Its daemon has gone: it says so and leaves, by no signal. */
Test(jail_vmm, ends_with_its_control_socket)
{
	struct rig_jail j;
	bool exited = false, oom = true;
	int status = -1;

	rig_create_ok(&g, "one", &j);
	await_jailed(&j);
	close(j.control);
	cr_assert_eq(rig_wait(&g, "one", &exited, &status, &oom), RPC_OK);
	cr_expect(exited, "signal %d", status);
	cr_expect_eq(status, 14); /* stopped */
	cr_expect_not(oom);
}

Test(jail_vmm, the_jailer_inspects_it)
{
	Casemate__Jailer__V1__InspectRequest q = CASEMATE__JAILER__V1__INSPECT_REQUEST__INIT;
	Casemate__Jailer__V1__UsageRequest use = CASEMATE__JAILER__V1__USAGE_REQUEST__INIT;
	const Casemate__Jailer__V1__InspectResponse *seen;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	struct rig_jail j;

	rig_create_ok(&g, "one", &j);
	await_jailed(&j);
	q.id = (char *)(uintptr_t) "one";
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_INSPECT], &q.base, NULL,
				   10000, &st, &out, NULL),
		     0);
	cr_assert_eq(st.code, RPC_OK, "%s", st.msg);
	seen = (const void *)out;
	cr_assert_eq(seen->n_threads, 1);
	cr_expect_eq(seen->threads[0]->seccomp_mode, 2);
	cr_expect_gt(seen->n_descriptors, 8);
	protobuf_c_message_free_unpacked(out, NULL);
	use.id = q.id;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_USAGE], &use.base, NULL,
				   10000, &st, &out, NULL),
		     0);
	cr_assert_eq(st.code, RPC_OK, "%s", st.msg);
	cr_expect_gt(((const Casemate__Jailer__V1__UsageResponse *)(const void *)out)->cpu_usec, 0);
	protobuf_c_message_free_unpacked(out, NULL);
}

/* All that the jailer does while it serves, under its filter. */
Test(jail_vmm, the_jailer_can_do_its_work)
{
	struct rig_jail j;
	struct rpc_status st;
	char id[8];

	for (int i = 0; i < 4; i++) {
		(void)snprintf(id, sizeof(id), "j%d", i);
		rig_create_ok(&g, id, &j);
		await_jailed(&j);
	}
	cr_expect_eq(rig_create(&g, "more", "k", "i", RIG_MEMORY, &j, &st), RPC_RESOURCE_EXHAUSTED);
	cr_assert_eq(rig_destroy(&g, "j0"), RPC_OK);
	cr_expect_eq(rig_create(&g, "bad", "none", "i", RIG_MEMORY, &j, &st), RPC_NOT_FOUND);
	cr_expect_neq(rig_create(&g, "bad", "link", "i", RIG_MEMORY, &j, &st), RPC_OK);
	for (int i = 1; i < 4; i++) {
		(void)snprintf(id, sizeof(id), "j%d", i);
		cr_assert_eq(rig_destroy(&g, id), RPC_OK);
	}
	cr_expect_leq(rig_ready(&g), 2);
	if (access("/dev/net/tun", R_OK | W_OK) == 0) {
		g.nic_queues = 2;
		rig_create_ok(&g, "nic", &j);
		await_jailed(&j);
		cr_assert_eq(rig_destroy(&g, "nic"), RPC_OK);
	}
}

Test(jail_vmm, the_jailer_keeps_what_it_needs)
{
	const unsigned long long want =
		1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SYS_CHROOT | 1ULL << CAP_SETPCAP |
		1ULL << CAP_SETUID | 1ULL << CAP_SETGID | 1ULL << CAP_KILL | 1ULL << CAP_CHOWN |
		1ULL << CAP_NET_ADMIN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH;

	cr_expect_eq(status_number(g.jailer, "CapEff", 16), want);
	cr_expect_eq(status_number(g.jailer, "CapPrm", 16), want);
	cr_expect_eq(status_number(g.jailer, "CapBnd", 16), want);
	cr_expect_eq(status_number(g.jailer, "CapInh", 16), 0);
	cr_expect_eq(status_number(g.jailer, "NoNewPrivs", 16), 1);
}
