/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_vmm - the VMM beside its peers: the same bare-metal guest (tests/guest/bench.c), memory and
 * devices, in turns (A B A B ...), so that what else the machine does hits all of them. The guest
 * measures with its own counter; when its first instruction ran it tells by KVM's clock, so that no
 * output path counts. docs/BENCHMARKS.md says what each row is.
 *
 *   bench_vmm --vmm PROGRAM --guest ELF [--qemu PROGRAM] [--firecracker PROGRAM] [--where TEXT]
 *             [--rounds N] [--samples N] [--starts N] [--scratch DIRECTORY] [--disk SIZE] [--only
 * GROUP]
 *             [--linux-kernel FILE --linux-initrd FILE] [--verbose]
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/pss.h"
#include "tests/bench/vmm_host.h"
#include "tests/bench/vmm_machine.h"
#include "tests/bench/vmm_rows.h"

#define RUN_MS_MAX    120000U /* the lab is slow */
#define MEMORY_MIB    128U
#define SETTLE_US     50000U
#define CMDLINE_BYTES 160U
#define LINUX_MIB     256U
#define LAST_WORDS    400U

static struct {
	const char *guest, *where, *scratch, *only;
	const char *kernel, *initrd; /* of the Linux guest; NULL = no rows of it */
	uint64_t rounds, starts, samples, disk_bytes;
	bool verbose;
} opt = {
	.where = "here",
	.scratch = "/dev/shm",
	.rounds = 4,
	.starts = 40,
	.samples = 500,
	.disk_bytes = 256 * MIB,
};

static const struct vmm_type *types[ROW_VMMS_MAX];
static const char *names[ROW_VMMS_MAX];
static unsigned types_count;
static unsigned failures;
static bool has_vsock; /* QEMU's needs the host's */
static const uint8_t guest_mac[6] = { 0x02, 0xca, 0x5e, 0, 0, 1 };

static void add_type(const struct vmm_type *t)
{
	types[types_count] = t;
	names[types_count++] = t->name;
}

/* A file without a name in a directory, so that a run that is killed leaves nothing. The VMMs open
 * it by way of our descriptor. */
static char disk[64];

/* A disk of random-looking bytes, wholly allocated. */
static void make_disk(void)
{
	static uint8_t block[64 * 1024];
	int fd = open(opt.scratch, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	uint64_t x = 88172645463325252U;

	if (fd < 0)
		bench_die("%s: %s", opt.scratch, strerror(errno));
	(void)snprintf(disk, sizeof(disk), "/proc/%d/fd/%d", (int)getpid(), fd);
	for (uint64_t at = 0; at < opt.disk_bytes; at += sizeof(block)) {
		for (size_t i = 0; i < sizeof(block); i += sizeof(x)) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			memcpy(block + i, &x, sizeof(x));
		}
		if (fd_write_full(fd, block, sizeof(block)) < 0)
			bench_die("%s: no room for the disk", disk);
	}
}

/* Until the guest has said all. */
static bool wait_end(struct instance *in)
{
	uint64_t end = now_ms() + RUN_MS_MAX;

	while (strstr(in->text, "\nend\n") == NULL) {
		if (!in->type->read(in) || now_ms() > end || strstr(in->text, "fail ") != NULL)
			return false;
	}
	return true;
}

static void take(unsigned vmm, enum row_group g, struct instance *in)
{
	uint64_t first = rows_first_ns(in->text);
	double kib;

	if (rows_parse(vmm, in->text) < 0)
		bench_die("%s: what the guest says is not understood: %.200s", in->type->name,
			  in->text);
	if (g == GROUP_LINUX && first > in->begun_ns)
		rows_add(vmm, "linux_init", (double)(first - in->begun_ns) / 1e6);
	if (g != GROUP_START && g != GROUP_BLK)
		return;
	(void)usleep(SETTLE_US);
	kib = pss_without_ram_kib(in->pid, MEMORY_MIB * 1024);
	if (kib >= 0)
		rows_add(vmm, g == GROUP_START ? "memory_idle" : "memory_after_blk", kib);
	if (g == GROUP_START && first > in->begun_ns)
		rows_add(vmm, "start_first_insn", (double)(first - in->begun_ns) / 1e3);
}

static void make_cmdline(char cmdline[CMDLINE_BYTES], enum row_group g, const struct tap *tap,
			 bool stream)
{
	uint64_t host_mac = 0;

	if (tap != NULL)
		memcpy(&host_mac, tap->host_mac, sizeof(tap->host_mac));
	if (g == GROUP_LINUX)
		(void)snprintf(cmdline, CMDLINE_BYTES, "console=hvc0 quiet panic=-1 -- %s %s",
			       tap != NULL ? "net" : "", stream ? "vsock" : "");
	else
		(void)snprintf(cmdline, CMDLINE_BYTES, "test=bench group=%s n=%llu host_mac=%llu",
			       row_group_name(g), (unsigned long long)opt.samples,
			       (unsigned long long)host_mac);
}

