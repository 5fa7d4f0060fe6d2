/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_devices.c - block, entropy, console and vsock, from the guest's driver to the host's file. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/native/harness.h"
#include "tests/native/proc.h"

#define POWER_OFF CASEMATE__VMM__V1__END_REASON__END_REASON_POWER_OFF

#define DISK_BYTES (256 * KIB)
#define SECTOR	   512U
#define ECHO_BYTES (10 * MIB)
#define ECHO_MS	   60000

struct machine {
	struct vmm_files files;
	configure_req q;
	Casemate__Vmm__V1__Drive drive;
	Casemate__Vmm__V1__Drive *drives[1];
};

static void machine_init(struct machine *m, const char *cmdline)
{
	static char serial[] = "disk0";

	need_kvm();
	*m = (struct machine){ .files = { .kernel = open_guest(), .initrd = -1 } };
	m->q = vmm_request(cmdline);
	casemate__vmm__v1__drive__init(&m->drive);
	m->drive.id = serial;
	m->drives[0] = &m->drive;
}

static void machine_drive(struct machine *m, int fd, bool read_only)
{
	m->drive.read_only = read_only;
	m->files.drives[0] = (struct drive_file){ .fd = fd, .read_only = read_only };
	m->files.drives_count = 1;
	m->q.drives = m->drives;
	m->q.n_drives = 1;
}

static int make_disk(void)
{
	uint8_t bytes[DISK_BYTES];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / SECTOR);
	return make_file(bytes, sizeof(bytes));
}

static void read_disk(int fd, uint8_t bytes[DISK_BYTES])
{
	cr_assert_eq(pread(fd, bytes, DISK_BYTES, 0), (ssize_t)DISK_BYTES);
}

/* ---- Block ------------------------------------------------------------------------------- */

Test(vmm_blk, guest_reads_the_whole_file)
{
	uint8_t bytes[DISK_BYTES];
	struct machine m;
	int disk = make_disk();
	uint64_t sum = 0;
	char text[64];

	machine_init(&m, "test=blk-read");
	machine_drive(&m, disk, true);
	read_disk(disk, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++)
		sum += bytes[i];
	(void)snprintf(text, sizeof(text), "sectors %" PRIu64 " sum %" PRIu64 "\nok blk-read\n",
		       DISK_BYTES / SECTOR, sum);
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, text);
}

Test(vmm_blk, what_the_guest_writes_is_in_the_file)
{
	uint8_t before[DISK_BYTES], after[DISK_BYTES];
	struct machine m;
	int disk = make_disk();

	machine_init(&m, "test=blk-write");
	machine_drive(&m, disk, false);
	read_disk(disk, before);
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok blk-write\n");
	read_disk(disk, after);
	/* Every eighth sector has the guest's pattern, the others are as they were. */
	for (size_t i = 0; i < sizeof(after); i++) {
		size_t s = i / SECTOR;
		uint8_t want = s % 8 == 0 ? (uint8_t)(s / 8 + 1) : before[i];
		cr_assert_eq(after[i], want, "byte %zu is %u, not %u", i, after[i], want);
	}
}

Test(vmm_blk, read_only_drive_is_not_written)
{
	uint8_t before[DISK_BYTES], after[DISK_BYTES];
	struct machine m;
	int disk = make_disk();

	machine_init(&m, "test=blk-refused");
	machine_drive(&m, disk, true);
	read_disk(disk, before);
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok blk-refused\n");
	read_disk(disk, after);
	cr_expect_arr_eq(before, after, DISK_BYTES);
}

/* ---- Entropy and console ----------------------------------------------------------------- */

Test(vmm_rng, gives_different_bytes)
{
	struct machine m;

	machine_init(&m, "test=rng");
	m.q.rng = true;
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok rng\n");
}

/* 4 MiB through a ring of 64 KiB: only the end is kept, and nothing grows. */
Test(vmm_console, flood_is_bounded)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__ReadConsoleRequest rq = CASEMATE__VMM__V1__READ_CONSOLE_REQUEST__INIT;
	Casemate__Vmm__V1__ReadConsoleResponse *out;
	ProtobufCMessage *msg = NULL;
	struct machine m;
	struct vmm v;
	uint64_t end;

	machine_init(&m, "test=flood bytes=4194304");
	vmm_spawn(&v, &m.files);
	vmm_must(&v, VMM_CONFIGURE, &m.q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	end = now_ms() + ECHO_MS;
	do {
		protobuf_c_message_free_unpacked(msg, NULL);
		cr_assert(now_ms() < end, "the flood did not end");
		(void)usleep(10000);
		vmm_must(&v, VMM_READ_CONSOLE, &rq, NULL, &msg);
		out = (Casemate__Vmm__V1__ReadConsoleResponse *)msg;
		cr_assert_leq(out->data.len, 64 * KIB);
	} while (out->data.len == 0 ||
		 memmem(out->data.data, out->data.len, "ok flood\n", 9) == NULL);
	cr_expect_eq(out->from + out->data.len, 4194304 + strlen("ok flood\n"));
	cr_expect_eq(out->data.len, 64 * KIB);
	protobuf_c_message_free_unpacked(msg, NULL);
	vmm_done(&v);
}

