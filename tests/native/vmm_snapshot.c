/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_snapshot.c - a VM that was saved goes on in other processes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
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
#include "tests/native/proc.h"
#include "tests/native/snapshot_rig.h"
#include "vmm/snapshot/file.h"
#include "vmm/snapshot/merge.h"

#define CONSOLE_CAP 65536U
#define GENERATIONS 10U

/* The first and the last number in the console's whole lines. */
static void counts(struct vmm *v, uint64_t *first, uint64_t *last)
{
	static char text[CONSOLE_CAP];
	const char *p = text;
	unsigned n = 0;

	(void)vmm_console(v, text, sizeof(text));
	while ((p = strstr(p, "count ")) != NULL && strchr(p, '\n') != NULL) {
		uint64_t at = number_at(p + 6, 10);
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

	snapshot_boot(&parent, "test=count", vcpus);
	vmm_console_until(&parent, "count 3\n");
	s = snapshot_take(&parent);
	counts(&parent, &first, &last);
	for (unsigned i = 0; i < ARRAY_SIZE(children); i++)
		snapshot_must_restore(&children[i], &s, vcpus);
	vmm_do(&parent, VMM_RESUME);
	for (unsigned i = 0; i < ARRAY_SIZE(children); i++)
		vmm_do(&children[i], VMM_START);
	expect_goes_on(&children[0], last);
	expect_goes_on(&children[1], last);
	/* The parent, too. */
	(void)usleep(20000);
	counts(&parent, &first, &more);
	cr_expect_gt(more, last);
	vmm_done(&parent);
	vmm_done(&children[0]);
	vmm_done(&children[1]);
	snapshot_close(&s);
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

	snapshot_boot(&a, "test=count", 1);
	vmm_console_until(&a, "count 2\n");
	s = snapshot_take(&a);
	snapshot_must_restore(&b, &s, 1);
	vmm_do(&b, VMM_START);
	vmm_console_until(&b, "count 9\n");
	t = snapshot_take(&b);
	counts(&b, &first, &last);
	snapshot_must_restore(&c, &t, 1);
	vmm_do(&c, VMM_START);
	expect_goes_on(&c, last);
	vmm_done(&a);
	vmm_done(&b);
	vmm_done(&c);
	snapshot_close(&s);
	snapshot_close(&t);
}

/* In the middle of disk traffic, over several generations: the guest checks what it reads. */
Test(vmm_snapshot, with_requests_under_way)
{
	static uint8_t disk[256 * KIB];
	configure_req q = snapshot_request("test=blk-loop", 1, false);
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
	vmm_do(&v, VMM_START);
	vmm_console_until(&v, "looping\n");
	for (unsigned i = 0; i < GENERATIONS; i++) {
		(void)usleep(3000 + 700 * i);
		s = snapshot_take(&v);
		vmm_done(&v);
		q.restore = f.restore = true;
		f.state = s.state;
		f.memory = s.memory;
		vmm_spawn(&v, &f);
		vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
		vmm_do(&v, VMM_START);
		snapshot_close(&s);
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
	struct snapshot s = snapshot_new();

	cr_assert_eq(
		ftruncate(s.memory, (off_t)(SNAPSHOT_MEMORY + snap_bitmap_bytes(SNAPSHOT_MEMORY))),
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

	for (uint64_t at = 0; at < SNAPSHOT_MEMORY; at += MIB) {
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
	vmm_do(v, VMM_START);
	fd_closep(&f->kernel);
}

/* Full, incremental, incremental: merged, they are what a full one of the same moment is, and the
 * guest goes on from them. */
Test(vmm_snapshot, incremental)
{
	const Casemate__Vmm__V1__SnapshotRequest full = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	configure_req q = snapshot_request("test=count", 1, false);
	struct vmm_files f = { .initrd = -1 };
	struct snapshot s, diffs[2], whole, m[2];
	uint64_t first = 0, last = 0;
	struct vmm v, child;

	boot_tracked(&v, &q, &f);
	vmm_console_until(&v, "count 3\n");
	s = snapshot_take(&v);
	vmm_do(&v, VMM_RESUME);
	vmm_console_until(&v, "count 9\n");
	vmm_do(&v, VMM_PAUSE);
	diffs[0] = take_incremental(&v);
	vmm_do(&v, VMM_RESUME);
	vmm_console_until(&v, "count 15\n");
	vmm_do(&v, VMM_PAUSE);
	diffs[1] = take_incremental(&v);
	counts(&v, &first, &last);
	whole = snapshot_new();
	vmm_must(&v, VMM_SNAPSHOT, &full, (const int[]){ whole.state, whole.memory }, NULL);
	vmm_done(&v);
	cr_expect_lt(blocks_of(diffs[1].memory), blocks_of(whole.memory) / 2, "%jd blocks of %jd",
		     (intmax_t)blocks_of(diffs[1].memory), (intmax_t)blocks_of(whole.memory));
	m[0] = merged(&s, &diffs[0]);
	m[1] = merged(&m[0], &diffs[1]);
	expect_same_bytes(m[1].memory, whole.memory);
	snapshot_must_restore(&child, &m[1], 1);
	vmm_do(&child, VMM_START);
	expect_goes_on(&child, last);
	vmm_done(&child);
	for (unsigned i = 0; i < 2; i++) {
		snapshot_close(&diffs[i]);
		snapshot_close(&m[i]);
	}
	snapshot_close(&s);
	snapshot_close(&whole);
}

/* What the VMM writes for its devices is in it: KVM knows nothing of that. After a restore, too. */
Test(vmm_snapshot, incremental_of_what_devices_write)
{
	static uint8_t disk[256 * KIB];
	const Casemate__Vmm__V1__SnapshotRequest full = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	configure_req q = snapshot_request("test=blk-loop", 1, false);
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
	s = snapshot_take(&v);
	vmm_done(&v);
	q.restore = f.restore = true;
	f.state = s.state;
	f.memory = s.memory;
	f.kernel = -1;
	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_do(&v, VMM_START);
	(void)usleep(20000);
	vmm_do(&v, VMM_PAUSE);
	diff = take_incremental(&v);
	whole = snapshot_new();
	vmm_must(&v, VMM_SNAPSHOT, &full, (const int[]){ whole.state, whole.memory }, NULL);
	vmm_done(&v);
	m = merged(&s, &diff);
	expect_same_bytes(m.memory, whole.memory);
	snapshot_close(&s);
	snapshot_close(&diff);
	snapshot_close(&whole);
	snapshot_close(&m);
	fd_closep(&f.drives[0].fd);
}

Test(vmm_snapshot, incremental_refused)
{
	Casemate__Vmm__V1__SnapshotRequest inc = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	configure_req q = snapshot_request("test=count", 1, false);
	struct vmm_files f = { .initrd = -1 };
	struct snapshot s = new_incremental_files();
	const int fds[2] = { s.state, s.memory };
	struct rpc_status st;
	struct vmm v;

	inc.incremental = true;
	snapshot_boot(&v, "test=count", 1);
	vmm_do(&v, VMM_PAUSE);
	cr_expect_eq(vmm_call(&v, VMM_SNAPSHOT, &inc, fds, &st, NULL), RPC_FAILED_PRECONDITION);
	cr_expect(strstr(st.msg, "no dirty log") != NULL, "%s", st.msg);
	vmm_done(&v);
	boot_tracked(&v, &q, &f);
	vmm_do(&v, VMM_PAUSE);
	cr_expect_eq(vmm_call(&v, VMM_SNAPSHOT, &inc, fds, &st, NULL), RPC_FAILED_PRECONDITION);
	cr_expect(strstr(st.msg, "none before") != NULL, "%s", st.msg);
	vmm_done(&v);
	snapshot_close(&s);
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

	snapshot_boot(&parent, "test=genid", 1);
	vmm_console_until(&parent, "tick\n");
	s = snapshot_take(&parent);
	cr_assert_eq(generation(&parent, parents), 1);
	for (unsigned i = 0; i < 2; i++) {
		snapshot_must_restore(&child, &s, 1);
		vmm_do(&child, VMM_START);
		/* A whole line: the console may be read in the middle of one. */
		for (int t = 0; t < 10000 && generation(&child, clones[i]) == 0; t++)
			(void)usleep(1000);
		cr_assert_geq(generation(&child, clones[i]), 1);
		cr_expect_str_neq(clones[i], parents);
		vmm_done(&child);
	}
	cr_expect_str_neq(clones[0], clones[1]);
	vmm_do(&parent, VMM_RESUME);
	vmm_console_until(&parent, "tick\ntick\ntick\n");
	cr_expect_eq(generation(&parent, again), 1);
	cr_expect_str_eq(again, parents);
	vmm_done(&parent);
	snapshot_close(&s);
}

/* One that is asked for; and the positive control: with the parent's, nothing is new. */
Test(vmm_snapshot, has_the_generation_that_is_asked_for)
{
	uint8_t id[16] = "sixteen bytes...";
	configure_req q = snapshot_request("test=genid", 1, false);
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
	vmm_do(&v, VMM_START);
	vmm_console_until(&v, "tick\n");
	s = snapshot_take(&v);
	cr_assert_eq(generation(&v, parents), 1);
	cr_expect_str_eq(parents, "7369787465656e2062797465732e2e2e");
	vmm_done(&v);
	q.restore = true;
	cr_assert_eq(snapshot_restore(&v, &s, &q, &st), RPC_OK, "%s", st.msg);
	vmm_do(&v, VMM_START);
	vmm_console_until(&v, "tick\ntick\n");
	cr_expect(generation(&v, cloned) == 0 || strcmp(cloned, parents) == 0);
	vmm_done(&v);
	q.generation.len = 15;
	cr_expect_eq(snapshot_restore(&v, &s, &q, &st), RPC_INVALID_ARGUMENT, "%s", st.msg);
	vmm_done(&v);
	fd_closep(&f.kernel);
	snapshot_close(&s);
}
