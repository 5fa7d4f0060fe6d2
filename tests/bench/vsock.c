/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_vsock - a vsock stream between a program in a Linux guest and one on the host, ours beside
 * QEMU microvm with vhost-vsock, whose device runs in the host's kernel. The same kernel,
 * initramfs, memory and program (vsock_guest.c) on both, in turns. The host's end is what each
 * offers: a descriptor of a socketpair here, an AF_VSOCK socket there.
 *
 *   bench_vsock --vmm PROGRAM --kernel FILE --initrd FILE [--qemu PROGRAM] [--where TEXT]
 *               [--rounds N] [--pings N] [--mib N]
 */
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
#include <unistd.h>
#include <vmm.pb-c.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/stat.h"
#include "tests/bench/vmm_machine.h"
#include "tests/bench/vsock_bench.h"
#include "tests/native/spawn.h"

#define BOOT_MS	   60000
#define CALL_MS	   30000U
#define MEMORY_MIB 128U
#define CID	   77U
#define CMDLINE	   "console=hvc0 quiet panic=-1 random.trust_cpu=on"
#define PEER	   "qemu-vhost"
#define WARM_UP	   20U

static struct {
	const char *vmm, *qemu, *kernel, *initrd, *where;
	uint64_t rounds, pings, mib;
} opt = { .vmm = "",
	  .qemu = "qemu-system-x86_64",
	  .kernel = "",
	  .initrd = "",
	  .where = "lab",
	  .rounds = 2,
	  .pings = 500,
	  .mib = 8 };

enum row { ROW_PING, ROW_PING_4K, ROW_TO_HOST, ROW_TO_GUEST, ROW_COUNT };

static const struct {
	const char *name, *unit;
	bool rate;
} rows[] = {
	[ROW_PING] = { "ping_64", "us", false },
	[ROW_PING_4K] = { "ping_4k", "us", false },
	[ROW_TO_HOST] = { "guest_to_host", "MiB/s", true },
	[ROW_TO_GUEST] = { "host_to_guest", "MiB/s", true },
};
_Static_assert(ARRAY_SIZE(rows) == ROW_COUNT, "a line for each");

static struct samples samples[2][ROW_COUNT]; /* ours, theirs */

/* ---- What is measured ----------------------------------------------------------------------- */

static char buf[VSOCK_BENCH_CHUNK];

static void take(int fd, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = read(fd, buf, MIN(len - got, sizeof(buf)));
		if (n <= 0)
			bench_die("the guest has closed its end");
		got += (size_t)n;
	}
}

static void give(int fd, const void *src, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)src + done, len - done);
		if (n <= 0)
			bench_die("the guest takes nothing");
		done += (size_t)n;
	}
}

static void command(int fd, enum vsock_bench_op op, uint32_t size, uint64_t count)
{
	const struct vsock_bench_cmd c = { .op = op, .size = size, .count = count };

	give(fd, &c, sizeof(c));
}

static void ping(int fd, struct samples *s, uint32_t size)
{
	command(fd, VSOCK_BENCH_ECHO, size, WARM_UP + opt.pings);
	for (uint64_t i = 0; i < WARM_UP + opt.pings; i++) {
		uint64_t begin = now_ns();
		give(fd, buf, size);
		take(fd, size);
		if (i >= WARM_UP)
			samples_add(s, (double)(now_ns() - begin) / 1e3);
	}
}

static void add_rate(struct samples *s, uint64_t begin)
{
	samples_add(s, (double)opt.mib * 1e9 / (double)(now_ns() - begin));
}

static void measure(int fd, struct samples s[ROW_COUNT])
{
	const uint64_t bytes = opt.mib * MIB;

	take(fd, 1); /* it is there */
	ping(fd, &s[ROW_PING], 64);
	ping(fd, &s[ROW_PING_4K], 4096);
	for (int i = 0; i < 8; i++) {
		uint64_t begin = now_ns();
		command(fd, VSOCK_BENCH_SEND, 0, bytes);
		take(fd, bytes);
		add_rate(&s[ROW_TO_HOST], begin);
		begin = now_ns();
		command(fd, VSOCK_BENCH_TAKE, 0, bytes);
		for (uint64_t left = bytes; left > 0; left -= MIN(left, sizeof(buf)))
			give(fd, buf, (size_t)MIN(left, sizeof(buf)));
		take(fd, 1);
		add_rate(&s[ROW_TO_GUEST], begin);
	}
}

static void wait_readable(int fd, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, BOOT_MS) <= 0)
		bench_die("%s: the guest did not connect", what);
}

/* ---- Ours ----------------------------------------------------------------------------------- */

static void call(struct loop *l, struct rpc_conn *conn, unsigned method, const void *in,
		 const int *fds)
{
	struct rpc_status st = { 0 };
	ProtobufCMessage *out = NULL;
	int r = rpc_call_wait(l, conn, &vmm_methods[method], in, fds, CALL_MS, &st, &out, NULL);

	if (r < 0 || st.code != RPC_OK)
		bench_die("casemate-vmm: %s: %s", vmm_methods[method].name,
			  r < 0 ? strerror(-r) : st.msg);
	protobuf_c_message_free_unpacked(out, NULL);
}

static void on_closed(struct rpc_conn *conn, int reason, void *arg)
{
	(void)conn;
	(void)arg;
	bench_die("casemate-vmm has gone (%d)", reason);
}

