/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touch.c - what a page costs when it is touched first, in cycles of the counter: written at once;
 * read and then written; written once more. One line with the medians, for comparing what the VMM
 * was asked to do with memory (vmm-run with and without --track-dirty). Needs 64 MiB.
 */
#include "guest.h"

#define FIRST (UINT64_C(32) << 20)
#define PAGES 2048U
#define STEP  4096U

static uint32_t cycles[PAGES];

/* Shell's sort: short, and quick enough. */
static void sort(void)
{
	for (unsigned gap = PAGES / 2; gap > 0; gap /= 2) {
		for (unsigned i = gap; i < PAGES; i++) {
			uint32_t v = cycles[i];
			unsigned j = i;
			for (; j >= gap && cycles[j - gap] > v; j -= gap)
				cycles[j] = cycles[j - gap];
			cycles[j] = v;
		}
	}
}

static void pass(const char *name, uint64_t from, bool read, bool write)
{
	for (unsigned i = 0; i < PAGES; i++) {
		volatile uint64_t *p = (volatile uint64_t *)(from + (uint64_t)i * STEP);
		uint64_t t0 = rdtsc();

		if (read)
			(void)*p;
		if (write)
			*p = i;
		cycles[i] = (uint32_t)(rdtsc() - t0);
	}
	sort();
	print(name);
	print_u64(cycles[PAGES / 2]);
}

void test_touch(void)
{
	/* Its own page faults shall not count. */
	for (unsigned i = 0; i < PAGES; i++)
		cycles[i] = 1;
	pass("touch write ", FIRST, false, true);
	pass(" read_write ", FIRST + (uint64_t)PAGES * STEP, true, true);
	pass(" again ", FIRST, false, true);
	print("\n");
}
