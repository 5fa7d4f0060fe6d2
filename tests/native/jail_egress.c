/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second process of a jail with a network: the product's jailer, under its filter, with a
 * stand-in for casemate-egress. Its walls are read from outside, in /proc.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "egress/egress_fds.h"
#include "jailer/slot.h"
#include "tests/native/jail_rig.h"

static struct rig g;

static void setup_with(const char *egress)
{
	rig_require();
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("/dev/net/tun: %s", strerror(errno));
	g = (struct rig){
		.vmm = VMM_BIN, .nic_queues = 1, .test_option = "--egress", .test_value = egress
	};
	rig_prepare(&g);
	rig_start_jailer(&g);
	rig_connect(&g);
}

static void setup(void)
{
	setup_with(EGRESS_PROBE_BIN);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_egress, .init = setup, .fini = teardown, .timeout = 60);

static enum rpc_code open_network(const char *id, int ret[2])
{
	Casemate__Jailer__V1__OpenNetworkRequest q =
		CASEMATE__JAILER__V1__OPEN_NETWORK_REQUEST__INIT;
	struct rpc_status st = { 0 };
	ProtobufCMessage *out = NULL;

	q.id = (char *)(uintptr_t)id;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_OPEN_NETWORK], &q.base,
				   NULL, 10000, &st, &out, ret),
		     0);
	if (out != NULL)
		protobuf_c_message_free_unpacked(out, NULL);
	return st.code;
}

/* Which of the jail's processes isn't the VMM. */
static pid_t find_egress(const struct rig_jail *j)
{
	char text[512] = "";
	const char *at = text;
	uint64_t pid;

	cr_assert(rig_group_file(j, "cgroup.procs", text, sizeof(text)));
	while (parse_u64_at(&at, 10, INT32_MAX, &pid) == 0) {
		if ((pid_t)pid != j->pid)
			return (pid_t)pid;
		at += *at == '\n';
	}
	cr_assert_fail("there is only the VMM: %s", text);
	return 0;
}

static void status_line(pid_t pid, const char *name, char *ret, size_t cap)
{
	char path[64], text[4096];
	const char *at;
	size_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	cr_assert_gt(fd_read_file(AT_FDCWD, path, text, sizeof(text)), 0);
	at = strstr(text, name);
	cr_assert_not_null(at, "%s", name);
	at += strlen(name);
	at += strspn(at, ": \t");
	len = MIN(strcspn(at, "\n"), cap - 1);
	memcpy(ret, at, len);
	ret[len] = '\0';
}

static ino_t namespace_of(pid_t pid, const char *name)
{
	char path[64];
	struct stat st = { 0 };

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
	cr_assert_eq(stat(path, &st), 0, "%s", path);
	return st.st_ino;
}

static void say(int fd, const char *text, const char *want)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char got[EGRESS_ANSWER_MAX];
	ssize_t n;

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(poll(&p, 1, 5000), 1);
	n = read(fd, got, sizeof(got));
	cr_assert_eq(n, (ssize_t)strlen(want));
	cr_expect_eq(memcmp(got, want, (size_t)n), 0);
}

Test(jail_egress, it_has_walls_of_its_own_and_the_hosts_network)
{
	static const char *const empty[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
	static const char *const others[] = { "pid_for_children", "mnt", "ipc", "uts" };
	unsigned uid = 0;
	char line[128], want[128];
	struct rig_jail j;
	pid_t pid;

	rig_create_ok(&g, "net", &j);
	pid = find_egress(&j);
	uid = j.uid + SLOT_COUNT;
	(void)snprintf(want, sizeof(want), "%u\t%u\t%u\t%u", uid, uid, uid, uid);
	status_line(pid, "\nUid", line, sizeof(line));
	cr_expect_str_eq(line, want);
	status_line(pid, "\nGid", line, sizeof(line));
	cr_expect_str_eq(line, want);
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		status_line(pid, empty[i], line, sizeof(line));
		cr_expect_str_eq(line, "0000000000000000", "%s", empty[i]);
	}
	status_line(pid, "NoNewPrivs", line, sizeof(line));
	cr_expect_str_eq(line, "1");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		cr_expect_neq(namespace_of(pid, others[i]), namespace_of(getpid(), others[i]), "%s",
			      others[i]);
		cr_expect_neq(namespace_of(pid, others[i]), namespace_of(j.pid, others[i]), "%s",
			      others[i]);
	}
	cr_expect_eq(namespace_of(pid, "net"), namespace_of(g.jailer, "net"));
	cr_expect_neq(namespace_of(j.pid, "net"), namespace_of(g.jailer, "net"));
	cr_assert_eq(rig_destroy(&g, "net"), RPC_OK);
	cr_expect(rig_pid_gone(pid));
}

