/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ripple.c - a wave that goes over 2 MiB of memory, page by page, for ever: each page must have the
 * number of the last wave when the next one comes. So at any instant the pages before the place
 * where it is have one number and those behind it the number before; a page of a moment earlier or
 * later than the rest of a snapshot is found within one wave.
 */
#include "guest.h"

#define FIRST (UINT64_C(16) << 20)
#define PAGES 512U
#define STEP  4096U

static volatile uint64_t *page(uint64_t i)
{
	return (volatile uint64_t *)(FIRST + i * STEP);
}

void test_ripple(void)
{
	for (uint64_t i = 0; i < PAGES; i++)
		*page(i) = 1;
	for (uint64_t wave = 1;; wave++) {
		for (uint64_t i = 0; i < PAGES; i++) {
			if (*page(i) != wave)
				test_fail("a page of another moment", i);
			*page(i) = wave + 1;
		}
		if (wave % 32 == 0) {
			print("wave ");
			print_u64(wave);
			print("\n");
		}
	}
}
