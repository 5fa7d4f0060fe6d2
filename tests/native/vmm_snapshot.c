/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_snapshot.c - a VM that was saved goes on in other processes, and a damaged one in none. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/native/harness.h"
#include "vmm/snapshot/file.h"
#include "vmm/snapshot/merge.h"

#define MEMORY_BYTES (64 * MIB)
#define CONSOLE_CAP  65536U
#define GENERATIONS  10U
#define CPUID_MAX    256U

static void call(struct vmm *v, unsigned method)
{
	static const Casemate__Vmm__V1__StartRequest q = CASEMATE__VMM__V1__START_REQUEST__INIT;
	static const Casemate__Vmm__V1__PauseRequest p = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	static const Casemate__Vmm__V1__ResumeRequest r = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	const void *in = method == VMM_START ? (const void *)&q
					     : (method == VMM_PAUSE ? (const void *)&p : &r);

	vmm_must(v, method, in, NULL, NULL);
}

struct snapshot {
	int state, memory;
};

static struct snapshot new_files(void)
{
	struct snapshot s = { .state = memfd_create("state", MFD_CLOEXEC),
			      .memory = memfd_create("memory", MFD_CLOEXEC) };

	cr_assert(s.state >= 0 && s.memory >= 0);
	cr_assert_eq(ftruncate(s.memory, MEMORY_BYTES), 0);
	return s;
}

static void close_files(struct snapshot *s)
{
	fd_closep(&s->state);
	fd_closep(&s->memory);
}

/* Of a running VM, which is paused afterwards. */
static struct snapshot take(struct vmm *v)
{
	const Casemate__Vmm__V1__SnapshotRequest q = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	struct snapshot s = new_files();
	const int fds[2] = { s.state, s.memory };

	call(v, VMM_PAUSE);
	vmm_must(v, VMM_SNAPSHOT, &q, fds, NULL);
	return s;
}

static configure_req request(const char *cmdline, unsigned vcpus, bool restore)
{
	configure_req q = vmm_request(cmdline);

	q.vcpus = vcpus;
	q.restore = restore;
	return q;
}

static void boot(struct vmm *v, const char *cmdline, unsigned vcpus)
{
	configure_req q = request(cmdline, vcpus, false);
	struct vmm_files f = { .initrd = -1 };

	need_kvm();
	f.kernel = open_guest();
	vmm_spawn(v, &f);
	vmm_must(v, VMM_CONFIGURE, &q, NULL, NULL);
	call(v, VMM_START);
	fd_closep(&f.kernel);
}

/* Configures a VMM from the files: the answer's code. */
static enum rpc_code restore(struct vmm *v, const struct snapshot *s, const configure_req *q,
			     struct rpc_status *st)
{
	const struct vmm_files f = {
		.kernel = -1, .initrd = -1, .restore = true, .state = s->state, .memory = s->memory
	};

	vmm_spawn(v, &f);
	return vmm_call(v, VMM_CONFIGURE, q, NULL, st, NULL);
}

static void must_restore(struct vmm *v, const struct snapshot *s, unsigned vcpus)
{
	configure_req q = request("", vcpus, true);
	struct rpc_status st;

	cr_assert_eq(restore(v, s, &q, &st), RPC_OK, "%s", st.msg);
}

/* The first and the last number in the console's whole lines. */
static void counts(struct vmm *v, uint64_t *first, uint64_t *last)
{
	static char text[CONSOLE_CAP];
	const char *p = text;
	unsigned n = 0;

	(void)vmm_console(v, text, sizeof(text));
	while ((p = strstr(p, "count ")) != NULL && strchr(p, '\n') != NULL) {
		uint64_t at = strtoull(p + 6, NULL, 10);
		if (n++ == 0)
			*first = at;
		else
			cr_expect_eq(at, *last + 1, "%" PRIu64 " after %" PRIu64, at, *last);
		*last = at;
		p += 6;
	}
	cr_assert_gt(n, 0, "no count in: %s", text);
}

static void expect_goes_on(struct vmm *v, uint64_t after)
{
	uint64_t first = 0, last = 0;
	char next[32];

	(void)snprintf(next, sizeof(next), "count %" PRIu64 "\n", after + 5);
	vmm_console_until(v, next);
	counts(v, &first, &last);
	/* A number may have been half printed when the snapshot was taken. */
	cr_expect(first == after + 1 || first == after + 2, "%" PRIu64 " after %" PRIu64, first,
		  after);
}

