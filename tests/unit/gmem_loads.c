/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem_loads.c - what the compiler made of the promise that guest memory is fetched once. The page
 * is taken away (PROT_NONE), so that each instruction that touches it faults; the fault is noted,
 * the page given back for one instruction (the trap flag), and taken away again. So this sees the
 * loads of the machine code, whatever the source says: a copy that was optimised into a second look
 * at the shared bytes would be an address that is touched twice.
 */
#include <criterion/criterion.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/bug.h"
#include "base/num.h"
#include "vmm/gmem.h"
#include "vmm/virtio/queue.h"

#define PAGE	    4096U
#define AT	    UINT64_C(0x10000) /* of the watched page */
#define TOUCHES_MAX 512U
#define TRAP_FLAG   0x100

static struct gmem mem;
static uint8_t *page;
static struct {
	uint64_t gpa;
} touches[TOUCHES_MAX];
static unsigned touched;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uint8_t *at = info->si_addr;

	if (at < page || at >= page + PAGE || touched == TOUCHES_MAX) {
		(void)signal(sig, SIG_DFL); /* a fault of its own */
		return;
	}
	touches[touched++].gpa = AT + (uint64_t)(at - page);
	(void)mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	uc->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	(void)mprotect(page, PAGE, PROT_NONE);
}

static void setup(void)
{
	struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct sigaction step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	cr_assert_eq(gmem_init(&mem, 2 * MIB), 0);
	page = mem.regions[0].hva + AT;
	for (unsigned i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(i * 7 + 1);
	cr_assert_eq(sigaction(SIGSEGV, &fault, NULL), 0);
	cr_assert_eq(sigaction(SIGTRAP, &step, NULL), 0);
}

static void watch(void)
{
	touched = 0;
	cr_assert_eq(mprotect(page, PAGE, PROT_NONE), 0);
}

static void unwatch(void)
{
	cr_assert_eq(mprotect(page, PAGE, PROT_READ | PROT_WRITE), 0);
}

/* How many of the noted addresses had been noted before. */
static unsigned repeats(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < touched; i++)
		for (unsigned k = 0; k < i; k++)
			if (touches[i].gpa == touches[k].gpa) {
				n++;
				break;
			}
	return n;
}

#define EXPECT_ONE_LOAD(fn, type, value)                                           \
	do {                                                                       \
		type v_ = 0;                                                       \
		watch();                                                           \
		int r_ = fn(&mem, gpa(AT + 64), &v_);                              \
		unwatch();                                                         \
		cr_expect(r_ == 0 && v_ == (value), "%s: %d", #fn, r_);            \
		cr_expect_eq(touched, 1, "%s: %u loads", #fn, touched);            \
		cr_expect_eq(touches[0].gpa, AT + 64, "%s loads from aside", #fn); \
	} while (0)

Test(gmem_loads, a_value_is_one_load, .init = setup)
{
	uint64_t v;

	memcpy(&v, page + 64, sizeof(v));
	EXPECT_ONE_LOAD(gmem_read_le16, uint16_t, (uint16_t)v);
	EXPECT_ONE_LOAD(gmem_read_le16_acquire, uint16_t, (uint16_t)v);
	EXPECT_ONE_LOAD(gmem_read_le32, uint32_t, (uint32_t)v);
	EXPECT_ONE_LOAD(gmem_read_le64, uint64_t, v);
}

Test(gmem_loads, a_copy_looks_nowhere_twice, .init = setup)
{
	for (size_t len = 1; len <= 64; len++) {
		uint8_t got[64], want[64];
		memcpy(want, page + 128, len);
		watch();
		int r = gmem_read(&mem, gpa(AT + 128), got, len);
		unwatch();
		cr_assert_eq(r, 0);
		cr_expect_eq(memcmp(got, want, len), 0, "length %zu", len);
		/* By words and then bytes; all at different addresses, so no byte is loaded twice.
		 */
		cr_expect(touched == len / 8 + len % 8 && repeats() == 0,
			  "length %zu: %u touches, %u repeated", len, touched, repeats());
	}
}

static void put_desc(unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	const struct vring_desc d = { .addr = addr, .len = len, .flags = flags, .next = next };

	memcpy(page + i * sizeof(d), &d, sizeof(d));
}

/* Rings and tables all lie on the watched page; the chain is 0 -> 1 -> table of two. */
static void set_up_queue(struct virtq *q)
{
	const uint16_t avail[] = { 0, 1, 0 };

	memset(page, 0, PAGE);
	put_desc(0, 0x1000, 16, VRING_DESC_F_NEXT, 1);
	put_desc(1, AT + 1024, 2 * sizeof(struct vring_desc), VRING_DESC_F_INDIRECT, 0);
	put_desc(64, 0x2000, 32, VRING_DESC_F_NEXT, 1);
	put_desc(65, 0x3000, 48, VRING_DESC_F_WRITE, 0);
	memcpy(page + 256, avail, sizeof(avail));
	virtq_init(q, &mem, 8);
	q->size = 8;
	q->desc = gpa(AT);
	q->avail = gpa(AT + 256);
	q->used = gpa(AT + 512);
	cr_assert_eq(virtq_enable(q, true, true), 0);
}

Test(gmem_loads, a_queue_looks_nowhere_twice, .init = setup)
{
	static struct virtq_chain chain;
	struct virtq q;
	int r;

	set_up_queue(&q);
	watch();
	r = virtq_pop(&q, &chain);
	unwatch();
	cr_assert_eq(r, 1);
	cr_assert(chain.nread == 2 && chain.nwrite == 1 && chain.read_bytes == 48);
	/* Index, entry, four descriptors. */
	cr_expect_geq(touched, 6, "%u touches", touched);
	cr_expect_eq(repeats(), 0, "%u of %u touches are repeated", repeats(), touched);
}

/* What a double fetch looks like here. */
Test(gmem_loads, a_second_look_is_seen, .init = setup)
{
	volatile uint16_t *p = (volatile void *)(page + 64);
	unsigned sum;

	watch();
	sum = *p;
	sum += *p;
	unwatch();
	cr_expect(touched == 2 && repeats() == 1, "%u touches, sum %u", touched, sum);
}
