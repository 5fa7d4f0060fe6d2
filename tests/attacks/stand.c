/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attacks/stand.h"

#include <fcntl.h>
#include <jailer.pb-c.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "api/rpc/rpc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "probe/off.h"
#include "tests/attacks/harness.h"
#include "tests/attacks/leftovers.h"
#include "tests/attacks/world.h"
#include "vmm/seccomp.h"
#include "vmm/vmm_fds.h"

#define CALL_MS	 20000
#define MEMORY	 (64 * MIB)
#define SCRATCH	 MIB
#define LEAK_FD	 100 /* outside: a directory that nobody closed */
#define ALIVE_MS 1000

/* ---- The jailer ---------------------------------------------------------------------------- */

static void exec_jailer(const struct stand *s)
{
	char list[96];
	const char *args[20] = { "casemate-jailer",
				 "--socket",
				 WORLD_SOCKET,
				 "--store",
				 WORLD_STORE,
				 "--vmm",
				 WORLD_PROBE,
				 "--daemon-user",
				 "nobody",
				 "--cgroup",
				 s->cgroup,
				 "--max",
				 "4",
				 "--log-level",
				 "error",
				 "--allow-no-selinux" };
	size_t n = 16;

	off_list(off_of_jailer(s->off), list, sizeof(list));
	if (list[0] != '\0') {
		args[n++] = "--layers-off";
		args[n++] = list;
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		_exit(127);
	(void)execv(WORLD_JAILER, (char *const *)(uintptr_t)args);
	_exit(127);
}

static void connect_jailer(struct stand *s)
{
	static const struct rpc_conn_config cfg;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = -1;

	memcpy(a.sun_path, WORLD_SOCKET, sizeof(WORLD_SOCKET));
	for (int i = 0; r < 0 && i < 2000; i++) {
		r = connect(fd, (const struct sockaddr *)&a, sizeof(a));
		if (r < 0 && waitpid(s->jailer, NULL, WNOHANG) == s->jailer)
			harness_die("the jailer has ended");
		if (r < 0)
			(void)usleep(5000);
	}
	if (r < 0 || loop_new(&s->loop) < 0 || rpc_conn_new(s->loop, fd, &cfg, &s->conn) < 0)
		harness_die("the jailer does not answer");
}

void stand_request(struct stand *s, Casemate__Jailer__V1__CreateRequest *ret)
{
	static char kernel[] = "k", image[] = "i";

	casemate__jailer__v1__create_request__init(ret);
	(void)snprintf(s->id, sizeof(s->id), "jail%u", s->jails++);
	ret->id = s->id;
	ret->kernel = kernel;
	ret->image = image;
	ret->vcpus = 1;
	ret->memory_bytes = MEMORY;
	ret->scratch_bytes = SCRATCH;
}

static enum rpc_code call_create(struct stand *s, const Casemate__Jailer__V1__CreateRequest *q,
				 struct rpc_status *st)
{
	const Casemate__Jailer__V1__CreateResponse *a;
	ProtobufCMessage *out = NULL;
	int fds[2];

	if (rpc_call_wait(s->loop, s->conn, &jailer_methods[JAILER_CREATE], &q->base, NULL, CALL_MS,
			  st, &out, fds) < 0)
		harness_die("Create");
	if (st->code != RPC_OK)
		return st->code;
	a = (const Casemate__Jailer__V1__CreateResponse *)(const void *)out;
	s->probe = a->jail->pid;
	s->process = (int)syscall(SYS_pidfd_open, s->probe, 0);
	protobuf_c_message_free_unpacked(out, NULL);
	s->control = fds[0];
	s->log = fds[1];
	return RPC_OK;
}

static void create_jail(struct stand *s)
{
	Casemate__Jailer__V1__CreateRequest q;
	struct rpc_status st;

	stand_request(s, &q);
	errno = 0;
	if (call_create(s, &q, &st) != RPC_OK)
		harness_die("Create: %s", st.msg);
}

static void destroy_jail(struct stand *s)
{
	Casemate__Jailer__V1__DestroyRequest q = CASEMATE__JAILER__V1__DESTROY_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;

	q.id = s->id;
	errno = 0;
	if (rpc_call_wait(s->loop, s->conn, &jailer_methods[JAILER_DESTROY], &q.base, NULL, CALL_MS,
			  &st, &out, NULL) < 0 ||
	    st.code != RPC_OK)
		harness_die("Destroy: %s", st.msg);
	protobuf_c_message_free_unpacked(out, NULL);
}

/* ---- Without a jail ------------------------------------------------------------------------ */

/* The same table of descriptors as in a jail, but as root would have them. */
static void exec_outside(int control, int log)
{
	static char name[] = "casemate-vmm";
	char *argv[] = { name, NULL };
	int tty, pty, high[3];

	high[0] = fcntl(control, F_DUPFD, 200);
	high[1] = fcntl(log, F_DUPFD, 200);
	if (setsid() < 0 || openpty(&pty, &tty, NULL, NULL, NULL) < 0 ||
	    ioctl(tty, TIOCSCTTY, 0) < 0)
		_exit(126);
	high[2] = fcntl(tty, F_DUPFD, 200);
	/* The master stays open, or the terminal hangs up. */
	if (fcntl(pty, F_DUPFD, 220) < 0)
		_exit(126);
	(void)close_range(3, 199, 0);
	if (dup2(high[2], 0) < 0 || dup2(high[2], 1) < 0 || dup2(high[1], 2) < 0 ||
	    dup2(high[0], VMM_FD_CONTROL) < 0)
		_exit(126);
	if (open(WORLD_STORE "/images/i/root.erofs", O_RDONLY) != VMM_FD_KVM ||
	    dup2(VMM_FD_KVM, VMM_FD_DRIVE0) < 0 ||
	    dup2(open(WORLD_LIB "/drop/disk", O_CREAT | O_RDWR, 0600), VMM_FD_DRIVE0 + 1) < 0 ||
	    dup2(open("/", O_RDONLY), LEAK_FD) < 0)
		_exit(126);
	(void)execv(WORLD_PROBE, argv);
	_exit(127);
}

static void start_outside(struct stand *s)
{
	int sv[2], log[2];

	if (fd_socketpair(sv, false) < 0 || pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		harness_die("control socket");
	s->probe = fork();
	if (s->probe < 0)
		harness_die("fork");
	if (s->probe == 0)
		exec_outside(sv[1], log[1]);
	fd_closep(&sv[1]);
	fd_closep(&log[1]);
	s->process = (int)syscall(SYS_pidfd_open, s->probe, 0);
	s->control = sv[0];
	s->log = log[0];
}

/* ---- Both ---------------------------------------------------------------------------------- */

/* What a template's memory is: sealed, and open for reading. Without a jail it is neither. */
static void give_template(const struct stand *s)
{
	const unsigned seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	CLEANUP(fd_closep) int memfd = memfd_create("template", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CLEANUP(fd_closep) int fd = -1;
	char path[32];

	if (memfd < 0 || ftruncate(memfd, 4096) < 0)
		harness_die("template");
	if (!s->outside && fcntl(memfd, F_ADD_SEALS, seals) < 0)
		harness_die("template's seals");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	harness_label(path, "system_u:object_r:casemate_template_t:s0");
	fd = open(path, (s->outside ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0 || fd_send(s->control, "t", 1, &fd, 1) < 0)
		harness_die("template");
}

static void start(struct stand *s)
{
	if (s->outside)
		start_outside(s);
	else
		create_jail(s);
	give_template(s);
}

static void end(struct stand *s)
{
	if (s->control < 0)
		return;
	if (s->outside)
		harness_end(s->probe, SIGKILL);
	else
		destroy_jail(s);
	s->probe = 0;
	fd_closep(&s->process);
	fd_closep(&s->log);
}

void stand_stop(struct stand *s)
{
	end(s);
	fd_closep(&s->control);
}

void stand_open(struct stand *s, unsigned off)
{
	static unsigned count;

	*s = (struct stand){ .off = off, .control = -1, .log = -1, .process = -1 };
	(void)snprintf(s->cgroup, sizeof(s->cgroup), LEFTOVERS_PREFIX "%llx-%u",
		       (unsigned long long)now_ns(), count++);
	s->jailer = fork();
	if (s->jailer < 0)
		harness_die("fork");
	if (s->jailer == 0)
		exec_jailer(s);
	connect_jailer(s);
}

void stand_open_outside(struct stand *s)
{
	*s = (struct stand){ .outside = true, .control = -1, .log = -1, .process = -1 };
}

void stand_close(struct stand *s)
{
	stand_stop(s);
	rpc_conn_free(s->conn);
	loop_free(s->loop);
	harness_end(s->jailer, SIGTERM);
	/* What a jail without a pid namespace leaves is ours to reap, and counts against its uid.
	 */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/*
 * Does anybody answer after the jail's end? That the socket is still open would say less: with
 * descriptors leaking (-fds) a jail that lies ready holds it too.
 */
static bool something_lives(const struct stand *s)
{
	const struct wire_order o = { .id = WIRE_HELLO };
	struct pollfd p = { .fd = s->control, .events = POLLIN };
	char byte;

	return fd_write_full(s->control, &o, sizeof(o)) == 0 && poll(&p, 1, ALIVE_MS) == 1 &&
	       read(s->control, &byte, 1) == 1;
}

void stand_attack(struct stand *s, const struct attack *a, uint32_t role, const struct scene *scene,
		  struct wire_answer *ret)
{
	struct wire_order o = { .role = role, .off = s->off, .scene = *scene };

	if (s->control < 0)
		start(s);
	(void)snprintf(o.id, sizeof(o.id), "%s", a->id);
	o.scene.outside = s->outside;
	o.scene.memory_bytes = MEMORY + 64 * MIB;
	o.scene.scratch_bytes = SCRATCH;
	wire_run(s->control, s->process, &o, ret);
	if ((a->flags & ATTACK_OUTLIVES) != 0 && wire_succeeded(ret)) {
		end(s);
		if (!something_lives(s))
			*ret = (struct wire_answer){ .kind = WIRE_GONE };
		fd_closep(&s->control);
	} else if ((a->flags & ATTACK_ENDS_JAIL) != 0) {
		stand_stop(s);
	} else if (ret->kind == WIRE_GONE) {
		*ret = (struct wire_answer){ .kind = WIRE_HARNESS, .value = -EPIPE };
		stand_stop(s);
	}
}

enum rpc_code stand_ask(struct stand *s, const Casemate__Jailer__V1__CreateRequest *q)
{
	struct rpc_status st;

	if (call_create(s, q, &st) == RPC_OK)
		give_template(s);
	return st.code;
}

int stand_look(struct stand *s, const struct scene *scene)
{
	struct wire_order o = { .id = WIRE_LOOK,
				.role = SECCOMP_START,
				.off = OFF_BIT(OFF_SEC) | OFF_BIT(OFF_LLK),
				.scene = *scene };
	struct wire_answer a;

	if (s->control < 0)
		start(s);
	o.scene.outside = s->outside;
	wire_run(s->control, s->process, &o, &a);
	if (wire_succeeded(&a))
		return 0;
	return a.kind == WIRE_RETURN ? a.value : -ECHILD;
}

void stand_check(struct stand *s, uint32_t role, const struct scene *scene)
{
	static const struct attack hello = { .id = WIRE_HELLO };
	struct wire_answer a;
	char how[64];

	stand_attack(s, &hello, role, scene, &a);
	wire_describe(&a, how, sizeof(how));
	errno = 0;
	if (!wire_succeeded(&a))
		harness_die("the probe cannot attack with the filters of role %u: %s", role, how);
}