/* ---- Going on ---------------------------------------------------------------------------- */

static void save_and_go_on(unsigned vcpus)
{
	struct vmm parent, children[2];
	uint64_t first = 0, last = 0, more = 0;
	struct snapshot s;

	boot(&parent, "test=count", vcpus);
	vmm_console_until(&parent, "count 3\n");
	s = take(&parent);
	counts(&parent, &first, &last);
	for (unsigned i = 0; i < ARRAY_SIZE(children); i++)
		must_restore(&children[i], &s, vcpus);
	call(&parent, VMM_RESUME);
	for (unsigned i = 0; i < ARRAY_SIZE(children); i++)
		call(&children[i], VMM_START);
	expect_goes_on(&children[0], last);
	expect_goes_on(&children[1], last);
	/* The parent, too. */
	(void)usleep(20000);
	counts(&parent, &first, &more);
	cr_expect_gt(more, last);
	vmm_done(&parent);
	vmm_done(&children[0]);
	vmm_done(&children[1]);
	close_files(&s);
}

Test(vmm_snapshot, goes_on_where_it_was)
{
	save_and_go_on(1);
}

Test(vmm_snapshot, of_several_processors)
{
	save_and_go_on(4);
}

Test(vmm_snapshot, of_a_snapshot)
{
	struct vmm a, b, c;
	uint64_t first = 0, last = 0;
	struct snapshot s, t;

	boot(&a, "test=count", 1);
	vmm_console_until(&a, "count 2\n");
	s = take(&a);
	must_restore(&b, &s, 1);
	call(&b, VMM_START);
	vmm_console_until(&b, "count 9\n");
	t = take(&b);
	counts(&b, &first, &last);
	must_restore(&c, &t, 1);
	call(&c, VMM_START);
	expect_goes_on(&c, last);
	vmm_done(&a);
	vmm_done(&b);
	vmm_done(&c);
	close_files(&s);
	close_files(&t);
}

/* In the middle of disk traffic, over several generations: the guest checks what it reads. */
Test(vmm_snapshot, with_requests_under_way)
{
	static uint8_t disk[256 * KIB];
	configure_req q = request("test=blk-loop", 1, false);
	Casemate__Vmm__V1__Drive drive = CASEMATE__VMM__V1__DRIVE__INIT, *drives[] = { &drive };
	struct vmm_files f = { .initrd = -1, .drives_count = 1 };
	struct snapshot s;
	struct vmm v;
	wait_resp *w;

	need_kvm();
	f.kernel = open_guest();
	f.drives[0].fd = make_file(disk, sizeof(disk));
	drive.id = (char[]){ "disk" };
	q.n_drives = 1;
	q.drives = drives;
	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	call(&v, VMM_START);
	vmm_console_until(&v, "looping\n");
	for (unsigned i = 0; i < GENERATIONS; i++) {
		(void)usleep(3000 + 700 * i);
		s = take(&v);
		vmm_done(&v);
		q.restore = f.restore = true;
		f.state = s.state;
		f.memory = s.memory;
		vmm_spawn(&v, &f);
		vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
		call(&v, VMM_START);
		close_files(&s);
	}
	cr_assert_eq(pwrite(f.drives[0].fd, "stop", 4, sizeof(disk) - 512), 4);
	w = vmm_wait(&v);
	cr_expect_eq(w->reason, CASEMATE__VMM__V1__END_REASON__END_REASON_POWER_OFF, "%s",
		     w->detail);
	cr_expect(memmem(w->console_tail.data, w->console_tail.len, "ok blk-loop", 11) != NULL);
	vmm_free_wait(w);
	vmm_done(&v);
	fd_closep(&f.kernel);
	fd_closep(&f.drives[0].fd);
}

/* ---- Incremental ------------------------------------------------------------------------- */

static struct snapshot new_incremental_files(void)
{
	struct snapshot s = new_files();

	cr_assert_eq(ftruncate(s.memory, (off_t)(MEMORY_BYTES + snap_bitmap_bytes(MEMORY_BYTES))),
		     0);
	return s;
}

/* Of a paused VM. */
static struct snapshot take_incremental(struct vmm *v)
{
	Casemate__Vmm__V1__SnapshotRequest q = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	struct snapshot s = new_incremental_files();
	const int fds[2] = { s.state, s.memory };

