/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_hostile.c - the hostile driver of the bare-metal guest (tests/guest/hostile.h) against the
 * real VMM. Each row has a VM of its own; when the row is through, the guest holds still and the
 * VMM is measured. The gate: the row itself is content (no device was lost, its target was
 * reached), every breakdown that the guest saw is counted, and the VMM has grown neither in memory
 * nor in descriptors, threads or log, nor is it still busy. A VM that KVM gives up has a documented
 * reason.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/native/harness.h"
#include "tests/native/proc.h"
#include "tests/native/tap.h"
#include "tests/native/usage.h"

#define MEMORY_BYTES  (64 * MIB)
#define DISK_BYTES    (256 * KIB)
#define ROW_MS	      120000
#define ROWS_MAX      128U
#define LISTENS	      16U /* connections that the host takes, and whose ends it never reads */
#define LISTEN_PORT   1024U
#define QUEUES	      2U /* of the drive, and pairs of the nic */
#define PARTS	      4U
#define IDLE_MS	      100U
#define IDLE_CPU_MS   60U
#define LOG_BYTES_MAX (64 * KIB)
#ifdef CASEMATE_SANITIZED
#define GROWTH_MAX (96 * MIB) /* freed blocks are kept for a while, and there is shadow memory */
#else
#define GROWTH_MAX (2 * MIB)
#endif

struct row {
	char id[16];
	bool may_end, counted;
};

struct rig {
	struct vmm_files files;
	configure_req q;
	Casemate__Vmm__V1__Drive drive, image, *drives[2];
	Casemate__Vmm__V1__Balloon balloon;
	Casemate__Vmm__V1__Nic nic, *nics[1];
	uint8_t mac[6];
	int wire;	/* a packet socket on the tap */
	struct tap tap; /* count 0: this machine gives none, there is no nic */
	struct vmm vmm;
	int listens[LISTENS];
	struct usage before;
};

/* With a tap where the machine gives one; in a network of its own, where no frame goes anywhere. */
static void rig_nic(struct rig *r)
{
	static const uint8_t mac[6] = { 0x02, 0xca, 0x5e, 0, 0, 1 };

	if (tap_enter_netns() < 0 || tap_open(&r->tap, QUEUES, mac, 0) < 0) {
		r->tap.count = 0;
		return;
	}
	r->wire = tap_packet_socket(&r->tap);
	cr_assert_geq(r->wire, 0);
	casemate__vmm__v1__nic__init(&r->nic);
	memcpy(r->mac, mac, sizeof(mac));
	r->nic.mac = (ProtobufCBinaryData){ .data = r->mac, .len = sizeof(r->mac) };
	r->nic.queue_pairs = QUEUES;
	r->nics[0] = &r->nic;
	r->q.nics = r->nics;
	r->q.n_nics = 1;
	memcpy(r->files.taps, r->tap.queues, sizeof(r->files.taps));
	r->files.taps_count = r->tap.count;
}

static void rig_start(struct rig *r, const char *cmdline)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__ListenRequest listen = CASEMATE__VMM__V1__LISTEN_REQUEST__INIT;
	static uint8_t disk[DISK_BYTES];
	int sv[2];

	memset(r, 0, sizeof(*r));
	r->files = (struct vmm_files){ .kernel = open_guest(), .initrd = -1 };
	r->files.log = make_file("", 0);
	r->files.drives[0] = (struct drive_file){ .fd = make_file(disk, sizeof(disk)) };
	r->files.drives[1] =
		(struct drive_file){ .fd = make_file(disk, sizeof(disk)), .read_only = true };
	r->files.drives_count = 2;
	r->q = vmm_request(cmdline);
	r->q.vcpus = 2;
	r->q.memory_bytes = MEMORY_BYTES;
	r->q.rng = true;
	r->q.guest_cid = 5;
	casemate__vmm__v1__balloon__init(&r->balloon);
	r->balloon.free_page_reporting = r->balloon.statistics = true;
	r->q.balloon = &r->balloon;
	casemate__vmm__v1__drive__init(&r->drive);
	r->drive.id = (char *)"disk";
	r->drive.queues = QUEUES;
	r->drive.discard = true;
	r->drives[0] = &r->drive;
	casemate__vmm__v1__drive__init(&r->image);
	r->image.id = (char *)"image";
	r->image.read_only = r->image.pmem = true;
	r->drives[1] = &r->image;
	r->q.drives = r->drives;
	r->q.n_drives = 2;
	rig_nic(r);
	vmm_spawn(&r->vmm, &r->files);
	vmm_must(&r->vmm, VMM_CONFIGURE, &r->q, NULL, NULL);
	listen.port = LISTEN_PORT;
	for (unsigned i = 0; i < LISTENS; i++) {
		cr_assert_eq(fd_socketpair(sv, false), 0);
		vmm_must(&r->vmm, VMM_LISTEN, &listen, &sv[1], NULL);
		(void)close(sv[1]);
		r->listens[i] = sv[0];
	}
	cr_assert_eq(usage_read(r->vmm.pid, MEMORY_BYTES, &r->before), 0);
	vmm_must(&r->vmm, VMM_START, &start, NULL, NULL);
}

