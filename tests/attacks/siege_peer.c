/* SPDX-License-Identifier: Apache-2.0 */
/* siege_peer.c - a casemated that was taken over, and a local user. */
#include <fcntl.h>
#include <jailer.pb-c.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "jailer/snapseal.h"
#include "tests/attacks/harness.h"
#include "tests/attacks/siege.h"
#include "tests/attacks/victim.h"
#include "tests/attacks/world.h"

#define SUID	       WORLD_BIN "/suid-jailer"
#define SUID_SOCKET    "/run/casemate/suid.sock"
#define OPEN_SOCKET    WORLD_LIB "/open.sock"
#define TEMPLATE_LABEL "system_u:object_r:casemate_template_t:s0" /* as casemated makes them */
#define CALL_MS	       20000
#define SUID_MS	       5000
#define MEMORY	       (64 * MIB)

/* ---- Crafted requests ---------------------------------------------------------------------- */

/* One field that is not as it should be; the others are. */
struct craft {
	const char *id, *kernel, *image, *cpus, *mems; /* NULL = as it should be */
	uint32_t vcpus, nic_queues;
	uint64_t memory, scratch;
};

#define LONG16 "aaaaaaaaaaaaaaaa"
#define LONG65 LONG16 LONG16 LONG16 LONG16 "a"

static const struct craft crafts[] = {
	{ .id = "" },
	{ .id = "../x" },
	{ .id = "a/b" },
	{ .id = "A" },
	{ .id = "a\nb" },
	{ .id = LONG65 },
	{ .kernel = "" },
	{ .kernel = "." },
	{ .kernel = ".." },
	{ .kernel = "../images/i" },
	{ .kernel = "/etc" },
	{ .kernel = "k/../k" },
	{ .kernel = LONG65 },
	{ .image = "" },
	{ .image = ".." },
	{ .image = "../../../../var/lib/elsewhere" },
	{ .image = "i/" },
	{ .image = "%s%n" },
	{ .cpus = "0-4096" },
	{ .cpus = "0,,0" },
	{ .cpus = "0\n0" },
	{ .mems = "1-0" },
	{ .mems = LONG65 LONG65 },
	{ .vcpus = 33 },
	{ .vcpus = UINT32_MAX },
	{ .memory = 1 },
	{ .memory = MEMORY + 1 },
	{ .memory = UINT64_C(1) << 63 },
	{ .memory = UINT64_MAX },
	{ .scratch = 4095 },
	{ .scratch = UINT64_C(1) << 63 },
	{ .scratch = UINT64_MAX },
	{ .nic_queues = 9 },
	{ .nic_queues = UINT32_MAX },
};

static void set_text(char **field, const char *text)
{
	if (text != NULL)
		*field = (char *)(uintptr_t)text;
}

static void craft(Casemate__Jailer__V1__CreateRequest *q, const struct craft *c)
{
	set_text(&q->id, c->id);
	set_text(&q->kernel, c->kernel);
	set_text(&q->image, c->image);
	set_text(&q->cpuset_cpus, c->cpus);
	set_text(&q->cpuset_mems, c->mems);
	q->vcpus = c->vcpus > 0 ? c->vcpus : q->vcpus;
	q->nic_queues = c->nic_queues > 0 ? c->nic_queues : q->nic_queues;
	q->memory_bytes = c->memory > 0 ? c->memory : q->memory_bytes;
	q->scratch_bytes = c->scratch > 0 ? c->scratch : q->scratch_bytes;
}

static int crafted_requests(struct ground *g)
{
	Casemate__Jailer__V1__CreateRequest q;

	stand_stop(&g->stand);
	for (size_t i = 0; i < ARRAY_SIZE(crafts); i++) {
		stand_request(&g->stand, &q);
		craft(&q, &crafts[i]);
		if (stand_ask(&g->stand, &q) == RPC_OK) {
			stand_stop(&g->stand);
			return 0;
		}
	}
	return -EINVAL;
}