	q.incremental = true;
	vmm_must(v, VMM_SNAPSHOT, &q, fds, NULL);
	return s;
}

static struct snapshot merged(const struct snapshot *base, const struct snapshot *diff)
{
	struct snapshot out = { .state = memfd_create("state", MFD_CLOEXEC),
				.memory = memfd_create("memory", MFD_CLOEXEC) };
	const struct snap_files files[3] = { { base->state, base->memory },
					     { diff->state, diff->memory },
					     { out.state, out.memory } };
	struct err err = { 0 };

	cr_assert_eq(snap_merge(&files[0], &files[1], &files[2], &err), 0, "%s", err.msg);
	return out;
}

static blkcnt_t blocks_of(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return st.st_blocks;
}

static void expect_same_bytes(int a, int b)
{
	static uint8_t x[MIB], y[MIB];

	for (uint64_t at = 0; at < MEMORY_BYTES; at += MIB) {
		cr_assert_eq(pread(a, x, MIB, (off_t)at), (ssize_t)MIB);
		cr_assert_eq(pread(b, y, MIB, (off_t)at), (ssize_t)MIB);
		for (uint64_t page = 0; page < MIB; page += 4096)
			cr_expect_arr_eq(x + page, y + page, 4096, "page at %" PRIx64, at + page);
	}
}

static void boot_tracked(struct vmm *v, configure_req *q, struct vmm_files *f)
{
	need_kvm();
	q->track_dirty = true;
	f->kernel = open_guest();
	vmm_spawn(v, f);
	vmm_must(v, VMM_CONFIGURE, q, NULL, NULL);
	call(v, VMM_START);
	fd_closep(&f->kernel);
}

/* Full, incremental, incremental: merged, they are what a full one of the same moment is, and the
 * guest goes on from them. */
Test(vmm_snapshot, incremental)
{
	const Casemate__Vmm__V1__SnapshotRequest full = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	configure_req q = request("test=count", 1, false);
	struct vmm_files f = { .initrd = -1 };
	struct snapshot s, diffs[2], whole, m[2];
	uint64_t first = 0, last = 0;
	struct vmm v, child;

	boot_tracked(&v, &q, &f);
	vmm_console_until(&v, "count 3\n");
	s = take(&v);
	call(&v, VMM_RESUME);
	vmm_console_until(&v, "count 9\n");
	call(&v, VMM_PAUSE);
	diffs[0] = take_incremental(&v);
	call(&v, VMM_RESUME);
	vmm_console_until(&v, "count 15\n");
	call(&v, VMM_PAUSE);
	diffs[1] = take_incremental(&v);
	counts(&v, &first, &last);
	whole = new_files();
	vmm_must(&v, VMM_SNAPSHOT, &full, (const int[]){ whole.state, whole.memory }, NULL);
	vmm_done(&v);
	cr_expect_lt(blocks_of(diffs[1].memory), blocks_of(whole.memory) / 2, "%jd blocks of %jd",
		     (intmax_t)blocks_of(diffs[1].memory), (intmax_t)blocks_of(whole.memory));
	m[0] = merged(&s, &diffs[0]);
	m[1] = merged(&m[0], &diffs[1]);
	expect_same_bytes(m[1].memory, whole.memory);
	must_restore(&child, &m[1], 1);
	call(&child, VMM_START);
	expect_goes_on(&child, last);
	vmm_done(&child);
	for (unsigned i = 0; i < 2; i++) {
		close_files(&diffs[i]);
		close_files(&m[i]);
	}
	close_files(&s);
	close_files(&whole);
}