Test(vmm_console, none_configured)
{
	struct machine m;

	machine_init(&m, "test=hello");
	m.q.console = false;
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, NULL);
}

/* ---- Balloon ----------------------------------------------------------------------------- */

static const Casemate__Vmm__V1__Balloon all_of_it = {
	.base = PROTOBUF_C_MESSAGE_INIT(&casemate__vmm__v1__balloon__descriptor),
	.deflate_on_oom = true,
	.free_page_reporting = true,
	.statistics = true,
};

/* The memory that a process has in use. */
static uint64_t resident_bytes(pid_t pid)
{
	char path[64], text[128];
	const char *resident;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	cr_assert_geq(fd_read_file(AT_FDCWD, path, text, sizeof(text)), 0);
	resident = strchr(text, ' '); /* the second number */
	cr_assert_not_null(resident);
	return number_at(resident, 10) * 4 * KIB;
}

static void set_balloon(struct vmm *v, uint64_t bytes)
{
	Casemate__Vmm__V1__SetBalloonRequest q = CASEMATE__VMM__V1__SET_BALLOON_REQUEST__INIT;

	q.bytes = bytes;
	vmm_must(v, VMM_SET_BALLOON, &q, NULL, NULL);
}

/* The host's memory falls by what the guest gives up; the guest gets it back. */
Test(vmm_balloon, inflates_and_deflates)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__SetBalloonRequest bad = CASEMATE__VMM__V1__SET_BALLOON_REQUEST__INIT;
	Casemate__Vmm__V1__Balloon balloon = all_of_it;
	struct rpc_status st;
	uint64_t before, after;
	struct machine m;
	struct vmm v;

	machine_init(&m, "test=balloon");
	m.q.balloon = &balloon;
	vmm_spawn(&v, &m.files);
	vmm_must(&v, VMM_CONFIGURE, &m.q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	vmm_console_until(&v, "ready\n");
	bad.bytes = m.q.memory_bytes + 4096;
	cr_expect_eq(vmm_call(&v, VMM_SET_BALLOON, &bad, NULL, &st, NULL), RPC_OUT_OF_RANGE);
	bad.bytes = 1;
	cr_expect_eq(vmm_call(&v, VMM_SET_BALLOON, &bad, NULL, &st, NULL), RPC_INVALID_ARGUMENT);
	before = resident_bytes(v.pid);
	set_balloon(&v, 2 * MIB);
	vmm_console_until(&v, "inflated\n");
	after = resident_bytes(v.pid);
	/* Checking that they are zeros has mapped the zero page, which is not counted. */
	cr_expect_geq(before, after + 2 * MIB - 256 * KIB, "before %" PRIu64 ", after %" PRIu64,
		      before, after);
	set_balloon(&v, 0);
	wait_resp *w = vmm_wait(&v);
	cr_expect(memmem(w->console_tail.data, w->console_tail.len, "ok balloon\n", 11),
		  "console: %.*s", (int)w->console_tail.len, (const char *)w->console_tail.data);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(&v), 0);
	vmm_done(&v);
}

Test(vmm_balloon, page_outside_memory)
{
	Casemate__Vmm__V1__Balloon balloon = all_of_it;
	struct machine m;

	machine_init(&m, "test=balloon-bad");
	m.q.balloon = &balloon;
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok balloon-bad\n");
}

Test(vmm_balloon, none_configured)
{
	Casemate__Vmm__V1__SetBalloonRequest q = CASEMATE__VMM__V1__SET_BALLOON_REQUEST__INIT;
	struct rpc_status st;
	struct machine m;
	struct vmm v;

	machine_init(&m, "test=idle");
	vmm_spawn(&v, &m.files);
	vmm_must(&v, VMM_CONFIGURE, &m.q, NULL, NULL);
	cr_expect_eq(vmm_call(&v, VMM_SET_BALLOON, &q, NULL, &st, NULL), RPC_FAILED_PRECONDITION);
	vmm_done(&v);
}

/* ---- What lies between the devices ------------------------------------------------------- */

Test(vmm_chips, every_port)
{
	struct machine m;

	machine_init(&m, "test=ports");
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok ports\n");
}

Test(vmm_chips, unused_addresses)
{
	struct machine m;

	machine_init(&m, "test=mmio");
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok mmio\n");
}

/* KVM's own devices: what CPUID doesn't offer can't be used. */
Test(vmm_chips, hidden_feature)
{
	struct machine m;

	machine_init(&m, "test=hidden");
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "exception 13 ");
}

