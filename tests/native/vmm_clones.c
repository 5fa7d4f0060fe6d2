/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_clones.c - vmm-clones: boots a Linux with our agent once, makes a snapshot of it, and runs a
 * shell script in each of N VMs that go on from there, without a jail. For the lab: it can leave
 * out what makes a clone another machine, to show that a test would notice.
 *
 *   vmm-clones --vmm PROGRAM --kernel FILE --initrd FILE --drive FILE --clones N
 *              --identity none|generation|agent|full SCRIPT
 *
 * --identity: none, clones know nothing; generation, they have generation ids of their own (the
 * kernel's driver is told); agent, the agent gets an identity and the generation id stays the
 * parent's; full, both, as casemated has it.
 */
#include <agent.pb-c.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vmm.pb-c.h>

#include "api/proto/contract.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/native/spawn.h"

#define CALL_MS	     120000U
#define TRIES	     5 /* to connect: a lab may be slow */
#define MEMORY_BYTES (128 * MIB)
#define CMDLINE	     "console=hvc0 quiet panic=-1 reboot=t random.trust_cpu=on"

struct options {
	const char *vmm, *script;
	struct vmm_files files;
	uint64_t clones;
	bool generation, agent;
};

/* A VMM and what we say to it. */
struct machine {
	pid_t pid;
	struct rpc_conn *vmm, *agent;
};

static struct loop *loop; /* of this thread, the only one */

NORETURN static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "vmm-clones: %s: %s\n", what, why);
	exit(125);
}

static int open_or_die(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(path, strerror(errno));
	return fd;
}

static void set_identity(struct options *o, const char *name)
{
	bool full = strcmp(name, "full") == 0;

	o->generation = full || strcmp(name, "generation") == 0;
	o->agent = full || strcmp(name, "agent") == 0;
	if (!o->generation && !o->agent && strcmp(name, "none") != 0)
		die("--identity", "none, generation, agent or full");
}

static void parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "vmm", required_argument, NULL, 'v' },
		{ "kernel", required_argument, NULL, 'k' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "drive", required_argument, NULL, 'd' },
		{ "clones", required_argument, NULL, 'n' },
		{ "identity", required_argument, NULL, 'I' },
		{ NULL, 0, NULL, 0 },
	};
	int c, r = 0;

	while (r == 0 && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'v')
			o->vmm = optarg;
		else if (c == 'k')
			o->files.kernel = open_or_die(optarg);
		else if (c == 'i')
			o->files.initrd = open_or_die(optarg);
		else if (c == 'd')
			o->files.drives[0] = (struct drive_file){ open_or_die(optarg), true };
		else if (c == 'n')
			r = parse_u64(optarg, 1, 100000, &o->clones);
		else if (c == 'I')
			set_identity(o, optarg);
		else
			r = -EINVAL;
	}
	if (r < 0 || optind + 1 != argc || o->vmm == NULL || o->files.kernel < 0 ||
	    o->files.initrd < 0 || o->files.drives[0].fd < 0)
		die("usage", "see the head of tests/native/vmm_clones.c");
	o->files.drives_count = 1;
	o->script = argv[optind];
}

static ProtobufCMessage *call(struct rpc_conn *conn, const struct rpc_method *m, const void *in,
			      const int *fds)
{
	struct rpc_status st = { 0 };
	ProtobufCMessage *out = NULL;
	int r = rpc_call_wait(loop, conn, m, in, fds, CALL_MS, &st, &out, NULL);

	if (r < 0)
		die(m->name, strerror(-r));
	if (st.code != RPC_OK)
		die(m->name, st.msg);
	return out;
}

static void call_vmm(const struct machine *m, enum vmm_method method, const void *in,
		     const int *fds)
{
	protobuf_c_message_free_unpacked(call(m->vmm, &vmm_methods[method], in, fds), NULL);
}