/* What the VMM writes for its devices is in it: KVM knows nothing of that. After a restore, too. */
Test(vmm_snapshot, incremental_of_what_devices_write)
{
	static uint8_t disk[256 * KIB];
	const Casemate__Vmm__V1__SnapshotRequest full = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	configure_req q = request("test=blk-loop", 1, false);
	Casemate__Vmm__V1__Drive drive = CASEMATE__VMM__V1__DRIVE__INIT, *drives[] = { &drive };
	struct vmm_files f = { .initrd = -1, .drives_count = 1 };
	struct snapshot s, diff, whole, m;
	struct vmm v;

	f.drives[0].fd = make_file(disk, sizeof(disk));
	drive.id = (char[]){ "disk" };
	q.n_drives = 1;
	q.drives = drives;
	boot_tracked(&v, &q, &f);
	vmm_console_until(&v, "looping\n");
	s = take(&v);
	vmm_done(&v);
	q.restore = f.restore = true;
	f.state = s.state;
	f.memory = s.memory;
	f.kernel = -1;
	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	call(&v, VMM_START);
	(void)usleep(20000);
	call(&v, VMM_PAUSE);
	diff = take_incremental(&v);
	whole = new_files();
	vmm_must(&v, VMM_SNAPSHOT, &full, (const int[]){ whole.state, whole.memory }, NULL);
	vmm_done(&v);
	m = merged(&s, &diff);
	expect_same_bytes(m.memory, whole.memory);
	close_files(&s);
	close_files(&diff);
	close_files(&whole);
	close_files(&m);
	fd_closep(&f.drives[0].fd);
}

Test(vmm_snapshot, incremental_refused)
{
	Casemate__Vmm__V1__SnapshotRequest inc = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	configure_req q = request("test=count", 1, false);
	struct vmm_files f = { .initrd = -1 };
	struct snapshot s = new_incremental_files();
	const int fds[2] = { s.state, s.memory };
	struct rpc_status st;
	struct vmm v;

	inc.incremental = true;
	boot(&v, "test=count", 1);
	call(&v, VMM_PAUSE);
	cr_expect_eq(vmm_call(&v, VMM_SNAPSHOT, &inc, fds, &st, NULL), RPC_FAILED_PRECONDITION);
	cr_expect(strstr(st.msg, "no dirty log") != NULL, "%s", st.msg);
	vmm_done(&v);
	boot_tracked(&v, &q, &f);
	call(&v, VMM_PAUSE);
	cr_expect_eq(vmm_call(&v, VMM_SNAPSHOT, &inc, fds, &st, NULL), RPC_FAILED_PRECONDITION);
	cr_expect(strstr(st.msg, "none before") != NULL, "%s", st.msg);
	vmm_done(&v);
	close_files(&s);
}

/* The last generation id that the guest has said, and how often it said one. */
static unsigned generation(struct vmm *v, char ret[33])
{
	static char text[CONSOLE_CAP];
	const char *p = text;
	unsigned n = 0;

	(void)vmm_console(v, text, sizeof(text));
	while ((p = strstr(p, "generation ")) != NULL && strlen(p) > 11 + 32) {
		memcpy(ret, p + 11, 32);
		ret[32] = '\0';
		p += 11;
		n++;
	}
	return n;
}

/* Each VM that goes on from a snapshot has a generation id of its own and is told so; the parent
 * keeps its own, and isn't disturbed. */
Test(vmm_snapshot, has_a_generation_of_its_own)
{
	char parents[33], again[33], clones[2][33];
	struct vmm parent, child;
	struct snapshot s;

	boot(&parent, "test=genid", 1);
	vmm_console_until(&parent, "tick\n");
	s = take(&parent);
	cr_assert_eq(generation(&parent, parents), 1);
	for (unsigned i = 0; i < 2; i++) {
		must_restore(&child, &s, 1);
		call(&child, VMM_START);
		/* A whole line: the console may be read in the middle of one. */
		for (int t = 0; t < 10000 && generation(&child, clones[i]) == 0; t++)
			(void)usleep(1000);
		cr_assert_geq(generation(&child, clones[i]), 1);
		cr_expect_str_neq(clones[i], parents);
		vmm_done(&child);
	}
	cr_expect_str_neq(clones[0], clones[1]);
	call(&parent, VMM_RESUME);
	vmm_console_until(&parent, "tick\ntick\ntick\n");
	cr_expect_eq(generation(&parent, again), 1);
	cr_expect_str_eq(again, parents);
	vmm_done(&parent);
	close_files(&s);
}

