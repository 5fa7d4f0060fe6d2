/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cold_start - from a cold VM to a finished command, ours beside QEMU microvm, in one run.
 *
 * Ours: `casemate run -- /bin/true` against a warm daemon: connect, jail, VM, guest kernel, agent,
 * command, clean-up. The peer: QEMU's process start, the same kernel, initramfs, root image, memory
 * and vCPUs; its vhost-vsock carries the same agent protocol, so that it too ends when `true` has
 * ended and QEMU is gone. What the peer lacks (a jail, a daemon) is to its advantage. The two
 * alternate, so that a noisy machine hits both.
 *
 * Also printed: the private memory of each VMM while its guest idles, which is Pss without the
 * mappings of guest RAM.
 */
#include <agent.pb-c.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "api/rpc/rpc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/pss.h"
#include "tests/bench/stat.h"

#define PEER_CID	77
#define PEER_TIMEOUT_MS 60000

struct options {
	const char *kernel, *initrd, *root, *casemate, *qemu, *machine, *where;
	uint64_t runs, memory_mib;
};

static struct options opt = {
	.kernel = "/var/lib/casemate/kernels/default/kernel",
	.initrd = "/var/lib/casemate/kernels/default/initrd",
	.root = "/var/lib/casemate/images/default/root.erofs",
	.casemate = "casemate",
	.qemu = "qemu-system-x86_64",
	.machine = "microvm,pit=off,pic=off,rtc=off,isa-serial=off",
	.where = "lab",
	.runs = 10,
	.memory_mib = 128,
};

static void die(const char *what)
{
	fprintf(stderr, "cold_start: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Starts argv with stdin and stdout on /dev/null. */
static pid_t start(const char *const argv[])
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
			_exit(126);
		/* execvp takes char *const[] for history's sake and writes to none of it. */
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return pid;
}

static int wait_for(pid_t pid)
{
	int st = 0;

	while (waitpid(pid, &st, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	return st;
}

/* ---- Memory -------------------------------------------------------------------------------- */

/* The process with this name and the highest pid; -1 when there is none. */
static pid_t find_process(const char *name)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	pid_t best = -1;

	if (proc == NULL)
		die("/proc");
	while ((e = readdir(proc)) != NULL) {
		char path[64], comm[32];
		uint64_t pid;

		if (parse_u64(e->d_name, 1, INT32_MAX, &pid) < 0)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%llu/comm", (unsigned long long)pid);
		if (fd_read_file(AT_FDCWD, path, comm, sizeof(comm)) < 0)
			continue;
		comm[strcspn(comm, "\n")] = '\0';
		if (strcmp(comm, name) == 0 && (pid_t)pid > best)
			best = (pid_t)pid;
	}
	(void)closedir(proc);
	return best;
}

/* ---- Ours ---------------------------------------------------------------------------------- */

static double run_ours(void)
{
	char memory[32];
	const char *argv[] = { opt.casemate, "run", "--memory", memory, "--", "/bin/true", NULL };
	uint64_t t0;

	(void)snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)opt.memory_mib);
	t0 = now_ns();
	int st = wait_for(start(argv));
	double ms = (double)(now_ns() - t0) / 1e6;
	if (!WIFEXITED(st) || WEXITSTATUS(st) != 0) {
		fprintf(stderr, "cold_start: casemate run failed with status %d\n", st);
		exit(1);
	}
	return ms;
}

static double memory_ours(void)
{
	char memory[32];
	const char *argv[] = { opt.casemate, "run",	   "--memory", memory,
			       "--",	     "/bin/sleep", "30",       NULL };
	double kib;

	(void)snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)opt.memory_mib);
	pid_t cli = start(argv);
	/* Idle means: the command runs and nothing else happens. */
	(void)sleep(8);
	pid_t vmm = find_process("casemate-vmm");
	if (vmm < 0) {
		fprintf(stderr, "cold_start: no casemate-vmm process\n");
		exit(1);
	}
	kib = pss_without_ram_kib(vmm, opt.memory_mib * 1024);
	(void)kill(cli, SIGTERM);
	(void)wait_for(cli);
	return kib;
}