/* The same with nothing crafted. */
static int plain_request(struct ground *g)
{
	Casemate__Jailer__V1__CreateRequest q;
	int r;

	stand_request(&g->stand, &q);
	r = stand_ask(&g->stand, &q) == RPC_OK ? 0 : -EINVAL;
	stand_stop(&g->stand);
	return r;
}

/* ---- A snapshot that can be changed after it was checked ----------------------------------- */

static int make_memfd(size_t bytes, unsigned seals)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	char path[32];

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		harness_die("snapshot");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	harness_label(path, TEMPLATE_LABEL);
	return fd;
}

/* seal: what Jailer.Seal is said to have made, of SNAPSEAL_BYTES; NULL = "they were always ours".
 */
static int restore(struct ground *g, unsigned state_seals, unsigned memory_seals, uint8_t *seal)
{
	Casemate__Jailer__V1__RestoreRequest q = CASEMATE__JAILER__V1__RESTORE_REQUEST__INIT;
	Casemate__Jailer__V1__CreateRequest create;
	static char none[] = "";
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	int pass[2], got[2];

	stand_stop(&g->stand);
	stand_request(&g->stand, &create);
	create.kernel = none;
	create.scratch_bytes = 0; /* a disk goes with what the jailer has kept alone */
	q.create = &create;
	q.unsealed = seal == NULL;
	q.seal.data = seal;
	q.seal.len = seal == NULL ? 0 : SNAPSEAL_BYTES;
	pass[0] = make_memfd(4096, state_seals);
	pass[1] = make_memfd(MEMORY, memory_seals);
	if (rpc_call_wait(g->stand.loop, g->stand.conn, &jailer_methods[JAILER_RESTORE], &q.base,
			  pass, CALL_MS, &st, &out, got) < 0) {
		/* SELinux has kept the descriptors back: the jailer hangs up on such a client. */
		stand_close(&g->stand);
		stand_open(&g->stand, 0);
		st.code = RPC_UNAVAILABLE;
	}
	(void)close(pass[0]);
	(void)close(pass[1]);
	if (st.code != RPC_OK)
		return -EINVAL;
	protobuf_c_message_free_unpacked(out, NULL);
	g->stand.control = got[0];
	g->stand.log = got[1];
	stand_stop(&g->stand);
	return 0;
}

#define SEALS_ALL (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int open_snapshots(struct ground *g)
{
	static const unsigned missing[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };

	for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
		if (restore(g, SEALS_ALL & ~missing[i], SEALS_ALL, NULL) == 0 ||
		    restore(g, SEALS_ALL, SEALS_ALL & ~missing[i], NULL) == 0)
			return 0;
	}
	return -EINVAL;
}

static int sealed_snapshot(struct ground *g)
{
	return restore(g, SEALS_ALL, SEALS_ALL, NULL);
}

/* Made up. */
static int forged_seal(struct ground *g)
{
	uint8_t zeros[SNAPSEAL_BYTES] = { 0 }, ones[SNAPSEAL_BYTES];

	memset(ones, 1, sizeof(ones));
	return restore(g, SEALS_ALL, SEALS_ALL, zeros) == 0 ||
			       restore(g, SEALS_ALL, SEALS_ALL, ones) == 0
		       ? 0
		       : -EINVAL;
}

/* ---- A local user -------------------------------------------------------------------------- */

static int connect_to(void *arg)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", (const char *)arg);
	return fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

static int user_connects(struct ground *g)
{
	static char path[] = WORLD_SOCKET;

	(void)g;
	if (connect_to(path) < 0)
		harness_die("%s", path);
	return siege_as_user(connect_to, path);
}

static int user_connects_open(struct ground *g)
{
	static char path[] = OPEN_SOCKET;
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = OPEN_SOCKET };
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	(void)g;
	if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4) < 0 ||
	    chmod(path, 0666) < 0)
		harness_die("%s", path);
	r = siege_as_user(connect_to, path);
	(void)unlink(path);
	return r;
}