Test(jail_egress, its_policies_come_by_a_socket)
{
	int fds[2] = { -1, -1 }, again[2] = { -1, -1 };
	char log[16] = "";
	struct rig_jail j;
	struct pollfd said;

	rig_create_ok(&g, "net", &j);
	cr_assert_eq(open_network("net", fds), RPC_OK);
	/* It has been executed, and may not have come to its first line yet. */
	said = (struct pollfd){ .fd = fds[1], .events = POLLIN };
	cr_assert_eq(poll(&said, 1, 10000), 1);
	cr_expect_eq(read(fds[1], log, sizeof(log)), 5, "its descriptors are wrong");
	say(fds[0], "{}", "ok");
	say(fds[0], "{\"allowOut\":[]}", "ok");
	/* A daemon that was started anew goes on. */
	fd_closep(&fds[0]);
	fd_closep(&fds[1]);
	cr_assert_eq(open_network("net", again), RPC_OK);
	say(again[0], "{}", "ok");
	cr_expect_eq(open_network("none", fds), RPC_NOT_FOUND);
	cr_assert_eq(rig_destroy(&g, "net"), RPC_OK);
	fd_closep(&again[0]);
	fd_closep(&again[1]);
}

/* The VMM is the first process of the namespace above: nothing outlives it. */
Test(jail_egress, it_ends_with_the_vmm)
{
	bool exited, oom;
	int status;
	struct rig_jail j;
	pid_t pid;

	rig_create_ok(&g, "net", &j);
	pid = find_egress(&j);
	cr_expect_not(rig_pid_gone(pid));
	fd_closep(&j.control);
	cr_assert_eq(rig_wait(&g, "net", &exited, &status, &oom), RPC_OK);
	cr_expect(rig_pid_gone(pid));
	fd_closep(&j.log);
}

Test(jail_egress, a_jail_without_a_network_has_none_to_open)
{
	int fds[2] = { -1, -1 };
	struct rig_jail j;

	g.nic_queues = 0;
	rig_create_ok(&g, "plain", &j);
	cr_expect_neq(open_network("plain", fds), RPC_OK);
	cr_assert_eq(rig_destroy(&g, "plain"), RPC_OK);
}

#ifdef EGRESS_BIN /* one with sanitizers can't be executed in an empty root */
static void setup_product(void)
{
	setup_with(EGRESS_BIN);
}

/* The program itself, where its limits, locks and filter come on top of the jailer's. */
Test(jail_egress_program, takes_policies, .init = setup_product, .fini = teardown, .timeout = 60)
{
	int fds[2] = { -1, -1 };
	char answer[EGRESS_ANSWER_MAX];
	struct rig_jail j;
	char line[128];
	ssize_t n;
	pid_t pid;

	rig_create_ok(&g, "net", &j);
	pid = find_egress(&j);
	cr_assert_eq(open_network("net", fds), RPC_OK);
	say(fds[0], "{\"policy\":{\"allow_internet_access\":true}}", "{\"ended\":0}");
	cr_assert_gt(write(fds[0], "{\"status\":{}}", 13), 0);
	cr_assert_geq(poll(&(struct pollfd){ .fd = fds[0], .events = POLLIN }, 1, 10000), 1);
	n = read(fds[0], answer, sizeof(answer) - 1);
	cr_assert_gt(n, 0);
	answer[n] = '\0';
	cr_expect_not_null(strstr(answer, "\"policies_taken\":1"), "%s", answer);
	status_line(pid, "Seccomp_filters", line, sizeof(line));
	cr_expect_str_eq(line, "2", "the jailer's and its own");
	cr_assert_eq(rig_destroy(&g, "net"), RPC_OK);
	fd_closep(&fds[0]);
	fd_closep(&fds[1]);
}
#endif