static void start_vmm(struct machine *m, const struct options *o, bool restore)
{
	static const struct rpc_conn_config cfg;
	/* The parent's generation id, and, left out, those of clones. */
	static uint8_t id[16] = "the parent's own";
	static char name[] = "clone", drive_id[] = "root", cmdline[] = CMDLINE;
	Casemate__Vmm__V1__ConfigureRequest q = CASEMATE__VMM__V1__CONFIGURE_REQUEST__INIT;
	Casemate__Vmm__V1__Drive drive = CASEMATE__VMM__V1__DRIVE__INIT, *drives[] = { &drive };
	int control = -1;

	m->pid = vmm_fork(o->vmm, &o->files, &control);
	if (m->pid < 0 || rpc_conn_new(loop, control, &cfg, &m->vmm) < 0)
		die(o->vmm, "can't be started");
	drive.id = drive_id;
	drive.read_only = true;
	q.id = name;
	q.vcpus = 1;
	q.memory_bytes = MEMORY_BYTES;
	q.restore = restore;
	if (!restore) {
		q.cmdline = cmdline;
		q.initrd = true;
	}
	q.drives = drives;
	q.n_drives = 1;
	q.guest_cid = 3;
	q.rng = true;
	q.console = true;
	if (!restore || !o->generation)
		q.generation = (ProtobufCBinaryData){ .data = id, .len = sizeof(id) };
	call_vmm(m, VMM_CONFIGURE, &q, NULL);
}

/* Our end is an agent's connection as soon as the guest has taken the other. */
static void connect_agent(struct machine *m, enum vmm_method method, const void *in)
{
	static const struct rpc_conn_config cfg;
	struct rpc_status st = { .code = RPC_UNAVAILABLE };
	ProtobufCMessage *out = NULL;
	int sv[2] = { -1, -1 };

	for (int i = 0; i < TRIES && st.code == RPC_UNAVAILABLE; i++) {
		fd_closep(&sv[0]);
		if (fd_socketpair(sv, true) < 0 ||
		    rpc_call_wait(loop, m->vmm, &vmm_methods[method], in, &sv[1], CALL_MS, &st,
				  &out, NULL) < 0)
			die("agent", "the VMM doesn't answer");
		fd_closep(&sv[1]);
	}
	if (st.code != RPC_OK)
		die("agent", st.msg);
	protobuf_c_message_free_unpacked(out, NULL);
	if (rpc_conn_new(loop, sv[0], &cfg, &m->agent) < 0)
		die("agent", "no connection");
}

static void end_machine(struct machine *m)
{
	rpc_conn_free(m->agent);
	rpc_conn_free(m->vmm);
	(void)kill(m->pid, SIGKILL);
	(void)waitpid(m->pid, NULL, 0);
	*m = (struct machine){ 0 };
}

/* ---- The script ------------------------------------------------------------------------------ */

struct script {
	bool done;
};

static void on_data(const ProtobufCMessage *msg, void *arg)
{
	const Casemate__Agent__V1__StartResponse *r = (const void *)msg;
	const Casemate__Agent__V1__ProcessEvent__DataEvent *d;

	(void)arg;
	if (r->event == NULL ||
	    r->event->event_case != CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_DATA)
		return;
	d = r->event->data;
	if (d->output_case == CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDOUT)
		(void)fwrite(d->stdout.data, 1, d->stdout.len, stdout);
	else if (d->output_case == CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDERR)
		(void)fwrite(d->stderr.data, 1, d->stderr.len, stderr);
}

static void on_done(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct script *s = arg;

	(void)out;
	(void)fds;
	s->done = true;
	if (st->code != RPC_OK)
		die("script", st->msg);
}

