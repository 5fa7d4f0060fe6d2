/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_drives.c - what a drive can beyond reading and writing, with all filters on. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/num.h"
#include "tests/native/harness.h"

#define POWER_OFF  CASEMATE__VMM__V1__END_REASON__END_REASON_POWER_OFF
#define DISK_BYTES (256 * KIB)

struct machine {
	struct vmm_files files;
	configure_req q;
	Casemate__Vmm__V1__Drive drive, *drives[1];
	int disk;
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
	m->q.drives = m->drives;
	m->q.n_drives = 1;
	m->disk = memfd_create("disk", MFD_CLOEXEC);
	cr_assert(m->disk >= 0 && ftruncate(m->disk, DISK_BYTES) == 0);
	m->files.drives[0].fd = m->disk;
	m->files.drives_count = 1;
}

static void start(struct vmm *v, struct machine *m)
{
	Casemate__Vmm__V1__StartRequest q = CASEMATE__VMM__V1__START_REQUEST__INIT;

	vmm_spawn(v, &m->files);
	vmm_must(v, VMM_CONFIGURE, &m->q, NULL, NULL);
	vmm_must(v, VMM_START, &q, NULL, NULL);
}

static void finish(struct vmm *v)
{
	wait_resp *w = vmm_wait(v);

	cr_expect_eq(w->reason, POWER_OFF);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(v), 0);
	vmm_done(v);
}

Test(vmm_drives, four_queues)
{
	struct machine m;

	machine_init(&m, "test=blk-queues");
	m.drive.queues = 4;
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok blk-queues\n");
}

Test(vmm_drives, discard_and_write_zeroes)
{
	struct machine m;
	struct stat st;

	machine_init(&m, "test=blk-discard");
	m.drive.discard = true;
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok blk-discard\n");
	cr_assert_eq(fstat(m.disk, &st), 0);
	cr_expect_eq(st.st_size, DISK_BYTES);
	cr_expect_eq(st.st_blocks, 24, "one page is discarded, one zeroed, one zeroed in part");
}

/* Not offered, and so refused: the positive control is the test before. */
Test(vmm_drives, no_discard_unless_configured)
{
	struct machine m;

	machine_init(&m, "test=blk-discard");
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "fail blk-discard: no such block device");
}

Test(vmm_drives, refused_configurations)
{
	struct rpc_status st;
	struct machine m;
	struct vmm v;

	machine_init(&m, "test=hello");
	m.drive.queues = 5;
	vmm_spawn(&v, &m.files);
	cr_expect_eq(vmm_call(&v, VMM_CONFIGURE, &m.q, NULL, &st, NULL), RPC_INVALID_ARGUMENT);
	cr_expect(strstr(st.msg, "queues") != NULL, "%s", st.msg);
	vmm_done(&v);
	machine_init(&m, "test=hello");
	m.drive.discard = m.drive.read_only = true;
	m.files.drives[0].read_only = true;
	vmm_spawn(&v, &m.files);
	cr_expect_eq(vmm_call(&v, VMM_CONFIGURE, &m.q, NULL, &st, NULL), RPC_INVALID_ARGUMENT);
	cr_expect(strstr(st.msg, "discard") != NULL, "%s", st.msg);
	vmm_done(&v);
	/* A descriptor that could write, for a drive that must not. */
	machine_init(&m, "test=hello");
	m.drive.read_only = true;
	vmm_spawn(&v, &m.files);
	cr_expect_neq(vmm_call(&v, VMM_CONFIGURE, &m.q, NULL, &st, NULL), RPC_OK);
	cr_expect(strstr(st.msg, "drive 0") != NULL, "%s", st.msg);
	vmm_done(&v);
}

Test(vmm_drives, resize)
{
	Casemate__Vmm__V1__ResizeDriveRequest q = CASEMATE__VMM__V1__RESIZE_DRIVE_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	struct machine m;
	struct vmm v;

	machine_init(&m, "test=blk-resize");
	start(&v, &m);
	vmm_console_until(&v, "waiting\n");
	q.drive = 1;
	cr_expect_eq(vmm_call(&v, VMM_RESIZE_DRIVE, &q, NULL, &st, NULL), RPC_NOT_FOUND);
	cr_assert_eq(ftruncate(m.disk, 2 * DISK_BYTES), 0);
	q.drive = 0;
	vmm_must(&v, VMM_RESIZE_DRIVE, &q, NULL, &out);
	cr_expect_eq(((Casemate__Vmm__V1__ResizeDriveResponse *)out)->bytes, 2 * DISK_BYTES);
	protobuf_c_message_free_unpacked(out, NULL);
	vmm_console_until(&v, "sectors 1024\nok blk-resize\n");
	finish(&v);
}

static uint64_t run_reads(struct machine *m, struct vmm *v)
{
	uint64_t began;

	start(v, m);
	vmm_console_until(v, "reading\n");
	began = now_ms();
	finish(v);
	return now_ms() - began;
}