static void rig_done(struct rig *r)
{
	vmm_done(&r->vmm);
	for (unsigned i = 0; i < LISTENS; i++)
		fd_closep(&r->listens[i]);
	if (r->tap.count > 0) {
		fd_closep(&r->wire);
		tap_close(&r->tap);
	}
	fd_closep(&r->files.kernel);
	fd_closep(&r->files.log);
	fd_closep(&r->files.drives[0].fd);
	fd_closep(&r->files.drives[1].fd);
}

/* The console's text so far; the flood's NULs become blanks. */
static char *console(struct rig *r)
{
	static char text[80 * 1024];
	size_t n = vmm_console(&r->vmm, text, sizeof(text));

	for (size_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	return text;
}

static uint64_t errors(struct rig *r)
{
	Casemate__Vmm__V1__GetMetricsRequest q = CASEMATE__VMM__V1__GET_METRICS_REQUEST__INIT;
	Casemate__Vmm__V1__GetMetricsResponse *out;
	ProtobufCMessage *msg = NULL;
	uint64_t sum = 0;

	vmm_must(&r->vmm, VMM_GET_METRICS, &q, NULL, &msg);
	out = (Casemate__Vmm__V1__GetMetricsResponse *)msg;
	for (size_t i = 0; i < out->n_metrics; i++) {
		const char *dot = strrchr(out->metrics[i]->name, '.');
		if (dot != NULL && strcmp(dot, ".errors") == 0)
			sum += out->metrics[i]->value;
	}
	protobuf_c_message_free_unpacked(msg, NULL);
	return sum;
}

/* What the VMM wrote to its log: a sanitizer's report would be there. */
static void check_log(struct rig *r, const char *id)
{
	static char text[LOG_BYTES_MAX + 1];
	ssize_t n = pread(r->files.log, text, sizeof(text), 0);

	cr_assert(n >= 0 && (size_t)n < sizeof(text), "%s: the log has grown beyond %d bytes", id,
		  (int)LOG_BYTES_MAX);
	text[n] = '\0';
	cr_assert(strstr(text, "runtime error:") == NULL && strstr(text, "Sanitizer") == NULL,
		  "%s: %s", id, text);
}

/* The guest holds still, its row is done: what has become of the VMM? */
static void check_usage(struct rig *r, const char *id)
{
	struct usage now, later;

	cr_assert_eq(usage_read(r->vmm.pid, MEMORY_BYTES, &now), 0);
	(void)usleep(IDLE_MS * 1000);
	cr_assert_eq(usage_read(r->vmm.pid, MEMORY_BYTES, &later), 0);
	cr_expect_leq(later.own_bytes, r->before.own_bytes + GROWTH_MAX, "%s: %" PRIu64 " KiB more",
		      id, (later.own_bytes - r->before.own_bytes) / KIB);
	/* No more than there was: connections take over the descriptors that waited for them. */
	cr_expect_leq(later.fds, r->before.fds, "%s: %" PRIu64 " descriptors, before %" PRIu64, id,
		      later.fds, r->before.fds);
	/* KVM adds one of its own (kvm-nx-lpage-recovery) when a vCPU first runs. */
	cr_expect_leq(later.threads, r->before.threads + 1, "%s: %" PRIu64 " threads", id,
		      later.threads);
	cr_expect_leq(later.cpu_ms - now.cpu_ms, IDLE_CPU_MS,
		      "%s: %" PRIu64 " ms of CPU in %u ms of rest", id, later.cpu_ms - now.cpu_ms,
		      IDLE_MS);
}

/* The row's own numbers against the VMM's. */
static void check_counts(struct rig *r, const struct row *row, const char *text)
{
	const char *at;
	uint64_t rounds, breaks, counted = errors(r);
	char head[32];

	(void)snprintf(head, sizeof(head), "row %s rounds", row->id);
	at = strstr(text, head);
	cr_assert(at != NULL, "%s: no result in %s", row->id, text);
	rounds = number_at(at + strlen(head), 10);
	at = strstr(at, " breaks ");
	cr_assert_not_null(at, "%s: %s", row->id, text);
	breaks = number_at(at + strlen(" breaks "), 10);
	cr_expect(rounds > 0 || r->tap.count == 0, "%s: there is no such device here", row->id);
	cr_expect_geq(counted, breaks, "%s: %" PRIu64 " breakdowns, %" PRIu64 " counted", row->id,
		      breaks, counted);
	if (row->counted)
		cr_expect_gt(counted, 0, "%s: nothing was counted", row->id);
}

/* An end that KVM forced: told with a reason of its own. */
static void check_end(struct rig *r, const struct row *row)
{
	wait_resp *w = vmm_wait(&r->vmm);

	cr_expect(row->may_end, "%s ended the VM: %s; console: %.*s", row->id, w->detail,
		  (int)w->console_tail.len, (const char *)w->console_tail.data);
	cr_expect(w->reason == CASEMATE__VMM__V1__END_REASON__END_REASON_GUEST_ERROR ||
			  w->reason == CASEMATE__VMM__V1__END_REASON__END_REASON_TRIPLE_FAULT,
		  "%s: ended by reason %d, %s", row->id, (int)w->reason, w->detail);
	vmm_free_wait(w);
	(void)vmm_reap(&r->vmm);
}

/* The guest's last words, without what the rows wrote before. */
static const char *last_line(const char *text)
{
	const char *at = NULL;

	for (const char *next = strstr(text, "\nat "); next != NULL;
	     next = strstr(next + 1, "\nat "))
		at = next;
	return at != NULL ? at : text;
}

/* A frame to everybody, behind its virtio_net_hdr. */
static void send_frame(struct rig *r)
{
	uint8_t frame[10 + 60] = { 0 };

	memset(frame + 10, 0xff, 6);
	frame[10 + 12] = 0x88;
	frame[10 + 13] = 0xb5;
	if (r->tap.count > 0)
		(void)!write(r->wire, frame, sizeof(frame));
}

/* Until the guest holds still (true) or the VM has ended. */
static bool wait_held(struct rig *r, const char *id)
{
	uint64_t end = now_ms() + ROW_MS;
	char log[8192];
	ssize_t n;

	for (;;) {
		const char *text;
		n = pread(r->files.log, log, sizeof(log) - 1, 0);
		log[MAX(n, 0)] = '\0';
		cr_assert(r->vmm.conn != NULL, "%s: the VMM has died: %s", id, log);
		send_frame(r);
		text = console(r);
		cr_assert(strstr(text, "fail hostile:") == NULL, "%s: %s", id, last_line(text));
		if (strstr(text, "held\n") != NULL)
			return true;
		if (strstr(log, " to=ended") != NULL)
			return false;
		cr_assert(now_ms() < end, "%s: not through in %d s; console: %s", id, ROW_MS / 1000,
			  text);
		(void)usleep(10000);
	}
}

static void run_row(const struct row *row, unsigned seed)
{
	Casemate__Vmm__V1__StopRequest stop = CASEMATE__VMM__V1__STOP_REQUEST__INIT;
	char cmdline[128];
	struct rig r;
	wait_resp *w;

	(void)snprintf(cmdline, sizeof(cmdline), "test=hostile hold=1 seed=%u rows=%s", seed,
		       row->id);
	rig_start(&r, cmdline);
	if (!wait_held(&r, row->id)) {
		check_end(&r, row);
		check_log(&r, row->id);
		rig_done(&r);
		return;
	}
	check_counts(&r, row, console(&r));
	check_usage(&r, row->id);
	vmm_must(&r.vmm, VMM_STOP, &stop, NULL, NULL);
	w = vmm_wait(&r.vmm);
	cr_expect_eq(w->reason, CASEMATE__VMM__V1__END_REASON__END_REASON_STOPPED, "%s", row->id);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(&r.vmm), 14, "%s", row->id);
	check_log(&r, row->id);
	rig_done(&r);
}

