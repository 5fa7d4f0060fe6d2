/* SPDX-License-Identifier: Apache-2.0 */
/* agent_files.c - WriteFile, ReadFile, Identify, Shutdown. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent_fixture.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define FIVE_MB ((size_t)5000000)

typedef Casemate__Agent__V1__WriteFileRequest write_pb;
typedef Casemate__Agent__V1__ReadFileRequest read_pb;
typedef Casemate__Agent__V1__ReadFileResponse chunk_pb;

static struct agent_test t;
static char dir[] = "/tmp/agent-test-XXXXXX";
static char path[128];

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	agent_test_start(&t);
}

static void teardown(void)
{
	agent_test_stop(&t);
	char cmd[256];
	snprintf(cmd, sizeof(cmd), "%s", dir);
	char *argv[] = { STR("rm"), STR("-rf"), cmd, NULL };
	pid_t pid = fork();
	if (pid == 0) {
		execvp("rm", argv);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

TestSuite(agent_files, .init = setup, .fini = teardown, .timeout = 120);

/* ---- Helpers ----------------------------------------------------------------------------- */

struct transfer {
	bool done;
	struct rpc_status st;
	uint64_t size;
	struct buf data;
	uint32_t mode;
	unsigned chunks;
};

static void on_written(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct transfer *x = arg;

	(void)fds;
	x->done = true;
	x->st = *st;
	if (out != NULL)
		x->size = ((const Casemate__Agent__V1__WriteFileResponse *)out)->size;
}

static void on_chunk(const ProtobufCMessage *msg, void *arg)
{
	const chunk_pb *c = (const chunk_pb *)msg;
	struct transfer *x = arg;

	cr_assert_leq(c->data.len, 65536);
	if (x->chunks++ == 0)
		x->mode = c->mode;
	cr_assert_eq(buf_put(&x->data, c->data.data, c->data.len), 0);
}

static void on_read(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct transfer *x = arg;

	(void)out;
	(void)fds;
	x->done = true;
	x->st = *st;
}

static void wait_for(const bool *done)
{
	uint64_t end = now_ms() + 60000;

	while (!*done) {
		cr_assert_lt(now_ms(), end);
		cr_assert_eq(loop_step(t.loop, 100), 0);
	}
}

static const struct rpc_pending_ops write_ops = { .done = on_written };
static const struct rpc_pending_ops read_ops = { .data = on_chunk, .done = on_read };

/* The first message of a write, without an end. */
static struct rpc_pending *begin_write(struct transfer *x, const char *name, uint32_t mode,
				       const char *user)
{
	write_pb m = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	struct rpc_pending *p;

	memset(x, 0, sizeof(*x));
	m.path = (char *)name;
	m.mode = mode;
	m.user = (char *)user;
	cr_assert_eq(rpc_start(t.conn[0], &agent_methods[AGENT_WRITE_FILE], &m.base, NULL, 0,
			       &write_ops, x, &p),
		     0);
	return p;
}

static enum rpc_code write_file(const char *name, uint32_t mode, const char *user,
				const uint8_t *data, size_t len)
{
	struct transfer x;
	struct rpc_pending *p = begin_write(&x, name, mode, user);

	for (size_t off = 0; off < len && !x.done;) {
		write_pb m = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
		size_t n = len - off < 65536 ? len - off : 65536;
		m.data = (ProtobufCBinaryData){ .len = n, .data = (uint8_t *)data + off };
		cr_assert_eq(rpc_stream_send(p, &m.base), 0);
		off += n;
		while (!rpc_conn_writable(t.conn[0]) && !x.done)
			cr_assert_eq(loop_step(t.loop, 100), 0);
	}
	if (!x.done)
		cr_assert_eq(rpc_stream_close(p), 0);
	wait_for(&x.done);
	if (x.st.code == RPC_OK)
		cr_assert_eq(x.size, len);
	return x.st.code;
}

static enum rpc_code read_file(const char *name, const char *user, struct transfer *x)
{
	read_pb m = CASEMATE__AGENT__V1__READ_FILE_REQUEST__INIT;
	struct rpc_pending *p;

	memset(x, 0, sizeof(*x));
	buf_init(&x->data, 64 << 20);
	m.path = (char *)name;
	m.user = (char *)user;
	cr_assert_eq(rpc_start(t.conn[0], &agent_methods[AGENT_READ_FILE], &m.base, NULL, 0,
			       &read_ops, x, &p),
		     0);
	wait_for(&x->done);
	return x->st.code;
}