/* 60 reads at 50 a second, 10 of them at once: a second; and none of it when limits are lifted. */
Test(vmm_drives, limits)
{
	Casemate__Vmm__V1__SetDriveLimitsRequest q =
		CASEMATE__VMM__V1__SET_DRIVE_LIMITS_REQUEST__INIT;
	Casemate__Vmm__V1__Limits limits = CASEMATE__VMM__V1__LIMITS__INIT;
	Casemate__Vmm__V1__Bucket bucket = CASEMATE__VMM__V1__BUCKET__INIT;
	uint64_t ms, began;
	struct machine m;
	struct vmm v;

	bucket.rate = 50;
	bucket.burst = 10;
	limits.operations = &bucket;
	machine_init(&m, "test=blk-reads n=60");
	m.drive.limits = &limits;
	ms = run_reads(&m, &v);
	cr_expect(ms > 900 && ms < 10000, "%lu ms", (unsigned long)ms);
	/* Slower than anyone waits, then not limited at all. */
	machine_init(&m, "test=blk-reads n=60");
	bucket.rate = 1;
	bucket.burst = 1;
	m.drive.limits = &limits;
	began = now_ms();
	start(&v, &m);
	vmm_console_until(&v, "reading\n");
	vmm_must(&v, VMM_SET_DRIVE_LIMITS, &q, NULL, NULL);
	finish(&v);
	cr_expect_lt(now_ms() - began, 10000);
}

/* ---- pmem -------------------------------------------------------------------------------- */

#define PMEM_PAGES 700U

/* Page n begins with the number n. */
static int numbered_file(void)
{
	static uint32_t words[PMEM_PAGES * 1024];

	for (uint32_t p = 0; p < PMEM_PAGES; p++)
		words[(size_t)p * 1024] = p;
	return make_file(words, sizeof(words));
}

static void pmem_init(struct machine *m, const char *cmdline)
{
	machine_init(m, cmdline);
	m->files.drives[0] = (struct drive_file){ .fd = numbered_file(), .read_only = true };
	m->drive.read_only = true;
	m->drive.pmem = true;
}

Test(vmm_pmem, is_read_and_never_written)
{
	struct machine m;
	uint32_t word = 0;

	pmem_init(&m, "test=pmem pages=700");
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok pmem\n");
	cr_expect_eq(pread(m.files.drives[0].fd, &word, sizeof(word), 7 * 4096), sizeof(word));
	cr_expect_eq(word, 7);
}

Test(vmm_pmem, other_devices_may_read_it)
{
	Casemate__Vmm__V1__Drive disk = CASEMATE__VMM__V1__DRIVE__INIT, *drives[2];
	struct machine m;
	char serial[] = "disk1";
	uint32_t word = 0;

	pmem_init(&m, "test=pmem-dma");
	disk.id = serial;
	drives[0] = &m.drive;
	drives[1] = &disk;
	m.q.drives = drives;
	m.q.n_drives = 2;
	m.files.drives[1].fd = m.disk;
	m.files.drives_count = 2;
	vmm_expect(&m.files, &m.q, POWER_OFF, 0, "ok pmem-dma\n");
	cr_expect_eq(pread(m.disk, &word, sizeof(word), 0), sizeof(word));
	cr_expect_eq(word, 3);
}

static void pmem_refused(struct machine *m, enum rpc_code want, const char *why)
{
	struct rpc_status st;
	struct vmm v;

	vmm_spawn(&v, &m->files);
	cr_expect_eq(vmm_call(&v, VMM_CONFIGURE, &m->q, NULL, &st, NULL), want, "%s", st.msg);
	cr_expect(strstr(st.msg, why) != NULL, "\"%s\" lacks \"%s\"", st.msg, why);
	rpc_conn_free(v.conn);
	v.conn = NULL;
	cr_expect_eq(vmm_reap(&v), 1);
	vmm_done(&v);
}

Test(vmm_pmem, goes_with_read_only_and_nothing_else)
{
	Casemate__Vmm__V1__Limits limits = CASEMATE__VMM__V1__LIMITS__INIT;
	Casemate__Vmm__V1__Bucket bucket = CASEMATE__VMM__V1__BUCKET__INIT;
	struct machine m;

	pmem_init(&m, "test=pmem");
	m.drive.read_only = false;
	pmem_refused(&m, RPC_INVALID_ARGUMENT, "drive 0: pmem is read_only");
	m.drive.read_only = true;
	m.drive.queues = 2;
	pmem_refused(&m, RPC_INVALID_ARGUMENT, "drive 0: pmem is read_only");
	m.drive.queues = 1;
	bucket.rate = 1;
	limits.bytes = &bucket;
	m.drive.limits = &limits;
	pmem_refused(&m, RPC_INVALID_ARGUMENT, "drive 0: pmem is read_only");
	/* The control is the first test; a descriptor that could write is no better. */
	m.drive.limits = NULL;
	m.files.drives[0].read_only = false;
	pmem_refused(&m, RPC_INTERNAL, "drive 0: descriptor 8 is not a file that is open for");
}

Test(vmm_pmem, has_no_limits_and_no_other_size)
{
	Casemate__Vmm__V1__SetDriveLimitsRequest limit =
		CASEMATE__VMM__V1__SET_DRIVE_LIMITS_REQUEST__INIT;
	Casemate__Vmm__V1__ResizeDriveRequest resize =
		CASEMATE__VMM__V1__RESIZE_DRIVE_REQUEST__INIT;
	struct rpc_status st;
	struct machine m;
	struct vmm v;

	pmem_init(&m, "test=pmem pages=700");
	vmm_spawn(&v, &m.files);
	vmm_must(&v, VMM_CONFIGURE, &m.q, NULL, NULL);
	cr_expect_eq(vmm_call(&v, VMM_SET_DRIVE_LIMITS, &limit, NULL, &st, NULL),
		     RPC_FAILED_PRECONDITION);
	cr_expect_eq(vmm_call(&v, VMM_RESIZE_DRIVE, &resize, NULL, &st, NULL),
		     RPC_FAILED_PRECONDITION);
	vmm_done(&v);
}