/* ---- The peer ------------------------------------------------------------------------------ */

struct peer_run {
	struct loop *loop;
	bool done;
	int exit_code;
};

static int vsock_listen(void)
{
	struct sockaddr_vm addr = { .svm_family = AF_VSOCK,
				    .svm_port = AGENT_PORT,
				    .svm_cid = VMADDR_CID_ANY };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 4) < 0)
		die("vsock (is vhost_vsock loaded?)");
	return fd;
}

static pid_t start_qemu(void)
{
	char memory[32], drive[512];
	const char *argv[] = {
		opt.qemu,      "-M",
		opt.machine,   "-enable-kvm",
		"-cpu",	       "host,pmu=off",
		"-smp",	       "1",
		"-m",	       memory,
		"-nodefaults", "-no-user-config",
		"-nographic",  "-no-reboot",
		"-kernel",     opt.kernel,
		"-initrd",     opt.initrd,
		"-append",     "console=hvc0 quiet panic=-1",
		"-drive",      drive,
		"-device",     "virtio-blk-device,drive=root",
		"-device",     "virtio-rng-device",
		"-device",     "vhost-vsock-device,guest-cid=77",
		"-device",     "virtio-serial-device",
		NULL,
	};

	(void)snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)opt.memory_mib);
	(void)snprintf(drive, sizeof(drive), "id=root,if=none,format=raw,readonly=on,file=%s",
		       opt.root);
	return start(argv);
}

static void on_data(const ProtobufCMessage *msg, void *arg)
{
	const Casemate__Agent__V1__StartResponse *m = (const void *)msg;
	struct peer_run *run = arg;

	if (m->event != NULL && m->event->end != NULL &&
	    m->event->event_case == CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_END)
		run->exit_code = m->event->end->exit_code;
}

static void on_done(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct peer_run *run = arg;

	(void)out;
	(void)fds;
	if (st->code != RPC_OK)
		fprintf(stderr, "cold_start: peer: %s\n", st->msg);
	run->done = true;
	loop_stop(run->loop, 0);
}

/* Speaks to the agent in QEMU's guest as casemated does, then runs `true`. */
static void peer_command(int fd, const char *cmd, const char *arg1)
{
	uint8_t entropy[32] = { 1 };
	char *args[] = { (char *)(uintptr_t)arg1 };
	Casemate__Agent__V1__IdentifyRequest ident = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	Casemate__Agent__V1__ProcessConfig config = CASEMATE__AGENT__V1__PROCESS_CONFIG__INIT;
	Casemate__Agent__V1__StartRequest req = CASEMATE__AGENT__V1__START_REQUEST__INIT;
	const struct rpc_conn_config cfg = { .handlers = NULL };
	const struct rpc_pending_ops ops = { .data = on_data, .done = on_done };
	struct peer_run run = { .exit_code = -1 };
	struct rpc_conn *conn = NULL;
	struct rpc_status st;
	ProtobufCMessage *out;

	if (loop_new(&run.loop) < 0 || rpc_conn_new(run.loop, fd, &cfg, &conn) < 0)
		die("rpc");
	ident.hostname = (char *)(uintptr_t) "bench";
	ident.entropy = (ProtobufCBinaryData){ .len = sizeof(entropy), .data = entropy };
	if (rpc_call_wait(run.loop, conn, &agent_methods[AGENT_IDENTIFY], &ident.base, NULL,
			  PEER_TIMEOUT_MS, &st, &out, NULL) < 0 ||
	    st.code != RPC_OK) {
		fprintf(stderr, "cold_start: peer: Identify: %s\n", st.msg);
		exit(1);
	}
	protobuf_c_message_free_unpacked(out, NULL);
	config.cmd = (char *)(uintptr_t)cmd;
	config.args = args;
	config.n_args = arg1 != NULL ? 1 : 0;
	req.process = &config;
	req.stdin_opt_case = CASEMATE__AGENT__V1__START_REQUEST__STDIN_OPT_STDIN;
	req.stdin = 0;
	if (rpc_start(conn, &agent_methods[AGENT_PROCESS_START], &req.base, NULL,
		      arg1 != NULL ? 8000 : PEER_TIMEOUT_MS, &ops, &run, NULL) < 0)
		die("rpc_start");
	while (!run.done)
		if (loop_run(run.loop) < 0)
			die("loop");
	if (arg1 == NULL && run.exit_code != 0) {
		fprintf(stderr, "cold_start: peer: command ended with %d\n", run.exit_code);
		exit(1);
	}
	rpc_conn_free(conn);
	loop_free(run.loop);
}

