/* SPDX-License-Identifier: Apache-2.0 */
/* Hold and Adopt: a client goes, its VMs run on, and the next one has them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmm.pb-c.h>

#include "tests/native/jail_rig.h"

#define CALL_MS 10000
#define LONG_S	60
#define SHORT_S 1

static struct rig g;
static uint8_t ours[32] = "the token of this test's daemon";
static uint8_t others[32] = "somebody else's token, also good";

/* A kernel that runs, and as a disk it is as good as any. */
static void put_guest(const char *name)
{
	char path[128];
	struct stat st;
	int in = open(GUEST_ELF, O_RDONLY | O_CLOEXEC), out;

	(void)snprintf(path, sizeof(path), "%s/store/%s", g.dir, name);
	out = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	cr_assert(in >= 0 && out >= 0 && fstat(in, &st) == 0);
	for (off_t at = 0; at < st.st_size;)
		cr_assert_gt(sendfile(out, in, &at, (size_t)(st.st_size - at)), 0);
	close(in);
	close(out);
}

static void setup(void)
{
	rig_require();
	g = (struct rig){ .vmm = VMM_BIN, .max = 8 };
	rig_prepare(&g);
	put_guest("kernels/bare/kernel");
	put_guest("images/i/root.erofs");
	rig_start_jailer(&g);
	rig_connect(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_hold, .init = setup, .fini = teardown, .timeout = 60);

static enum rpc_code hold(const uint8_t *token, size_t len, unsigned seconds, bool *ret_resumed)
{
	Casemate__Jailer__V1__HoldRequest q = CASEMATE__JAILER__V1__HOLD_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	uint8_t copy[64];

	memcpy(copy, token, len);
	q.token = (ProtobufCBinaryData){ .len = len, .data = copy };
	q.seconds = seconds;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_HOLD], &q.base, NULL,
				   CALL_MS, &st, &out, NULL),
		     0);
	if (st.code == RPC_OK) {
		*ret_resumed =
			((const Casemate__Jailer__V1__HoldResponse *)(const void *)out)->resumed;
		protobuf_c_message_free_unpacked(out, NULL);
	}
	return st.code;
}

static void hold_ok(const uint8_t *token, unsigned seconds, bool resumed)
{
	bool was = !resumed;

	cr_assert_eq(hold(token, sizeof(ours), seconds, &was), RPC_OK);
	cr_assert_eq(was, resumed);
}

static enum rpc_code adopt(const char *id, struct rig_jail *ret)
{
	Casemate__Jailer__V1__AdoptRequest q = CASEMATE__JAILER__V1__ADOPT_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	int fds[2];

	q.id = (char *)(uintptr_t)id;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_ADOPT], &q.base, NULL,
				   CALL_MS, &st, &out, fds),
		     0);
	if (st.code == RPC_OK) {
		ret->control = fds[0];
		ret->log = fds[1];
		ret->pid =
			((const Casemate__Jailer__V1__AdoptResponse *)(const void *)out)->jail->pid;
		protobuf_c_message_free_unpacked(out, NULL);
	}
	return st.code;
}

static void disconnect(void)
{
	rpc_conn_free(g.conn);
	g.conn = NULL;
}

/* A client of its VMM, which takes the control socket over. */
static struct rpc_conn *control(struct rig_jail *j)
{
	static const struct rpc_conn_config cfg;
	struct rpc_conn *conn = NULL;

	cr_assert_eq(rpc_conn_new(g.loop, j->control, &cfg, &conn), 0);
	j->control = -1;
	return conn;
}

static enum rpc_code vmm(struct rpc_conn *conn, enum vmm_method m, const void *in)
{
	ProtobufCMessage *out = NULL;
	struct rpc_status st;

	cr_assert_eq(
		rpc_call_wait(g.loop, conn, &vmm_methods[m], in, NULL, CALL_MS, &st, &out, NULL),
		0);
	if (out != NULL)
		protobuf_c_message_free_unpacked(out, NULL);
	return st.code;
}

/* A jail whose VM runs; its control connection is the caller's. */
static struct rpc_conn *start(const char *id, struct rig_jail *j)
{
	Casemate__Vmm__V1__ConfigureRequest q = CASEMATE__VMM__V1__CONFIGURE_REQUEST__INIT;
	Casemate__Vmm__V1__Drive root = CASEMATE__VMM__V1__DRIVE__INIT, *drives[] = { &root };
	const Casemate__Vmm__V1__StartRequest go = CASEMATE__VMM__V1__START_REQUEST__INIT;
	struct rpc_conn *conn;
	struct rpc_status st;