static uint64_t count_entries(void)
{
	struct agent_run run;
	char script[256], text[16] = "";
	uint64_t n = 0;

	snprintf(script, sizeof(script), "ls -A %s | wc -l | tr -d '\\n'", dir);
	agent_run_script(&t, &run, script);
	cr_assert_lt(buf_len(&run.out), sizeof(text));
	memcpy(text, buf_head(&run.out), buf_len(&run.out));
	cr_assert_eq(parse_u64(text, 0, 1000, &n), 0, "'%s'", text);
	agent_run_done(&run);
	return n;
}

/* ---- Files ------------------------------------------------------------------------------- */

Test(agent_files, five_megabytes_there_and_back)
{
	uint8_t *data = malloc(FIVE_MB);
	struct transfer x;
	struct stat st;

	for (size_t i = 0; i < FIVE_MB; i++)
		data[i] = (uint8_t)(i * 2654435761U >> 13);
	in_dir("a/b/file");
	cr_assert_eq(write_file(path, 0640, "", data, FIVE_MB), RPC_OK);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0640);
	cr_assert_eq(read_file(path, "", &x), RPC_OK);
	cr_assert_eq(x.mode, 0640);
	cr_assert_eq(buf_len(&x.data), FIVE_MB);
	cr_assert_eq(memcmp(buf_head(&x.data), data, FIVE_MB), 0);
	buf_done(&x.data);
	free(data);
}

Test(agent_files, slow_reader_gets_it_whole)
{
	uint8_t *data = calloc(1, FIVE_MB);
	struct transfer x = { 0 };
	read_pb m = CASEMATE__AGENT__V1__READ_FILE_REQUEST__INIT;
	struct rpc_pending *p;

	cr_assert_eq(write_file(in_dir("f"), 0, "", data, FIVE_MB), RPC_OK);
	buf_init(&x.data, 64 << 20);
	m.path = path;
	cr_assert_eq(rpc_start(t.conn[0], &agent_methods[AGENT_READ_FILE], &m.base, NULL, 0,
			       &read_ops, &x, &p),
		     0);
	for (int i = 0; i < 5; i++) {
		rpc_conn_pause(t.conn[0], true);
		agent_test_idle(&t, 100);
		rpc_conn_pause(t.conn[0], false);
		cr_assert_eq(loop_step(t.loop, 10), 0);
	}
	wait_for(&x.done);
	cr_assert_eq(x.st.code, RPC_OK);
	cr_assert_eq(buf_len(&x.data), FIVE_MB);
	buf_done(&x.data);
	free(data);
}

Test(agent_files, empty_file_has_its_mode)
{
	struct transfer x;

	cr_assert_eq(write_file(in_dir("empty"), 0, "", NULL, 0), RPC_OK);
	cr_assert_eq(read_file(path, "", &x), RPC_OK);
	cr_assert_eq(buf_len(&x.data), 0);
	cr_assert_eq(x.mode, 0644);
	cr_assert_eq(x.chunks, 1);
}

Test(agent_files, file_of_proc_is_read_to_its_end)
{
	struct transfer x;

	cr_assert_eq(read_file("/proc/self/status", "", &x), RPC_OK);
	cr_assert_gt(buf_len(&x.data), 100);
	buf_done(&x.data);
}

Test(agent_files, what_is_no_regular_file_is_refused)
{
	struct transfer x;

	cr_assert_eq(read_file(in_dir("none"), "", &x), RPC_NOT_FOUND);
	cr_assert_eq(read_file(dir, "", &x), RPC_INVALID_ARGUMENT);
	cr_assert_eq(read_file("/dev/zero", "", &x), RPC_INVALID_ARGUMENT);
	cr_assert_eq(read_file("", "", &x), RPC_INVALID_ARGUMENT);
	cr_assert_eq(mkfifo(in_dir("fifo"), 0600), 0);
	cr_assert_eq(read_file(path, "", &x), RPC_INVALID_ARGUMENT);
	cr_assert_eq(write_file(path, 0, "", NULL, 0), RPC_INVALID_ARGUMENT);
	cr_assert_eq(write_file("/dev/null", 0, "", NULL, 0), RPC_INVALID_ARGUMENT);
	cr_assert_eq(write_file(dir, 0, "", NULL, 0), RPC_INVALID_ARGUMENT);
	cr_assert_eq(write_file(in_dir("x/"), 0, "", NULL, 0), RPC_INVALID_ARGUMENT);
	cr_assert_eq(write_file(in_dir("x/.."), 0, "", NULL, 0), RPC_INVALID_ARGUMENT);
	cr_assert_eq(write_file(in_dir("x"), 0200000, "", NULL, 0), RPC_INVALID_ARGUMENT);
	cr_assert_eq(write_file(in_dir("x"), 0, "no-such-user", NULL, 0), RPC_INVALID_ARGUMENT);
	cr_assert_eq(count_entries(), 1, "only the fifo");
	/* A file as a directory on the way. */
	cr_assert_eq(write_file(in_dir("f"), 0, "", NULL, 0), RPC_OK);
	cr_assert_eq(write_file(in_dir("f/x"), 0, "", NULL, 0), RPC_INVALID_ARGUMENT);
}