/* One boot of one VMM. */
static void run(unsigned vmm, enum row_group g, const struct tap *tap)
{
	bool linux_guest = g == GROUP_LINUX;
	char cmdline[CMDLINE_BYTES];
	const struct machine m = { .kernel = linux_guest ? opt.kernel : opt.guest,
				   .initrd = linux_guest ? opt.initrd : NULL,
				   .cmdline = cmdline,
				   .drive = disk,
				   .memory_mib = linux_guest ? LINUX_MIB : MEMORY_MIB,
				   .vcpus = 1, /* the lab's vCPUs don't agree on the time */
				   .tap = tap != NULL ? tap->queues[0] : -1,
				   .mac = guest_mac,
				   .stream = g == GROUP_VSOCK || (linux_guest && has_vsock) };
	static struct instance in;
	pid_t tcp = linux_guest && tap != NULL ? host_stream(host_tcp_listen(), true) : 0;

	make_cmdline(cmdline, g, tap, m.stream);
	in.type = types[vmm];
	in.host = 0;
	in.pass_fd = -1;
	in.text_len = 0;
	in.text[0] = '\0';
	in.type->start(&in, &m);
	if (wait_end(&in)) {
		take(vmm, g, &in);
	} else {
		(void)fprintf(stderr, "bench vmm: %s: group %s failed; its last words: %s\n",
			      in.type->name, row_group_name(g),
			      in.text_len > LAST_WORDS ? in.text + in.text_len - LAST_WORDS
						       : in.text);
		failures++;
	}
	in.type->stop(&in);
	host_end(in.host);
	host_end(tcp);
}

static void run_rounds(enum row_group g, const struct tap *tap)
{
	uint64_t rounds = g == GROUP_START ? opt.starts : opt.rounds;

	for (uint64_t i = 0; i < rounds; i++) {
		for (unsigned v = 0; v < types_count; v++) {
			if ((types[v]->groups & IN_GROUP(g)) == 0)
				continue;
			if (opt.verbose)
				(void)fprintf(stderr, "bench vmm: %s: %s, round %llu\n",
					      row_group_name(g), types[v]->name,
					      (unsigned long long)i + 1);
			run(v, g, tap);
		}
	}
	rows_print(g, names, types_count, opt.where);
}

/* With a tap in a network namespace of its own, which this process then stays in. */
static void run_with_tap(enum row_group g)
{
	struct tap tap;
	pid_t host;
	int r = tap_enter_netns();

	if (r == 0)
		r = tap_open(&tap, 1, guest_mac, 0);
	if (r < 0) {
		(void)fprintf(stderr, "bench vmm: no tap here, so no network rows: %s\n",
			      strerror(-r));
		if (g == GROUP_LINUX)
			run_rounds(g, NULL);
		return;
	}
	host = host_net(&tap, guest_mac);
	run_rounds(g, &tap);
	host_end(host);
	tap_close(&tap);
}

/* O_DIRECT is not everywhere (tmpfs has it since Linux 6.6). */
static bool can_direct(void)
{
	CLEANUP(fd_closep) int fd = open(disk, O_RDWR | O_DIRECT | O_CLOEXEC);

	return fd >= 0;
}

static void add_types(void)
{
	int vsock = host_vsock_listen();

	add_type(&vmm_casemate);
	add_type(&vmm_qemu);
	if (can_direct())
		add_type(&vmm_qemu_direct);
	has_vsock = vsock >= 0;
	if (has_vsock && access("/dev/vhost-net", R_OK | W_OK) == 0)
		add_type(&vmm_qemu_vhost);
	if (firecracker_program != NULL)
		add_type(&vmm_firecracker);
	fd_closep(&vsock);
}

static void set_option(int c, const char *arg)
{
	int r = 0;

	if (c == 'v')
		vmm_program = arg;
	else if (c == 'g')
		opt.guest = arg;
	else if (c == 'q')
		qemu_program = arg;
	else if (c == 'M')
		qemu_machine = arg;
	else if (c == 'F')
		qemu_firmware = arg;
	else if (c == 'f')
		firecracker_program = arg;
	else if (c == 'w')
		opt.where = arg;
	else if (c == 'd')
		opt.scratch = arg;
	else if (c == 'o')
		opt.only = arg;
	else if (c == 'k')
		opt.kernel = arg;
	else if (c == 'i')
		opt.initrd = arg;
	else if (c == 'V')
		opt.verbose = true;
	else if (c == 'r')
		r = parse_u64(arg, 1, 1000, &opt.rounds);
	else if (c == 's')
		r = parse_u64(arg, 1, 1000, &opt.starts);
	else if (c == 'n')
		r = parse_u64(arg, 16, 1000, &opt.samples);
	else if (c == 'D')
		r = parse_size(arg, 64 * MIB, 16 * GIB, &opt.disk_bytes);
	else
		r = -EINVAL;
	if (r < 0) {
		(void)fprintf(stderr, "usage: see the head of tests/bench/vmm.c\n");
		exit(2);
	}
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "vmm", required_argument, NULL, 'v' },
		{ "guest", required_argument, NULL, 'g' },
		{ "linux-kernel", required_argument, NULL, 'k' },
		{ "linux-initrd", required_argument, NULL, 'i' },
		{ "qemu", required_argument, NULL, 'q' },
		{ "qemu-machine", required_argument, NULL, 'M' },
		{ "qemu-firmware", required_argument, NULL, 'F' },
		{ "firecracker", required_argument, NULL, 'f' },
		{ "where", required_argument, NULL, 'w' },
		{ "scratch", required_argument, NULL, 'd' },
		{ "only", required_argument, NULL, 'o' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "starts", required_argument, NULL, 's' },
		{ "samples", required_argument, NULL, 'n' },
		{ "disk", required_argument, NULL, 'D' },
		{ "verbose", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		set_option(c, optarg);
	if (vmm_program == NULL || opt.guest == NULL)
		set_option('?', NULL);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	make_disk();
	add_types();
	for (enum row_group g = 0; g < GROUP_COUNT; g++) {
		if (opt.only != NULL && strcmp(opt.only, row_group_name(g)) != 0)
			continue;
		if (g == GROUP_LINUX && (opt.kernel == NULL || opt.initrd == NULL))
			continue;
		if (g == GROUP_NET || g == GROUP_LINUX)
			run_with_tap(g);
		else
			run_rounds(g, NULL);
	}
	return failures > 0 ? 1 : 0;
}
