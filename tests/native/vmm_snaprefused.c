/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_snaprefused.c - what no VM goes on from: other machines, other processors, damaged files. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/num.h"
#include "tests/native/snapshot_rig.h"
#include "vmm/snapshot/file.h"

#define CPUID_MAX 256U

static struct snapshot a_snapshot(void)
{
	struct snapshot s;
	struct vmm v;

	snapshot_boot(&v, "test=count", 1);
	vmm_console_until(&v, "count 2\n");
	s = snapshot_take(&v);
	vmm_done(&v);
	return s;
}

static void expect_refused(const struct snapshot *s, const configure_req *q, const char *why)
{
	struct rpc_status st;
	struct vmm v;

	cr_expect_neq(snapshot_restore(&v, s, q, &st), RPC_OK, "%s", why);
	cr_expect(strstr(st.msg, why) != NULL, "%s, expected %s", st.msg, why);
	rpc_conn_free(v.conn); /* it needn't wait for us */
	v.conn = NULL;
	cr_expect_eq(vmm_reap(&v), 1);
	vmm_done(&v);
}

Test(vmm_snaprefused, of_another_machine)
{
	struct snapshot s = a_snapshot();
	configure_req q = snapshot_request("", 2, true);

	expect_refused(&s, &q, "1 vCPUs, not 2");
	q = snapshot_request("", 1, true);
	q.memory_bytes = 2 * SNAPSHOT_MEMORY;
	expect_refused(&s, &q, "64 MiB of memory, not 128");
	q = snapshot_request("", 1, true);
	q.rng = true;
	expect_refused(&s, &q, "devices");
	snapshot_close(&s);
}

/* Pages that aren't the memory's; with those that are, it goes on (the control). */
Test(vmm_snaprefused, with_a_working_set)
{
	static const uint32_t end = SNAPSHOT_MEMORY / 4096;
	uint32_t pairs[] = { 0, 16, end - 1, 2 };
	struct snapshot s = a_snapshot();
	configure_req q = snapshot_request("", 1, true);
	struct rpc_status st;
	struct vmm v;

	q.working_set = pairs;
	q.n_working_set = 4;
	expect_refused(&s, &q, "working_set");
	q.n_working_set = 3;
	expect_refused(&s, &q, "working_set");
	pairs[3] = 1;
	q.n_working_set = 4;
	cr_assert_eq(snapshot_restore(&v, &s, &q, &st), RPC_OK, "%s", st.msg);
	vmm_do(&v, VMM_START);
	vmm_console_until(&v, "count ");
	vmm_done(&v);
	snapshot_close(&s);
}

/* ---- A memory in two files ---------------------------------------------------------------- */

static struct snapshot a_split_snapshot(void)
{
	const Casemate__Vmm__V1__SnapshotSplitRequest split =
		CASEMATE__VMM__V1__SNAPSHOT_SPLIT_REQUEST__INIT;
	configure_req q = snapshot_request("test=count", 1, false);
	struct snapshot s = snapshot_new_split();
	struct vmm_files f = { .initrd = -1 };
	struct vmm v;

	need_kvm();
	f.kernel = open_guest();
	q.track_dirty = true;
	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_do(&v, VMM_START);
	(void)close(f.kernel);
	vmm_console_until(&v, "count 2\n");
	vmm_must(&v, VMM_SNAPSHOT_SPLIT, &split, (const int[]){ s.state, s.memory, s.rest }, NULL);
	vmm_done(&v);
	return s;
}

/* Where the state file says that it is split; *ret_at: where it says so. */
static uint64_t read_split(const struct snapshot *s, off_t *ret_at)
{
	static uint8_t bytes[SNAP_BYTES_MAX];
	static struct snap_reader r;
	const struct snap_section *split;
	struct err err = { 0 };
	ssize_t len = pread(s->state, bytes, sizeof(bytes), 0);
	le64_t at;

	cr_assert_gt(len, 0);
	cr_assert_eq(snap_open(&r, bytes, (size_t)len, &err), 0, "%s", err.msg);
	split = snap_find(&r, SNAP_SPLIT, 0);
	cr_assert(split != NULL && split->len == sizeof(at));
	memcpy(&at, split->data, sizeof(at));
	*ret_at = (const uint8_t *)split->data - bytes;
	return le64_get(at);
}

/* One of the files isn't there, or isn't what it should be; or the state splits it where that can't
 * be. */
Test(vmm_snaprefused, half_a_memory)
{
	const uint64_t nowhere[] = { SNAPSHOT_MEMORY + 4096, UINT64_MAX, UINT64_MAX - 4095, 1 };
	const configure_req q = snapshot_request("", 1, true);
	struct snapshot s = a_split_snapshot(), half = s;
	off_t at;
	const uint64_t split = read_split(&s, &at);
	struct vmm v;

	cr_assert(split > 0 && split < SNAPSHOT_MEMORY);
	half.rest = 0;
	expect_refused(&half, &q, "memory file");
	half.rest = s.state;
	expect_refused(&half, &q, "memory file");
	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
		cr_assert_eq(pwrite(s.state, &nowhere[i], sizeof(nowhere[i]), at), 8);
		expect_refused(&s, &q, "can't be split");
	}
	/* The control: as it was, it goes on. */
	cr_assert_eq(pwrite(s.state, &split, sizeof(split), at), 8);
	snapshot_must_restore(&v, &s, 1);
	vmm_do(&v, VMM_START);
	vmm_console_until(&v, "count ");
	vmm_done(&v);
	snapshot_close(&s);
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
Test(vmm_snaprefused, of_another_processor)
{
	struct kvm_cpuid_entry2 table[CPUID_MAX], *e;
	struct snapshot s = a_snapshot();
	configure_req q = snapshot_request("", 1, true);
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
	snapshot_must_restore(&v, &s, 1); /* the control */
	vmm_done(&v);
	snapshot_close(&s);
}

Test(vmm_snaprefused, files_cut_off)
{
	struct snapshot s = a_snapshot();
	configure_req q = snapshot_request("", 1, true);
	struct stat st;

	cr_assert_eq(fstat(s.state, &st), 0);
	cr_assert_eq(ftruncate(s.memory, SNAPSHOT_MEMORY - 4096), 0);
	expect_refused(&s, &q, "memory file");
	cr_assert_eq(ftruncate(s.memory, SNAPSHOT_MEMORY), 0);
	cr_assert_eq(ftruncate(s.state, st.st_size - 8), 0);
	expect_refused(&s, &q, "it should have");
	cr_assert_eq(ftruncate(s.state, 0), 0);
	expect_refused(&s, &q, "state file: 0 bytes");
	snapshot_close(&s);
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
	refused = snapshot_restore(&v, s, q, &why) != RPC_OK;
	if (!refused) {
		vmm_do(&v, VMM_START);
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
Test(vmm_snaprefused, bits_flipped, .timeout = 3600)
{
	const char *seconds = getenv("CASEMATE_SECONDS"), *seed = getenv("CASEMATE_SEED");
	uint64_t end = now_ms(), from = now_ms(), bits, step, at, tried = 0, refused = 0;
	uint64_t limit = 8;
	struct snapshot s = a_snapshot();
	configure_req q = snapshot_request("", 1, true);
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
	snapshot_close(&s);
}