static void run_script(const struct machine *m, const char *text)
{
	static const struct rpc_pending_ops ops = { .data = on_data, .done = on_done };
	static char cmd[] = "/bin/sh", option[] = "-c";
	char *args[] = { option, (char *)(uintptr_t)text };
	Casemate__Agent__V1__ProcessConfig process = CASEMATE__AGENT__V1__PROCESS_CONFIG__INIT;
	Casemate__Agent__V1__StartRequest q = CASEMATE__AGENT__V1__START_REQUEST__INIT;
	struct rpc_pending *pending;
	struct script s = { 0 };

	process.cmd = cmd;
	process.args = args;
	process.n_args = ARRAY_SIZE(args);
	q.process = &process;
	q.stdin_opt_case = CASEMATE__AGENT__V1__START_REQUEST__STDIN_OPT_STDIN;
	q.stdin = false;
	if (rpc_start(m->agent, &agent_methods[AGENT_PROCESS_START], &q.base, NULL, CALL_MS, &ops,
		      &s, &pending) < 0)
		die("script", "can't be started");
	while (!s.done)
		if (loop_step(loop, -1) < 0)
			die("script", "event loop");
	(void)fflush(stdout);
}

/* ---- Template and clones ------------------------------------------------------------------- */

/* As its last act before the snapshot the template seeds its random numbers, so that a kernel
 * doesn't do it in each clone because it is time to. */
#define LAST_ACT "exec python3 -c 'import fcntl; fcntl.ioctl(open(\"/dev/urandom\"), 0x5207)'"

static void make_snapshot(struct options *o)
{
	Casemate__Vmm__V1__ListenRequest listen = CASEMATE__VMM__V1__LISTEN_REQUEST__INIT;
	const Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	const Casemate__Vmm__V1__PauseRequest pause_q = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	const Casemate__Vmm__V1__SnapshotRequest snap = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	struct machine m = { 0 };

	start_vmm(&m, o, false);
	listen.port = AGENT_PORT;
	connect_agent(&m, VMM_LISTEN, &listen);
	call_vmm(&m, VMM_START, &start, NULL);
	run_script(&m, LAST_ACT);
	rpc_conn_free(m.agent);
	m.agent = NULL;
	o->files.state = memfd_create("state", MFD_CLOEXEC);
	o->files.memory = memfd_create("memory", MFD_CLOEXEC);
	if (o->files.state < 0 || ftruncate(o->files.memory, (off_t)MEMORY_BYTES) < 0)
		die("memfd", strerror(errno));
	call_vmm(&m, VMM_PAUSE, &pause_q, NULL);
	call_vmm(&m, VMM_SNAPSHOT, &snap, (const int[]){ o->files.state, o->files.memory });
	end_machine(&m);
	o->files.restore = true;
	fd_closep(&o->files.kernel);
	fd_closep(&o->files.initrd);
}

static void identify(const struct machine *m)
{
	Casemate__Agent__V1__IdentifyRequest q = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	uint8_t entropy[64];
	struct timespec now;

	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy) ||
	    clock_gettime(CLOCK_REALTIME, &now) < 0)
		die("identity", strerror(errno));
	q.entropy = (ProtobufCBinaryData){ .data = entropy, .len = sizeof(entropy) };
	q.unix_time_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	protobuf_c_message_free_unpacked(call(m->agent, &agent_methods[AGENT_IDENTIFY], &q, NULL),
					 NULL);
}

static void run_clone(const struct options *o)
{
	const Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__ConnectRequest q = CASEMATE__VMM__V1__CONNECT_REQUEST__INIT;
	struct machine m = { 0 };

	start_vmm(&m, o, true);
	call_vmm(&m, VMM_START, &start, NULL);
	q.port = AGENT_PORT;
	connect_agent(&m, VMM_CONNECT, &q);
	if (o->agent)
		identify(&m);
	run_script(&m, o->script);
	end_machine(&m);
}

int main(int argc, char **argv)
{
	struct options o = { .files = { .kernel = -1, .initrd = -1, .drives = { { .fd = -1 } } },
			     .clones = 1 };

	parse_options(&o, argc, argv);
	/* What the VMMs log is of no interest here. */
	o.files.log = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (o.files.log < 0 || loop_new(&loop) < 0)
		die("start", strerror(errno));
	make_snapshot(&o);
	for (uint64_t i = 0; i < o.clones; i++)
		run_clone(&o);
	return 0;
}
