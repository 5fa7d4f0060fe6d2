/* SPDX-License-Identifier: Apache-2.0 */
/* Inspect and Usage say what the kernel says: the live jail against the policy, without SELinux. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/native/jail_probe.h"
#include "tests/native/jail_rig.h"
#include "vmm/vmm_fds.h"

typedef Casemate__Jailer__V1__InspectResponse response;
typedef Casemate__Jailer__V1__InspectResponse__Fact fact;

static struct rig g;

static void setup(void)
{
	rig_require();
	rig_open(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_inspect, .init = setup, .fini = teardown, .timeout = 60);

static response *inspect(const char *id, struct rpc_status *st)
{
	Casemate__Jailer__V1__InspectRequest q = CASEMATE__JAILER__V1__INSPECT_REQUEST__INIT;
	ProtobufCMessage *out = NULL;

	q.id = (char *)(uintptr_t)id;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_INSPECT], &q.base, NULL,
				   10000, st, &out, NULL),
		     0);
	return (response *)(void *)out;
}

static const char *value(fact *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i]->name, name) == 0)
			return list[i]->value;
	cr_assert_fail("there is no %s", name);
	return "";
}

static void expect_credentials(const response *r, uid_t uid)
{
	static const char *const empty[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
	char ids[64];

	(void)snprintf(ids, sizeof(ids), "%u %u %u %u", uid, uid, uid, uid);
	cr_expect_str_eq(value(r->status, r->n_status, "Uid"), ids);
	cr_expect_str_eq(value(r->status, r->n_status, "Gid"), ids);
	cr_expect_str_eq(value(r->status, r->n_status, "Groups"), "");
	cr_expect_str_eq(value(r->status, r->n_status, "NoNewPrivs"), "1");
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++)
		cr_expect_str_eq(value(r->status, r->n_status, empty[i]), "0000000000000000");
}

static void expect_namespaces(const response *r)
{
	cr_expect_geq(r->n_namespaces, 7);
	for (size_t i = 0; i < r->n_namespaces; i++) {
		const char *name = r->namespaces[i]->name;
		/* Where there are no user namespaces, the uid alone is the wall. */
		if (strcmp(name, "user") == 0 && access("/proc/self/ns/user", F_OK) < 0)
			continue;
		cr_expect_neq(r->namespaces[i]->inode, 0, "%s can't be read", name);
		cr_expect_neq(r->namespaces[i]->inode, r->namespaces[i]->host_inode,
			      "%s is the host's", name);
	}
}

static void expect_descriptors(const response *r)
{
	static const struct {
		int number;
		const char *kind, *mode;
	} want[] = {
		{ 0, "/dev/null", "rw" },
		{ 1, "/dev/null", "rw" },
		{ 2, "pipe", "w" },
		{ VMM_FD_CONTROL, "socket", "rw" },
		{ VMM_FD_KVM, "/dev/kvm", "rw" },
		{ VMM_FD_KERNEL, "file", "r" },
		{ VMM_FD_INITRD, "file", "r" },
		{ VMM_FD_DRIVE0, "file", "r" },
		{ VMM_FD_DRIVE0 + 1, "file", "rw" },
		{ VMM_FD_HANDOVER, "socket", "rw" },
		{ VMM_FD_CPUID, "memfd", "r" },
	};

	for (size_t i = ARRAY_SIZE(want); i < r->n_descriptors; i++)
		cr_expect_fail("%d is a %s", r->descriptors[i]->number, r->descriptors[i]->kind);
	cr_assert_geq(r->n_descriptors, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		cr_expect_eq(r->descriptors[i]->number, want[i].number);
		cr_expect_str_eq(r->descriptors[i]->kind, want[i].kind, "%d is a %s",
				 want[i].number, r->descriptors[i]->kind);
		cr_expect_str_eq(r->descriptors[i]->mode, want[i].mode);
	}
}