/* One that is asked for; and the positive control: with the parent's, nothing is new. */
Test(vmm_snapshot, has_the_generation_that_is_asked_for)
{
	uint8_t id[16] = "sixteen bytes...";
	configure_req q = request("test=genid", 1, false);
	struct vmm_files f = { .initrd = -1 };
	char parents[33], cloned[33];
	struct rpc_status st;
	struct snapshot s;
	struct vmm v;

	need_kvm();
	q.generation.data = id;
	q.generation.len = sizeof(id);
	f.kernel = open_guest();
	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	call(&v, VMM_START);
	vmm_console_until(&v, "tick\n");
	s = take(&v);
	cr_assert_eq(generation(&v, parents), 1);
	cr_expect_str_eq(parents, "7369787465656e2062797465732e2e2e");
	vmm_done(&v);
	q.restore = true;
	cr_assert_eq(restore(&v, &s, &q, &st), RPC_OK, "%s", st.msg);
	call(&v, VMM_START);
	vmm_console_until(&v, "tick\ntick\n");
	cr_expect(generation(&v, cloned) == 0 || strcmp(cloned, parents) == 0);
	vmm_done(&v);
	q.generation.len = 15;
	cr_expect_eq(restore(&v, &s, &q, &st), RPC_INVALID_ARGUMENT, "%s", st.msg);
	vmm_done(&v);
	fd_closep(&f.kernel);
	close_files(&s);
}

/* ---- Refusals ---------------------------------------------------------------------------- */

static struct snapshot a_snapshot(void)
{
	struct snapshot s;
	struct vmm v;

	boot(&v, "test=count", 1);
	vmm_console_until(&v, "count 2\n");
	s = take(&v);
	vmm_done(&v);
	return s;
}

static void expect_refused(const struct snapshot *s, const configure_req *q, const char *why)
{
	struct rpc_status st;
	struct vmm v;

	cr_expect_neq(restore(&v, s, q, &st), RPC_OK, "%s", why);
	cr_expect(strstr(st.msg, why) != NULL, "%s, expected %s", st.msg, why);
	rpc_conn_free(v.conn); /* it needn't wait for us */
	v.conn = NULL;
	cr_expect_eq(vmm_reap(&v), 1);
	vmm_done(&v);
}

Test(vmm_snapshot, of_another_machine)
{
	struct snapshot s = a_snapshot();
	configure_req q = request("", 2, true);

	expect_refused(&s, &q, "1 vCPUs, not 2");
	q = request("", 1, true);
	q.memory_bytes = 2 * MEMORY_BYTES;
	expect_refused(&s, &q, "64 MiB of memory, not 128");
	q = request("", 1, true);
	q.rng = true;
	expect_refused(&s, &q, "devices");
	close_files(&s);
}

/* The table of vCPU 0 in a state file, and where it lies. */
static off_t read_cpuid(const struct snapshot *s, struct kvm_cpuid_entry2 *ret, size_t cap,
			size_t *ret_count)
{
	static uint8_t bytes[SNAP_BYTES_MAX];
	static struct snap_reader r;
	const struct snap_section *cpuid;
	struct err err = { 0 };
	ssize_t len = pread(s->state, bytes, sizeof(bytes), 0);

	cr_assert_gt(len, 0);
	cr_assert_eq(snap_open(&r, bytes, (size_t)len, &err), 0, "%s", err.msg);
	cpuid = snap_find(&r, SNAP_CPUID, 0);
	cr_assert(cpuid != NULL && cpuid->len <= cap * sizeof(*ret));
	memcpy(ret, cpuid->data, cpuid->len);
	*ret_count = cpuid->len / sizeof(*ret);
	return (const uint8_t *)cpuid->data - bytes;
}

static void put_cpuid(const struct snapshot *s, const struct kvm_cpuid_entry2 *table, size_t count,
		      off_t at)
{
	cr_assert_eq(pwrite(s->state, table, count * sizeof(*table), at),
		     (ssize_t)(count * sizeof(*table)));
}

static struct kvm_cpuid_entry2 *entry_of(struct kvm_cpuid_entry2 *table, size_t count,
					 uint32_t function)
{
	for (size_t i = 0; i < count; i++)
		if (table[i].function == function && table[i].index == 0)
			return &table[i];
	cr_assert_fail("no CPUID 0x%" PRIx32, function);
	return NULL;
}