static int accept_agent(int lsock, pid_t qemu)
{
	struct pollfd p = { .fd = lsock, .events = POLLIN };
	int fd;

	if (poll(&p, 1, PEER_TIMEOUT_MS) != 1) {
		(void)kill(qemu, SIGKILL);
		fprintf(stderr, "cold_start: peer: the agent did not connect\n");
		exit(1);
	}
	fd = accept4(lsock, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		die("accept");
	return fd;
}

static double run_peer(int lsock)
{
	uint64_t t0 = now_ns();
	pid_t qemu = start_qemu();

	peer_command(accept_agent(lsock, qemu), "/bin/true", NULL);
	(void)kill(qemu, SIGKILL);
	(void)wait_for(qemu);
	return (double)(now_ns() - t0) / 1e6;
}

static double memory_peer(int lsock)
{
	pid_t qemu = start_qemu();
	int fd = accept_agent(lsock, qemu);
	double kib;

	(void)sleep(5);
	kib = pss_without_ram_kib(qemu, opt.memory_mib * 1024);
	fd_closep(&fd);
	(void)kill(qemu, SIGKILL);
	(void)wait_for(qemu);
	return kib;
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "runs", required_argument, NULL, 'n' },
		{ "kernel", required_argument, NULL, 'k' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "root", required_argument, NULL, 'r' },
		{ "casemate", required_argument, NULL, 'c' },
		{ "qemu", required_argument, NULL, 'q' },
		{ "where", required_argument, NULL, 'w' },
		{ "machine", required_argument, NULL, 'M' },
		{ "memory", required_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			if (parse_u64(optarg, 1, SAMPLES_MAX, &opt.runs) < 0)
				exit(2);
			break;
		case 'm':
			if (parse_u64(optarg, 64, 65536, &opt.memory_mib) < 0)
				exit(2);
			break;
		case 'M':
			opt.machine = optarg;
			break;
		case 'k':
			opt.kernel = optarg;
			break;
		case 'i':
			opt.initrd = optarg;
			break;
		case 'r':
			opt.root = optarg;
			break;
		case 'c':
			opt.casemate = optarg;
			break;
		case 'q':
			opt.qemu = optarg;
			break;
		case 'w':
			opt.where = optarg;
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	static struct samples ours, peer, ours_kib, peer_kib;
	int lsock;

	parse_options(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	lsock = vsock_listen();
	/* One warm-up each: page cache. */
	(void)run_ours();
	(void)run_peer(lsock);
	for (uint64_t i = 0; i < opt.runs; i++) {
		samples_add(&ours, run_ours());
		samples_add(&peer, run_peer(lsock));
	}
	bench_print("cold_start", "run_true", "ms", &ours, "qemu-microvm", &peer, opt.where);
	samples_add(&ours_kib, memory_ours());
	samples_add(&peer_kib, memory_peer(lsock));
	bench_print("cold_start", "vmm_private_memory", "KiB", &ours_kib, "qemu-microvm", &peer_kib,
		    opt.where);
	return 0;
}