/* tests/lab/vmm.bats runs it on an emulated processor. */
Test(vmm_chips, level_triggered_pin)
{
	struct machine m;

	need_hardware_kvm();
	machine_init(&m, "test=level");
	m.q.rng = true;
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok level\n");
}

/* ---- vsock ------------------------------------------------------------------------------- */

/* Sends a known sequence, reads it back, half-closes, and sees the guest's end. */
static void echo(int fd)
{
	static uint8_t out[64 * 1024], in[64 * 1024];
	uint64_t sent = 0, got = 0, end = now_ms() + ECHO_MS;
	bool closed = false;

	cr_assert_eq(fd_set_nonblock(fd, true), 0);
	while (!closed) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		cr_assert(now_ms() < end, "sent %" PRIu64 ", got %" PRIu64, sent, got);
		if (sent < ECHO_BYTES)
			p.events |= POLLOUT;
		cr_assert_geq(poll(&p, 1, 1000), 0);
		if ((p.revents & POLLOUT) != 0) {
			size_t len = MIN(sizeof(out), ECHO_BYTES - sent);
			for (size_t i = 0; i < len; i++)
				out[i] = (uint8_t)((sent + i) * 31 >> 3);
			n = send(fd, out, len, MSG_NOSIGNAL);
			cr_assert(n > 0 || errno == EAGAIN, "send: %s", strerror(errno));
			sent += n > 0 ? (uint64_t)n : 0;
			if (sent == ECHO_BYTES)
				cr_assert_eq(shutdown(fd, SHUT_WR), 0);
		}
		if ((p.revents & (POLLIN | POLLHUP)) == 0)
			continue;
		n = recv(fd, in, sizeof(in), 0);
		cr_assert(n >= 0 || errno == EAGAIN, "recv: %s", strerror(errno));
		closed = n == 0;
		for (ssize_t i = 0; i < n; i++)
			cr_assert_eq(in[i], (uint8_t)((got + (uint64_t)i) * 31 >> 3),
				     "byte %" PRIu64 " differs", got + (uint64_t)i);
		got += n > 0 ? (uint64_t)n : 0;
	}
	cr_expect_eq(got, ECHO_BYTES);
}

static void finish(struct vmm *v)
{
	wait_resp *w = vmm_wait(v);

	cr_expect_eq(w->reason, POWER_OFF);
	cr_expect(
		memmem(w->console_tail.data, w->console_tail.len, "bytes 10485760\nok vsock\n", 24),
		"console: %.*s", (int)w->console_tail.len, (const char *)w->console_tail.data);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(v), 0);
	vmm_done(v);
}

Test(vmm_vsock, guest_connects_and_echoes)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__ListenRequest listen_q = CASEMATE__VMM__V1__LISTEN_REQUEST__INIT;
	struct machine m;
	struct vmm v;
	int sv[2];

	machine_init(&m, "test=vsock mode=connect");
	m.q.guest_cid = 5;
	vmm_spawn(&v, &m.files);
	vmm_must(&v, VMM_CONFIGURE, &m.q, NULL, NULL);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	listen_q.port = 1024;
	vmm_must(&v, VMM_LISTEN, &listen_q, &sv[1], NULL);
	(void)close(sv[1]);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	echo(sv[0]);
	finish(&v);
}

Test(vmm_vsock, host_connects_and_guest_echoes)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__ConnectRequest connect_q = CASEMATE__VMM__V1__CONNECT_REQUEST__INIT;
	struct machine m;
	struct vmm v;
	int sv[2];

	machine_init(&m, "test=vsock mode=listen");
	m.q.guest_cid = 5;
	vmm_spawn(&v, &m.files);
	vmm_must(&v, VMM_CONFIGURE, &m.q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	vmm_console_until(&v, "listening\n");
	cr_assert_eq(fd_socketpair(sv, false), 0);
	connect_q.port = 1024;
	vmm_must(&v, VMM_CONNECT, &connect_q, &sv[1], NULL);
	(void)close(sv[1]);
	echo(sv[0]);
	finish(&v);
}

/* A port that nobody lends to the guest is refused: the guest sees a reset. */
Test(vmm_vsock, unlisted_port_is_refused)
{
	struct machine m;

	machine_init(&m, "test=vsock mode=connect");
	m.q.guest_cid = 5;
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "fail vsock: reset by the host");
}

Test(vmm_vsock, connect_without_a_driver_times_out)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__ConnectRequest connect_q = CASEMATE__VMM__V1__CONNECT_REQUEST__INIT;
	struct rpc_status st;
	struct machine m;
	struct vmm v;
	int sv[2];

	machine_init(&m, "test=idle");
	m.q.guest_cid = 5;
	vmm_spawn(&v, &m.files);
	vmm_must(&v, VMM_CONFIGURE, &m.q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_expect_eq(vmm_call(&v, VMM_CONNECT, &connect_q, &sv[1], &st, NULL), RPC_UNAVAILABLE);
	vmm_done(&v);
}