/* Of another vendor, or with what no processor of this host has. */
Test(vmm_snapshot, of_another_processor)
{
	struct kvm_cpuid_entry2 table[CPUID_MAX], *e;
	struct snapshot s = a_snapshot();
	configure_req q = request("", 1, true);
	size_t count = 0;
	off_t at = read_cpuid(&s, table, ARRAY_SIZE(table), &count);
	uint32_t before;
	struct vmm v;

	e = entry_of(table, count, 0);
	e->ebx ^= 1;
	put_cpuid(&s, table, count, at);
	expect_refused(&s, &q, "a CPU of another vendor");
	e->ebx ^= 1;
	e = entry_of(table, count, 1);
	before = e->ecx;
	e->ecx = ~0U; /* some are reserved: nobody has them all */
	put_cpuid(&s, table, count, at);
	expect_refused(&s, &q, "CPU features that this host doesn't have");
	e->ecx = before;
	put_cpuid(&s, table, count, at);
	must_restore(&v, &s, 1); /* the control */
	vmm_done(&v);
	close_files(&s);
}

Test(vmm_snapshot, files_cut_off)
{
	struct snapshot s = a_snapshot();
	configure_req q = request("", 1, true);
	struct stat st;

	cr_assert_eq(fstat(s.state, &st), 0);
	cr_assert_eq(ftruncate(s.memory, MEMORY_BYTES - 4096), 0);
	expect_refused(&s, &q, "memory file");
	cr_assert_eq(ftruncate(s.memory, MEMORY_BYTES), 0);
	cr_assert_eq(ftruncate(s.state, st.st_size - 8), 0);
	expect_refused(&s, &q, "it should have");
	cr_assert_eq(ftruncate(s.state, 0), 0);
	expect_refused(&s, &q, "state file: 0 bytes");
	close_files(&s);
}

/* One bit: the loader alone, without a seal. Refused (1), or a VM that does no harm (0). */
static unsigned flip(const struct snapshot *s, const configure_req *q, uint64_t bit)
{
	off_t at = (off_t)(bit / 8);
	struct rpc_status why;
	unsigned refused;
	struct vmm v;
	uint8_t b, flipped;
	int status;

	cr_assert_eq(pread(s->state, &b, 1, at), 1);
	flipped = b ^ (uint8_t)(1U << (bit % 8));
	cr_assert_eq(pwrite(s->state, &flipped, 1, at), 1);
	refused = restore(&v, s, q, &why) != RPC_OK;
	if (!refused) {
		call(&v, VMM_START);
		(void)usleep(1000);
	}
	rpc_conn_free(v.conn);
	v.conn = NULL;
	status = vmm_reap(&v);
	cr_expect(status >= 0, "bit %" PRIu64 ": ended by signal %d", bit, -status);
	vmm_done(&v);
	cr_assert_eq(pwrite(s->state, &b, 1, at), 1);
	return refused;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

/* Steps of the golden ratio round `n` come to each place once: each next one is in a large gap. */
static uint64_t golden_step(uint64_t n)
{
	uint64_t step = (uint64_t)((unsigned __int128)n * UINT64_C(0x9e3779b97f4a7c15) >> 64) | 1;

	while (gcd(step, n) != 1)
		step += 2;
	return step;
}

/*
 * Bits of the whole file, in a process of its own each. All of them take minutes: a run takes
 * those that the time allows, evenly spread, other ones in each; CASEMATE_SEED brings a run back,
 * and with CASEMATE_SECONDS large enough each bit has its turn.
 */
Test(vmm_snapshot, bits_flipped, .timeout = 3600)
{
	const char *seconds = getenv("CASEMATE_SECONDS"), *seed = getenv("CASEMATE_SEED");
	uint64_t end = now_ms(), from = now_ms(), bits, step, at, tried = 0, refused = 0;
	uint64_t limit = 8;
	struct snapshot s = a_snapshot();
	configure_req q = request("", 1, true);
	struct stat st;

	cr_assert(seconds == NULL || parse_u64(seconds, 1, 3600, &limit) == 0);
	cr_assert(seed == NULL || parse_u64(seed, 0, UINT64_MAX, &from) == 0);
	cr_log_info("CASEMATE_SEED=%" PRIu64, from);
	cr_assert_eq(fstat(s.state, &st), 0);
	bits = 8 * (uint64_t)st.st_size;
	end += limit * 1000;
	step = golden_step(bits);
	for (at = from % bits; tried < bits && now_ms() < end; at = (at + step) % bits, tried++)
		refused += flip(&s, &q, at);
	cr_log_info("%" PRIu64 " of %" PRIu64 " bits, %" PRIu64 " refused", tried, bits, refused);
	cr_expect_gt(refused, 0);
	cr_expect_lt(refused, tried); /* or the test would show nothing */
	close_files(&s);
}