	cr_assert_eq(rig_create(&g, id, "bare", "i", RIG_MEMORY, j, &st), RPC_OK, "%s", st.msg);
	conn = control(j);
	root.id = (char *)(uintptr_t) "root";
	root.read_only = true;
	q.id = (char *)(uintptr_t)id;
	q.vcpus = 1;
	q.memory_bytes = RIG_MEMORY;
	q.cmdline = (char *)(uintptr_t) "test=spin";
	q.drives = drives;
	q.n_drives = 1;
	cr_assert_eq(vmm(conn, VMM_CONFIGURE, &q), RPC_OK);
	cr_assert_eq(vmm(conn, VMM_START, &go), RPC_OK);
	return conn;
}

static bool gone_soon(const struct rig_jail *j)
{
	for (unsigned i = 0; i < 1000 && !rig_pid_gone(j->pid); i++)
		usleep(10000);
	return rig_pid_gone(j->pid);
}

/* Client after client, and the VM is the same. */
Test(jail_hold, from_client_to_client)
{
	const Casemate__Vmm__V1__PauseRequest pause_q = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	const Casemate__Vmm__V1__ResumeRequest resume_q = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	struct rig_jail j, again;
	struct rpc_conn *conn;

	hold_ok(ours, LONG_S, false);
	conn = start("one", &j);
	for (int i = 0; i < 10; i++) {
		/* Whichever of the two goes first. */
		if (i % 2 == 0)
			disconnect();
		rpc_conn_free(conn);
		if (i % 2 != 0)
			disconnect();
		rig_connect(&g);
		hold_ok(ours, LONG_S, true);
		cr_assert_eq(adopt("one", &again), RPC_OK);
		cr_assert_eq(again.pid, j.pid);
		conn = control(&again);
		close(again.log);
		cr_assert_eq(i % 2 == 0 ? vmm(conn, VMM_PAUSE, &pause_q)
					: vmm(conn, VMM_RESUME, &resume_q),
			     RPC_OK);
	}
	rpc_conn_free(conn);
	cr_assert_eq(rig_destroy(&g, "one"), RPC_OK);
	cr_assert_eq(adopt("one", &again), RPC_NOT_FOUND);
	close(j.log);
}

/* Only its token opens a hold, only once at a time, and only for its own jails. */
Test(jail_hold, of_others)
{
	const Casemate__Vmm__V1__PauseRequest pause_q = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	struct rig_jail j, k;
	struct rpc_conn *conn, *first;
	bool resumed;

	hold_ok(ours, LONG_S, false);
	conn = start("one", &j);
	first = g.conn;
	rig_connect(&g);
	cr_assert_eq(hold(ours, sizeof(ours), LONG_S, &resumed), RPC_FAILED_PRECONDITION);
	hold_ok(others, LONG_S, false);
	cr_assert_eq(adopt("one", &k), RPC_NOT_FOUND);
	disconnect();
	rig_connect(&g);
	cr_assert_eq(adopt("one", &k), RPC_NOT_FOUND, "without a hold");
	disconnect();
	g.conn = first;
	cr_assert_eq(vmm(conn, VMM_PAUSE, &pause_q), RPC_OK, "it is the first's as before");
	close(j.log);
	rpc_conn_free(conn);
	cr_assert_eq(rig_destroy(&g, "one"), RPC_OK);
}

Test(jail_hold, malformed)
{
	struct rig_jail j;
	bool resumed;

	cr_assert_eq(hold(ours, 31, LONG_S, &resumed), RPC_INVALID_ARGUMENT);
	cr_assert_eq(hold(ours, 33, LONG_S, &resumed), RPC_INVALID_ARGUMENT);
	cr_assert_eq(hold(ours, sizeof(ours), 0, &resumed), RPC_INVALID_ARGUMENT);
	cr_assert_eq(hold(ours, sizeof(ours), 3601, &resumed), RPC_INVALID_ARGUMENT);
	cr_assert_eq(adopt("../x", &j), RPC_INVALID_ARGUMENT);
	hold_ok(ours, LONG_S, false);
	cr_assert_eq(hold(ours, sizeof(ours), LONG_S, &resumed), RPC_FAILED_PRECONDITION, "twice");
	disconnect();
	rig_connect(&g);
	hold_ok(ours, LONG_S, false); /* nothing was in it: it is gone */
	disconnect();
	rig_connect(&g);
	rig_create_ok(&g, "one", &j);
	cr_assert_eq(hold(ours, sizeof(ours), LONG_S, &resumed), RPC_FAILED_PRECONDITION,
		     "after a Create");
	cr_assert_eq(rig_destroy(&g, "one"), RPC_OK);
	close(j.control);
	close(j.log);
}