Test(jail_inspect, a_jail_is_as_the_policy_says)
{
	struct rpc_status st;
	struct rig_jail j;
	struct pollfd p = { .events = POLLIN };
	response *r;

	rig_create_ok(&g, "one", &j);
	/* It says a word once it has been executed. */
	p.fd = j.log;
	cr_assert_eq(poll(&p, 1, 10000), 1);
	r = inspect("one", &st);
	cr_assert_eq(st.code, RPC_OK, "%s", st.msg);
	cr_expect_eq(r->jail->pid, j.pid);
	expect_credentials(r, j.uid);
	expect_namespaces(r);
	expect_descriptors(r);
	cr_expect_str_eq(value(r->rlimits, r->n_rlimits, "core file size"), "0 0 bytes");
	cr_expect_str_eq(value(r->rlimits, r->n_rlimits, "open files"), "256 256 files");
	cr_expect_str_eq(value(r->cgroup, r->n_cgroup, "pids.max"), "64");
	cr_assert_eq(r->n_threads, 1);
	/* The probe has no filter; a VMM's are looked at in the lab. */
	cr_expect_eq(r->threads[0]->seccomp_mode, 0);
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

static bool usage(const char *id, Casemate__Jailer__V1__UsageResponse *ret, struct rpc_status *st)
{
	Casemate__Jailer__V1__UsageRequest q = CASEMATE__JAILER__V1__USAGE_REQUEST__INIT;
	ProtobufCMessage *out = NULL;

	q.id = (char *)(uintptr_t)id;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_USAGE], &q.base, NULL,
				   10000, st, &out, NULL),
		     0);
	if (st->code != RPC_OK)
		return false;
	*ret = *(Casemate__Jailer__V1__UsageResponse *)(void *)out;
	protobuf_c_message_free_unpacked(out, NULL);
	return true;
}

/* What one jail uses shows in its figures, and not in its neighbour's. */
Test(jail_inspect, usage_grows_with_use)
{
	Casemate__Jailer__V1__UsageResponse before, after, other, later;
	struct rig_jail j, k;
	struct rpc_status st;
	struct pollfd p = { .events = POLLIN };
	char line[16] = "";

	rig_create_ok(&g, "one", &j);
	rig_create_ok(&g, "two", &k);
	/* Once it has been executed: what the stages had is given back then. */
	p.fd = j.log;
	cr_assert_eq(poll(&p, 1, 10000), 1);
	cr_assert(usage("one", &before, &st), "%s", st.msg);
	cr_assert(usage("two", &other, &st), "%s", st.msg);
	cr_assert_eq(write(j.control, "b", 1), 1);
	cr_assert_gt(read(j.control, line, sizeof(line) - 1), 0);
	cr_assert_str_eq(line, "burnt 1\n");
	cr_assert(usage("one", &after, &st), "%s", st.msg);
	cr_assert(usage("two", &later, &st), "%s", st.msg);
	cr_expect_gt(before.cpu_usec, 0);
	cr_expect_geq(after.cpu_usec, before.cpu_usec + BURN_MS * 1000);
	/* Half of it: the kernel charges in batches, and takes back what it charged in advance. */
	cr_expect_geq(after.memory_bytes, before.memory_bytes + BURN_BYTES / 2);
	cr_expect(after.memory_peak_bytes == 0 || after.memory_peak_bytes >= after.memory_bytes);
	cr_expect_lt(later.cpu_usec, other.cpu_usec + BURN_MS * 1000);
	cr_expect_lt(later.memory_bytes, other.memory_bytes + BURN_BYTES / 2);
}

Test(jail_inspect, only_a_jail_that_runs)
{
	Casemate__Jailer__V1__UsageResponse u;
	struct rpc_status st;
	struct rig_jail j;

	cr_expect_not(usage("none", &u, &st));
	cr_expect_eq(st.code, RPC_NOT_FOUND);
	cr_expect_not(usage("../1", &u, &st));
	cr_expect_eq(st.code, RPC_NOT_FOUND);

	(void)inspect("none", &st);
	cr_expect_eq(st.code, RPC_NOT_FOUND);
	(void)inspect("../1", &st);
	cr_expect_eq(st.code, RPC_NOT_FOUND);
	rig_create_ok(&g, "one", &j);
	cr_assert_eq(rig_destroy(&g, "one"), RPC_OK);
	cr_expect_not(usage("one", &u, &st));
	cr_expect_eq(st.code, RPC_NOT_FOUND);
	(void)inspect("one", &st);
	cr_expect_eq(st.code, RPC_NOT_FOUND);
}