Test(agent_files, a_link_is_replaced_not_followed)
{
	struct transfer x;
	struct stat st;

	cr_assert_eq(write_file(in_dir("target"), 0, "", (const uint8_t *)"old", 3), RPC_OK);
	cr_assert_eq(symlink("target", in_dir("link")), 0);
	cr_assert_eq(write_file(in_dir("link"), 0, "", (const uint8_t *)"new", 3), RPC_OK);
	cr_assert_eq(lstat(path, &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	cr_assert_eq(read_file(in_dir("target"), "", &x), RPC_OK);
	cr_assert(agent_run_is(&x.data, "old"));
	buf_done(&x.data);
}

Test(agent_files, a_client_that_goes_away_leaves_the_old_file)
{
	struct transfer x;
	struct rpc_pending *p;
	write_pb m = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;

	cr_assert_eq(write_file(in_dir("f"), 0, "", (const uint8_t *)"old", 3), RPC_OK);
	p = begin_write(&x, path, 0, "");
	m.data = (ProtobufCBinaryData){ .len = 3, .data = (uint8_t *)"new" };
	cr_assert_eq(rpc_stream_send(p, &m.base), 0);
	for (int i = 0; i < 100 && count_entries() < 2; i++)
		agent_test_idle(&t, 20);
	cr_assert_eq(count_entries(), 2, "the temporary file");
	/* A second name in the middle is an error, and cleans up. */
	m.path = STR("/other");
	cr_assert_eq(rpc_stream_send(p, &m.base), 0);
	wait_for(&x.done);
	cr_assert_eq(x.st.code, RPC_INVALID_ARGUMENT);
	cr_assert_eq(count_entries(), 1);
	/* And so does hanging up. */
	(void)begin_write(&x, in_dir("f"), 0, "");
	for (int i = 0; i < 100 && count_entries() < 2; i++)
		agent_test_idle(&t, 20);
	cr_assert_eq(count_entries(), 2);
	agent_test_hang_up(&t, 0);
	char cmd[64];
	snprintf(cmd, sizeof(cmd), "%s", dir);
	struct agent_request r;
	struct agent_run run;
	for (int i = 0; i < 100; i++) {
		agent_request(&r, "ls", "-A", cmd, NULL);
		agent_run_start(&t, 1, &run, &r.req);
		agent_run_wait(&t, &run);
		bool only = agent_run_is(&run.out, "f\n");
		agent_run_done(&run);
		if (only)
			break;
		cr_assert_lt(i, 99, "the temporary file stays");
		agent_test_idle(&t, 20);
	}
}

/* The agent is root; what it does for a user it does with that user's rights. */
Test(agent_files, rights_are_the_users)
{
	struct transfer x;
	struct stat st;

	if (geteuid() != 0)
		cr_skip_test("changing the user needs root");
	cr_assert_eq(write_file(in_dir("secret"), 0600, "", (const uint8_t *)"s", 1), RPC_OK);
	cr_assert_eq(chmod(dir, 0755), 0);
	cr_assert_eq(read_file(path, "nobody", &x), RPC_PERMISSION_DENIED);
	cr_assert_eq(write_file(in_dir("mine"), 0, "nobody", NULL, 0), RPC_PERMISSION_DENIED);
	/* A directory of the user's with a planted link in it. */
	cr_assert_eq(mkdir(in_dir("home"), 0755), 0);
	cr_assert_eq(chown(path, 65534, 65534), 0);
	cr_assert_eq(symlink("..", in_dir("home/up")), 0);
	cr_assert_eq(write_file(in_dir("home/up/secret"), 0, "nobody", NULL, 0),
		     RPC_PERMISSION_DENIED);
	cr_assert_eq(symlink("../secret", in_dir("home/leak")), 0);
	cr_assert_eq(read_file(path, "nobody", &x), RPC_PERMISSION_DENIED);
	cr_assert_eq(write_file(in_dir("home/sub/f"), 0600, "nobody", NULL, 0), RPC_OK);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_uid, 65534);
	cr_assert_eq(st.st_gid, 65534);
	cr_assert_eq(st.st_mode & 07777, 0600);
	/* And afterwards the agent is root again. */
	cr_assert_eq(read_file(in_dir("secret"), "", &x), RPC_OK);
	buf_done(&x.data);
}

/* ---- The sandbox ------------------------------------------------------------------------- */

Test(agent_files, identity_is_given_once)
{
	Casemate__Agent__V1__IdentifyRequest in = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	Casemate__Agent__V1__IdentifyRequest__EnvsEntry e =
		CASEMATE__AGENT__V1__IDENTIFY_REQUEST__ENVS_ENTRY__INIT;
	Casemate__Agent__V1__IdentifyRequest__EnvsEntry *list[] = { &e };
	ProtobufCMessage *msg;
	struct agent_run run;

	in.hostname = STR("-bad-");
	cr_assert_eq(agent_test_call(&t, 0, AGENT_IDENTIFY, &in.base, NULL, NULL),
		     RPC_INVALID_ARGUMENT);
	in.hostname = STR("sandbox-1");
	in.default_user = STR("no-such-user");
	cr_assert_eq(agent_test_call(&t, 0, AGENT_IDENTIFY, &in.base, NULL, NULL),
		     RPC_INVALID_ARGUMENT);
	in.default_user = STR("");
	in.default_cwd = STR("/usr");
	e.key = STR("GLOBAL");
	e.value = STR("yes");
	in.envs = list;
	in.n_envs = 1;
	cr_assert_eq(agent_test_call(&t, 0, AGENT_IDENTIFY, &in.base, NULL, &msg), RPC_OK);
	cr_assert_gt(strlen(((Casemate__Agent__V1__IdentifyResponse *)msg)->kernel_release), 0);
	protobuf_c_message_free_unpacked(msg, NULL);
	cr_assert_eq(agent_test_call(&t, 1, AGENT_IDENTIFY, &in.base, NULL, NULL),
		     RPC_FAILED_PRECONDITION, "not on another connection either");
	agent_run_script(&t, &run, "echo $GLOBAL; pwd");
	cr_assert(agent_run_is(&run.out, "yes\n/usr\n"));
	agent_run_done(&run);
}

static enum rpc_code identify(const char *token, const char *before)
{
	Casemate__Agent__V1__IdentifyRequest in = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;

	in.token = (ProtobufCBinaryData){ strlen(token), (uint8_t *)(uintptr_t)token };
	in.token_before = (ProtobufCBinaryData){ strlen(before), (uint8_t *)(uintptr_t)before };
	return agent_test_call(&t, 0, AGENT_IDENTIFY, &in.base, NULL, NULL);
}

/* In a fork: by whoever knows the token of the time before, and only once with each. */
Test(agent_files, identity_of_a_fork)
{
	cr_assert_eq(identify("0123456789abcdef", "x"), RPC_FAILED_PRECONDITION);
	cr_assert_eq(identify("short", ""), RPC_INVALID_ARGUMENT);
	cr_assert_eq(identify("0123456789abcdef", ""), RPC_OK);
	cr_assert_eq(identify("fedcba9876543210", ""), RPC_FAILED_PRECONDITION);
	cr_assert_eq(identify("fedcba9876543210", "0123456789abcdeF"), RPC_FAILED_PRECONDITION);
	cr_assert_eq(identify("fedcba9876543210", "0123456789abcde"), RPC_FAILED_PRECONDITION);
	cr_assert_eq(identify("fedcba9876543210", "0123456789abcdef"), RPC_OK);
	cr_assert_eq(identify("0000000000000000", "0123456789abcdef"), RPC_FAILED_PRECONDITION);
	/* Without a new one there is no next time. */
	cr_assert_eq(identify("", "fedcba9876543210"), RPC_OK);
	cr_assert_eq(identify("", ""), RPC_FAILED_PRECONDITION);
}

/* A tree of files of a test is on no scratch disk: nothing is frozen, and to thaw is no mistake.
 * tests/lab/pause.bats has a disk. */
Test(agent_files, nothing_to_freeze)
{
	Casemate__Agent__V1__FreezeRequest in = CASEMATE__AGENT__V1__FREEZE_REQUEST__INIT;

	cr_assert_eq(agent_test_call(&t, 0, AGENT_FREEZE, &in.base, NULL, NULL),
		     RPC_FAILED_PRECONDITION);
	in.thaw = true;
	cr_assert_eq(agent_test_call(&t, 0, AGENT_FREEZE, &in.base, NULL, NULL), RPC_OK);
}

Test(agent_files, shutdown_answers_first)
{
	Casemate__Agent__V1__ShutdownRequest in = CASEMATE__AGENT__V1__SHUTDOWN_REQUEST__INIT;
	int status;

	cr_assert_eq(agent_test_call(&t, 0, AGENT_SHUTDOWN, &in.base, NULL, NULL), RPC_OK);
	/* Of itself: the clients are still there. */
	cr_assert_eq(waitpid(t.pid, &status, 0), t.pid);
	cr_assert_eq(status, 0);
	t.pid = 0;
}
