/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_live.c - snapshots of a VM that runs: all of one moment, and the VM hardly notices. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/native/snapshot_rig.h"

#define CONSOLE_CAP 65536U
#define GOES_ON_MS  20000U
#define ROUNDS	    2U
/* Of tests/guest/ripple.c. */
#define RIPPLE_FIRST (16 * MIB)
#define RIPPLE_PAGES 512U
#define PAGE_BYTES   4096U

static void boot(struct vmm *v, bool track_dirty, unsigned vcpus)
{
	configure_req q = vmm_request("test=ripple");
	struct vmm_files f = { .initrd = -1 };

	need_kvm();
	q.vcpus = vcpus;
	q.track_dirty = track_dirty;
	f.kernel = open_guest();
	vmm_spawn(v, &f);
	vmm_must(v, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_do(v, VMM_START);
	fd_closep(&f.kernel);
	vmm_console_until(v, "wave 32\n");
}

static struct snapshot take_live(struct vmm *v)
{
	Casemate__Vmm__V1__SnapshotRequest q = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	struct snapshot s = snapshot_new();
	const int fds[2] = { s.state, s.memory };

	q.live = true;
	vmm_must(v, VMM_SNAPSHOT, &q, fds, NULL);
	return s;
}

static struct snapshot take_split(struct vmm *v)
{
	const Casemate__Vmm__V1__SnapshotSplitRequest q =
		CASEMATE__VMM__V1__SNAPSHOT_SPLIT_REQUEST__INIT;
	struct snapshot s = snapshot_new_split();
	const int fds[3] = { s.state, s.memory, s.rest };

	vmm_must(v, VMM_SNAPSHOT_SPLIT, &q, fds, NULL);
	return s;
}

static void restore(struct vmm *v, const struct snapshot *s)
{
	configure_req q = vmm_request("");
	struct rpc_status st;

	q.restore = true;
	q.track_dirty = true;
	cr_assert_eq(snapshot_restore(v, s, &q, &st), RPC_OK, "%s", st.msg);
	vmm_do(v, VMM_START);
}

static size_t console_length(struct vmm *v)
{
	static char text[CONSOLE_CAP];
	size_t n = vmm_console(v, text, sizeof(text));

	cr_assert(strstr(text, "moment") == NULL, "%s", text);
	return n;
}

/* Two more waves have gone over all pages, and found nothing wrong. */
static void expect_goes_on(struct vmm *v)
{
	size_t before = console_length(v), now = before;
	uint64_t end = now_ms() + GOES_ON_MS;

	while (now < before + sizeof("wave 32\nwave 64\n") - 1 && now_ms() < end) {
		(void)usleep(5000);
		now = console_length(v);
	}
	cr_assert_gt(now, before, "it stands still");
}

static void parent_and_children(bool track_dirty, struct snapshot (*take)(struct vmm *))
{
	struct vmm parent, child, grandchild;
	struct snapshot s, t;

	boot(&parent, track_dirty, 1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		s = take(&parent);
		restore(&child, &s);
		t = take(&child);
		restore(&grandchild, &t);
		expect_goes_on(&child);
		expect_goes_on(&grandchild);
		vmm_done(&child);
		vmm_done(&grandchild);
		snapshot_close(&s);
		snapshot_close(&t);
	}
	expect_goes_on(&parent);
	vmm_done(&parent);
}

Test(vmm_live, all_of_one_moment)
{
	parent_and_children(true, take_live);
}

Test(vmm_live, without_marks)
{
	parent_and_children(false, take_live);
}

/* Two threads, two files; the grandchild's pages come from two generations of them. */
Test(vmm_live, all_of_one_moment_in_two_files)
{
	parent_and_children(true, take_split);
}

/* All of it is in the first file then. */
Test(vmm_live, without_marks_in_two_files)
{
	parent_and_children(false, take_split);
}

static off_t data_of(int fd)
{
	off_t end = 0, data;
	off_t bytes = 0;

	while ((data = lseek(fd, end, SEEK_DATA)) >= 0) {
		end = lseek(fd, data, SEEK_HOLE);
		bytes += end - data;
	}
	return bytes;
}

/* Each thread has about half of the work. */
Test(vmm_live, halves)
{
	struct vmm v;
	struct snapshot s;

	boot(&v, true, 1);
	s = take_split(&v);
	cr_expect_gt(data_of(s.memory), (off_t)(RIPPLE_PAGES * PAGE_BYTES / 3));
	cr_expect_gt(data_of(s.rest), (off_t)(RIPPLE_PAGES * PAGE_BYTES / 3));
	vmm_done(&v);
	snapshot_close(&s);
}

/* A file that can't be of use is refused before anything is in it, and the VM goes on. */
Test(vmm_live, files_that_are_refused)
{
	const Casemate__Vmm__V1__SnapshotSplitRequest q =
		CASEMATE__VMM__V1__SNAPSHOT_SPLIT_REQUEST__INIT;
	struct snapshot s = snapshot_new_split();
	struct rpc_status st;
	struct vmm v;

	boot(&v, true, 1);
	cr_assert_eq(ftruncate(s.rest, SNAPSHOT_MEMORY / 2), 0);
	cr_expect_neq(vmm_call(&v, VMM_SNAPSHOT_SPLIT, &q,
			       (const int[]){ s.state, s.memory, s.rest }, &st, NULL),
		      RPC_OK);
	cr_assert_eq(ftruncate(s.rest, SNAPSHOT_MEMORY), 0);
	cr_assert_eq(pwrite(s.rest, "x", 1, 0), 1);
	cr_expect_neq(vmm_call(&v, VMM_SNAPSHOT_SPLIT, &q,
			       (const int[]){ s.state, s.memory, s.rest }, &st, NULL),
		      RPC_OK);
	cr_expect_eq(data_of(s.memory), 0);
	expect_goes_on(&v);
	vmm_done(&v);
	snapshot_close(&s);
}

static off_t ripple_page(unsigned i)
{
	return (off_t)(RIPPLE_FIRST + (uint64_t)i * PAGE_BYTES);
}

/* The file that has it: the other one has a hole there. */
static int file_of(const struct snapshot *s, unsigned i)
{
	const off_t at = ripple_page(i);

	return s->rest > 0 && lseek(s->rest, at, SEEK_DATA) == at ? s->rest : s->memory;
}

static uint64_t number_of(const struct snapshot *s, unsigned i)
{
	uint64_t n = 0;

	cr_assert_eq(pread(file_of(s, i), &n, sizeof(n), ripple_page(i)), (ssize_t)sizeof(n));
	return n;
}

/* The page that the wave was at: the first one that hasn't the first one's number. */
static unsigned wave_at(const struct snapshot *s)
{
	const uint64_t first = number_of(s, 0);
	unsigned i = 1;

	while (i < RIPPLE_PAGES && number_of(s, i) == first)
		i++;
	return i % RIPPLE_PAGES;
}

/* Of the parent's later life, one page that the wave wasn't at: the guest may have looked at
 * that one already, and then only writes it. */
static void a_page_of_later(struct snapshot (*take)(struct vmm *))
{
	struct vmm parent, child;
	struct snapshot s, later;
	uint8_t page[PAGE_BYTES], then[PAGE_BYTES];
	unsigned i;
	wait_resp *w;

	boot(&parent, true, 1);
	s = take(&parent);
	i = (wave_at(&s) + RIPPLE_PAGES / 2) % RIPPLE_PAGES;
	expect_goes_on(&parent);
	later = take(&parent);
	cr_assert_eq(pread(file_of(&s, i), then, sizeof(then), ripple_page(i)),
		     (ssize_t)sizeof(then));
	cr_assert_eq(pread(file_of(&later, i), page, sizeof(page), ripple_page(i)),
		     (ssize_t)sizeof(page));
	cr_assert_neq(memcmp(page, then, sizeof(page)), 0, "nothing has changed since");
	cr_assert_eq(pwrite(file_of(&s, i), page, sizeof(page), ripple_page(i)),
		     (ssize_t)sizeof(page));
	restore(&child, &s);
	w = vmm_wait(&child);
	cr_expect(memmem(w->console_tail.data, w->console_tail.len, "moment", 6) != NULL);
	vmm_free_wait(w);
	vmm_done(&child);
	vmm_done(&parent);
	snapshot_close(&s);
	snapshot_close(&later);
}

/* The control of the above: a page of the parent's later life is found at once. */
Test(vmm_live, a_page_of_later_is_found)
{
	a_page_of_later(take_live);
}

Test(vmm_live, a_page_of_later_is_found_in_two_files)
{
	a_page_of_later(take_split);
}

static bool stands_still(struct vmm *v)
{
	const size_t before = console_length(v);

	(void)usleep(100 * 1000);
	return console_length(v) == before;
}

/* At the moment of the snapshot, for what else is to be of that moment. */
static void stays_paused(bool track_dirty)
{
	const Casemate__Vmm__V1__ResumeRequest resume = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	Casemate__Vmm__V1__SnapshotSplitRequest q = CASEMATE__VMM__V1__SNAPSHOT_SPLIT_REQUEST__INIT;
	struct snapshot s = snapshot_new_split(), bad = snapshot_new_split();
	const int fds[3] = { s.state, s.memory, s.rest };
	struct rpc_status st;
	struct vmm v, child;

	boot(&v, track_dirty, 1);
	q.stay_paused = true;
	/* It fails: then it runs. */
	cr_assert_eq(ftruncate(bad.memory, 0), 0);
	cr_expect_neq(vmm_call(&v, VMM_SNAPSHOT_SPLIT, &q,
			       (const int[]){ bad.state, bad.memory, bad.rest }, &st, NULL),
		      RPC_OK);
	expect_goes_on(&v);
	vmm_must(&v, VMM_SNAPSHOT_SPLIT, &q, fds, NULL);
	cr_expect(stands_still(&v));
	restore(&child, &s);
	expect_goes_on(&child);
	vmm_do(&v, VMM_RESUME);
	expect_goes_on(&v);
	cr_expect_eq(vmm_call(&v, VMM_RESUME, &resume, NULL, &st, NULL), RPC_FAILED_PRECONDITION);
	vmm_done(&child);
	vmm_done(&v);
	snapshot_close(&s);
	snapshot_close(&bad);
}

Test(vmm_live, stays_paused)
{
	stays_paused(true);
}

Test(vmm_live, stays_paused_without_marks)
{
	stays_paused(false);
}

static void note_end(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	(void)out;
	(void)fds;
	*(enum rpc_code *)arg = st->code;
}

/* Who waits no longer says Resume at any moment, and finds it running; while it is being copied,
 * that is not to pause it. */
Test(vmm_live, let_run_before_it_is_paused)
{
	static const struct rpc_pending_ops ops = { .done = note_end };
	Casemate__Vmm__V1__SnapshotSplitRequest q = CASEMATE__VMM__V1__SNAPSHOT_SPLIT_REQUEST__INIT;
	struct snapshot s = snapshot_new_split();
	const int fds[3] = { s.state, s.memory, s.rest };
	enum rpc_code code = RPC_UNKNOWN;
	struct rpc_pending *p;
	struct vmm v;

	boot(&v, true, 1);
	q.stay_paused = true;
	cr_assert_eq(rpc_start(v.conn, &vmm_methods[VMM_SNAPSHOT_SPLIT], &q.base, fds, GOES_ON_MS,
			       &ops, &code, &p),
		     0);
	vmm_do(&v, VMM_RESUME);
	while (code == RPC_UNKNOWN)
		cr_assert_geq(loop_step(v.loop, 100), 0);
	cr_expect_eq(code, RPC_OK);
	expect_goes_on(&v);
	vmm_done(&v);
	snapshot_close(&s);
}

Test(vmm_live, only_of_a_running_vm)
{
	const Casemate__Vmm__V1__PauseRequest p = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	Casemate__Vmm__V1__SnapshotRequest q = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	const Casemate__Vmm__V1__SnapshotSplitRequest split =
		CASEMATE__VMM__V1__SNAPSHOT_SPLIT_REQUEST__INIT;
	struct rpc_status st;
	struct snapshot s;
	struct vmm v;

	boot(&v, true, 1);
	s = snapshot_new();
	/* Of a running VM, but not live. */
	cr_expect_eq(vmm_call(&v, VMM_SNAPSHOT, &q, (const int[]){ s.state, s.memory }, &st, NULL),
		     RPC_FAILED_PRECONDITION, "%s", st.msg);
	vmm_must(&v, VMM_PAUSE, &p, NULL, NULL);
	cr_expect_eq(vmm_call(&v, VMM_SNAPSHOT_SPLIT, &split,
			      (const int[]){ s.state, s.memory, s.memory }, &st, NULL),
		     RPC_FAILED_PRECONDITION, "%s", st.msg);
	q.live = true;
	cr_expect_eq(vmm_call(&v, VMM_SNAPSHOT, &q, (const int[]){ s.state, s.memory }, &st, NULL),
		     RPC_FAILED_PRECONDITION, "%s", st.msg);
	vmm_done(&v);
	snapshot_close(&s);
}