static void run_ours(void)
{
	Casemate__Vmm__V1__ConfigureRequest q = CASEMATE__VMM__V1__CONFIGURE_REQUEST__INIT;
	Casemate__Vmm__V1__ListenRequest listen_q = CASEMATE__VMM__V1__LISTEN_REQUEST__INIT;
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	const struct rpc_conn_config cfg = { .closed = on_closed };
	struct vmm_files files = { .kernel = open(opt.kernel, O_RDONLY | O_CLOEXEC),
				   .initrd = open(opt.initrd, O_RDONLY | O_CLOEXEC),
				   .log = open("/dev/null", O_WRONLY | O_CLOEXEC) };
	static struct instance in; /* large */
	struct rpc_conn *conn;
	struct loop *l;
	int control = -1, sv[2];

	if (files.kernel < 0 || files.initrd < 0 || files.log < 0 || fd_socketpair(sv, false) < 0)
		bench_die("%s, %s: %s", opt.kernel, opt.initrd, strerror(errno));
	in.pid = vmm_fork(opt.vmm, &files, &control);
	if (in.pid < 0 || loop_new(&l) < 0 || rpc_conn_new(l, control, &cfg, &conn) < 0)
		bench_die("%s: can't be started", opt.vmm);
	q.id = (char *)(uintptr_t) "bench";
	q.vcpus = 1;
	q.memory_bytes = MEMORY_MIB * MIB;
	q.cmdline = (char *)(uintptr_t)CMDLINE;
	q.initrd = q.console = q.rng = true;
	q.guest_cid = CID;
	call(l, conn, VMM_CONFIGURE, &q, NULL);
	listen_q.port = VSOCK_BENCH_PORT;
	call(l, conn, VMM_LISTEN, &listen_q, &sv[1]);
	fd_closep(&sv[1]);
	call(l, conn, VMM_START, &start, NULL);
	wait_readable(sv[0], "casemate");
	measure(sv[0], samples[0]);
	process_kill(&in);
	rpc_conn_free(conn);
	loop_free(l);
	fd_closep(&sv[0]);
	fd_closep(&files.kernel);
	fd_closep(&files.initrd);
	fd_closep(&files.log);
}

/* ---- The peer ------------------------------------------------------------------------------- */

static int listen_vsock(void)
{
	const struct sockaddr_vm addr = { .svm_family = AF_VSOCK,
					  .svm_port = VSOCK_BENCH_PORT,
					  .svm_cid = VMADDR_CID_ANY };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, 1) < 0) {
		fd_closep(&fd);
		return -1;
	}
	return fd;
}

static void run_peer(int listener)
{
	char memory[16];
	const char *const argv[] = {
		opt.qemu,
		"-M",
		"microvm,pit=off,pic=off,rtc=off,isa-serial=off",
		"-cpu",
		"host,pmu=off",
		"-enable-kvm",
		"-smp",
		"1",
		"-m",
		memory,
		"-nodefaults",
		"-no-user-config",
		"-display",
		"none",
		"-no-reboot",
		"-bios",
		"qboot.rom",
		"-global",
		"virtio-mmio.force-legacy=false",
		"-kernel",
		opt.kernel,
		"-initrd",
		opt.initrd,
		"-append",
		CMDLINE,
		"-device",
		"virtio-serial-device",
		"-chardev",
		"stdio,id=con,signal=off",
		"-device",
		"virtconsole,chardev=con",
		"-device",
		"virtio-rng-device",
		"-device",
		"vhost-vsock-device,guest-cid=77",
		NULL,
	};
	static struct instance in; /* large */
	int out, fd;

	(void)snprintf(memory, sizeof(memory), "%uM", MEMORY_MIB);
	process_start(&in, argv, false, &out);
	wait_readable(listener, PEER);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		bench_die("accept: %s", strerror(errno));
	measure(fd, samples[1]);
	fd_closep(&fd);
	process_kill(&in);
	fd_closep(&out);
}

/* ------------------------------------------------------------------------------------------- */

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "vmm", 1, NULL, 'v' },    { "qemu", 1, NULL, 'q' },  { "kernel", 1, NULL, 'k' },
		{ "initrd", 1, NULL, 'i' }, { "where", 1, NULL, 'w' }, { "rounds", 1, NULL, 'r' },
		{ "pings", 1, NULL, 'p' },  { "mib", 1, NULL, 'm' },   { 0 },
	};
	int c, bad = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 'v':
			opt.vmm = optarg;
			break;
		case 'q':
			opt.qemu = optarg;
			break;
		case 'k':
			opt.kernel = optarg;
			break;
		case 'i':
			opt.initrd = optarg;
			break;
		case 'w':
			opt.where = optarg;
			break;
		case 'r':
			bad |= parse_u64(optarg, 1, 100, &opt.rounds);
			break;
		case 'p':
			bad |= parse_u64(optarg, 1, 5000, &opt.pings);
			break;
		case 'm':
			bad |= parse_u64(optarg, 1, 4096, &opt.mib);
			break;
		default:
			bad = -EINVAL;
			break;
		}
	}
	if (bad != 0 || opt.vmm[0] == '\0' || opt.kernel[0] == '\0' || opt.initrd[0] == '\0')
		bench_die("usage: bench_vsock --vmm PROGRAM --kernel FILE --initrd FILE ...");
}

int main(int argc, char **argv)
{
	int listener;

	parse(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	listener = listen_vsock();
	if (listener < 0)
		(void)fprintf(stderr, "bench vsock: no AF_VSOCK here, so no peer\n");
	for (uint64_t i = 0; i < opt.rounds; i++) {
		run_ours();
		if (listener >= 0)
			run_peer(listener);
	}
	for (unsigned i = 0; i < ROW_COUNT; i++) {
		struct samples *theirs = listener >= 0 ? &samples[1][i] : NULL;
		if (rows[i].rate)
			bench_print_rate("vsock", rows[i].name, rows[i].unit, &samples[0][i], PEER,
					 theirs, opt.where);
		else
			bench_print("vsock", rows[i].name, rows[i].unit, &samples[0][i], PEER,
				    theirs, opt.where);
	}
	return 0;
}