/* The next word of a line, if there is one that fits. */
static bool take_word(const char **at, char *ret, size_t cap)
{
	size_t len;

	*at += strspn(*at, " \r");
	len = strcspn(*at, " \r");
	if (len == 0 || len >= cap)
		return false;
	memcpy(ret, *at, len);
	ret[len] = '\0';
	*at += len;
	return true;
}

/* The guest names its rows, so that one which is added there runs here. */
static unsigned list_rows(struct row rows[ROWS_MAX])
{
	char end[16], counted[16], *line, *save = NULL, *text;
	unsigned n = 0;
	struct rig r;

	rig_start(&r, "test=hostile-list");
	vmm_console_until(&r.vmm, "ok hostile-list");
	text = console(&r);
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		struct row *row = &rows[n];
		const char *at = line;
		if (!take_word(&at, row->id, sizeof(row->id)) ||
		    !take_word(&at, end, sizeof(end)) ||
		    !take_word(&at, counted, sizeof(counted)) || row->id[0] == 'o')
			continue;
		row->may_end = strcmp(end, "may-end") == 0;
		row->counted = strcmp(counted, "counted") == 0;
		cr_assert_lt(++n, ROWS_MAX);
	}
	rig_done(&r);
	return n;
}

/* A part of the rows: Criterion runs the parts side by side. */
static void run_part(unsigned part)
{
	static struct row rows[ROWS_MAX];
	const char *seed = getenv("CASEMATE_SEED"), *only = getenv("CASEMATE_ROW");
	uint64_t number = 1;
	unsigned n, known = 0;

	need_kvm();
	if (seed != NULL)
		cr_assert_eq(parse_u64(seed, 1, UINT32_MAX, &number), 0);
	n = list_rows(rows);
	cr_assert_geq(n, 40);
	for (unsigned i = 0; i < n; i++)
		known += only == NULL || strcmp(only, rows[i].id) == 0;
	cr_assert(known > 0, "CASEMATE_ROW=%s: no such row", only);
	for (unsigned i = part; i < n; i += PARTS)
		if (only == NULL || strcmp(only, rows[i].id) == 0)
			run_row(&rows[i], (unsigned)number);
}