/* Nobody comes: as if it had never been asked for. */
Test(jail_hold, is_over_in_time)
{
	struct rpc_conn *conn;
	struct rig_jail j;

	hold_ok(ours, SHORT_S, false);
	conn = start("one", &j);
	rpc_conn_free(conn);
	disconnect();
	usleep(200000);
	cr_assert_eq(kill(j.pid, 0), 0);
	cr_assert(gone_soon(&j));
	close(j.log);
	rig_connect(&g);
	hold_ok(ours, LONG_S, false);
}

/* Without one nothing stays: the control. */
Test(jail_hold, none)
{
	struct rpc_conn *conn;
	struct rig_jail j;

	conn = start("one", &j);
	disconnect();
	cr_assert(gone_soon(&j));
	rpc_conn_free(conn);
	close(j.log);
	rig_connect(&g);
}

/* What ends while nobody is there is told to who comes. */
Test(jail_hold, ends_meanwhile)
{
	struct rig_jail j, again;
	struct rpc_conn *conn;
	bool exited = true, oom = true;
	int status = 0;

	hold_ok(ours, LONG_S, false);
	conn = start("one", &j);
	rpc_conn_free(conn);
	disconnect();
	cr_assert_eq(kill(j.pid, SIGKILL), 0);
	cr_assert(gone_soon(&j));
	close(j.log);
	rig_connect(&g);
	hold_ok(ours, LONG_S, true);
	cr_assert_eq(rig_wait(&g, "one", &exited, &status, &oom), RPC_OK);
	cr_assert_eq(adopt("one", &again), RPC_NOT_FOUND);
	cr_assert(!exited && status == SIGKILL && !oom);
}

/* Groups of jails that aren't ready ones. */
static int left(void)
{
	return rig_groups(&g) - (int)rig_ready(&g) * rig_trees(&g);
}

/* A Create whose answer nobody has read. */
Test(jail_hold, being_made)
{
	Casemate__Jailer__V1__CreateRequest q = CASEMATE__JAILER__V1__CREATE_REQUEST__INIT;
	static const struct rpc_pending_ops ops;

	hold_ok(ours, LONG_S, false);
	q.id = (char *)(uintptr_t) "one";
	q.kernel = (char *)(uintptr_t) "bare";
	q.image = (char *)(uintptr_t) "i";
	q.vcpus = 1;
	q.memory_bytes = RIG_MEMORY;
	cr_assert_eq(rpc_start(g.conn, &jailer_methods[JAILER_CREATE], &q.base, NULL, 0, &ops, NULL,
			       NULL),
		     0);
	cr_assert_geq(loop_step(g.loop, 0), 0); /* it is sent */
	disconnect();
	rig_connect(&g);
	/* Whether it was made or not: its VM never ran, and ends with its connection. */
	for (unsigned i = 0; i < 30; i++, usleep(10000))
		cr_assert_eq(rig_destroy(&g, "one"), RPC_OK);
	/* A cell that was made for it may lie ready for the next. */
	for (unsigned i = 0; i < 1000 && left() != 0; i++)
		usleep(5000);
	cr_assert_eq(left(), 0);
}

/* The jailer's own end takes what is held along (rig_close looks). */
Test(jail_hold, the_jailer_ends)
{
	struct rpc_conn *conn;
	struct rig_jail j;

	hold_ok(ours, LONG_S, false);
	conn = start("one", &j);
	rpc_conn_free(conn);
	disconnect();
	rig_stop_jailer(&g);
	cr_assert(rig_pid_gone(j.pid));
	close(j.log);
	rig_start_jailer(&g);
	rig_connect(&g);
	hold_ok(ours, LONG_S, false);
}