static int trace(void *arg)
{
	const pid_t *pid = arg;
	char path[48];
	int fd;

	if (ptrace(PTRACE_SEIZE, *pid, NULL, NULL) == 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)*pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

static int user_traces(struct ground *g)
{
	return siege_as_user(trace, &g->stand.jailer);
}

/* A child of the user's own: Yama allows no more. */
static int trace_child(void *arg)
{
	pid_t pid;
	int r;

	(void)arg;
	/* The change of user has taken it away; the child inherits it. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return -errno;
	pid = fork();
	while (pid == 0)
		(void)pause();
	if (pid < 0)
		return -errno;
	r = trace(&pid);
	(void)kill(pid, SIGKILL);
	return r;
}

static int user_traces_own(struct ground *g)
{
	(void)g;
	return siege_as_user(trace_child, NULL);
}

/* ---- The jailer as a set-uid program ------------------------------------------------------- */

static int exec_suid(void *arg)
{
	static char *const argv[] = { (char *)(uintptr_t) "casemate-jailer",
				      (char *)(uintptr_t) "--socket",
				      (char *)(uintptr_t)SUID_SOCKET,
				      (char *)(uintptr_t) "--store",
				      (char *)(uintptr_t)WORLD_STORE,
				      (char *)(uintptr_t) "--vmm",
				      (char *)(uintptr_t)WORLD_PROBE,
				      (char *)(uintptr_t) "--daemon-user",
				      (char *)(uintptr_t) "nobody",
				      (char *)(uintptr_t) "--allow-no-selinux",
				      (char *)(uintptr_t) "--cgroup",
				      (char *)(uintptr_t) "casemate-attacks-suid",
				      NULL };
	char *envp[] = { NULL };

	(void)execve(arg, argv, envp);
	return -errno;
}

/* It must end by itself and complain; that it serves is what the attacker wants. */
static int suid_jailer(struct ground *g)
{
	static char path[] = SUID;
	uint64_t deadline = now_ms() + SUID_MS;
	int status = 0, null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid_t pid, got = 0;

	(void)g;
	harness_copy(WORLD_JAILER, SUID, 04755);
	pid = fork();
	if (pid < 0)
		harness_die("fork");
	if (pid == 0) {
		(void)dup2(null, STDERR_FILENO);
		if (setresgid(VICTIM_UID, VICTIM_UID, VICTIM_UID) < 0 ||
		    setresuid(VICTIM_UID, VICTIM_UID, VICTIM_UID) < 0)
			_exit(126);
		_exit(-exec_suid(path));
	}
	while ((got = waitpid(pid, &status, WNOHANG)) == 0 && now_ms() < deadline)
		(void)usleep(1000);
	fd_closep(&null);
	(void)unlink(SUID);
	if (got == 0) {
		harness_end(pid, SIGKILL);
		return 0;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int exec_helper(void *arg)
{
	static char name[] = "x";
	char *argv[] = { name, NULL }, *envp[] = { NULL };

	(void)execve(arg, argv, envp);
	return -errno;
}

/* A program that doesn't look who has started it. */
static int suid_helper(struct ground *g)
{
	char path[SCENE_TEXT];

	(void)snprintf(path, sizeof(path), "%s", g->scene->suid_helper);
	return siege_as_user(exec_helper, path) == -ATTACK_EXEC_OK ? 0 : -EPERM;
}

const struct siege sieges_peer[] = {
	{ "D01", "requests with one field that is wrong", crafted_requests, plain_request },
	{ "D02", "a snapshot that can still be changed", open_snapshots, sealed_snapshot },
	{ "D03", "a snapshot with a forged seal", forged_seal, sealed_snapshot },
	{ "H04", "a local user connects to the jailer", user_connects, user_connects_open },
	{ "H06", "a local user traces the jailer", user_traces, user_traces_own },
	{ "H12", "a set-uid jailer serves a local user", suid_jailer, suid_helper },
	{ NULL, NULL, NULL, NULL },
};