Test(vmm_hostile, each_row_part_1)
{
	run_part(0);
}

Test(vmm_hostile, each_row_part_2)
{
	run_part(1);
}

Test(vmm_hostile, each_row_part_3)
{
	run_part(2);
}

Test(vmm_hostile, each_row_part_4)
{
	run_part(3);
}

/* All that the VM survives, one after the other in one VM, with other numbers. */
Test(vmm_hostile, all_rows_in_one_vm)
{
	Casemate__Vmm__V1__StopRequest stop = CASEMATE__VMM__V1__STOP_REQUEST__INIT;
	struct rig r;

	need_kvm();
	rig_start(&r, "test=hostile hold=1 seed=2 rounds=1");
	cr_assert(wait_held(&r, "all"), "the VM ended");
	check_usage(&r, "all");
	vmm_must(&r.vmm, VMM_STOP, &stop, NULL, NULL);
	check_log(&r, "all");
	rig_done(&r);
}

/* The other way round: a row that does no harm must not pass for one that does. */
Test(vmm_hostile, harmless_row_is_found_out)
{
	struct rig r;

	need_kvm();
	rig_start(&r, "test=hostile rows=X00");
	vmm_console_until(&r.vmm, "fail hostile: the device should have broken down");
	rig_done(&r);
}
