/* SPDX-License-Identifier: Apache-2.0 */
/*
 * working_set.h - pages that a VM is known to write as soon as it goes on from a snapshot: runs of
 * them, as they stand in Configure (docs/SNAPSHOT.md). Whoever has written them in advance spares
 * the guest up to three faults for each.
 *
 * Pages are numbered as in the memory's file: 4 KiB each, without the hole. No I/O; any thread.
 */
#ifndef API_PROTO_WORKING_SET_H
#define API_PROTO_WORKING_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKING_SET_PAGE_BYTES 4096U
#define WORKING_SET_RUNS_MAX   512U
#define WORKING_SET_PAGES_MAX  2048U /* so 8 MiB: what a VM that lies ready may cost more */

struct working_set {
	uint32_t pairs[2 * WORKING_SET_RUNS_MAX]; /* first page, pages; ascending, apart */
	size_t count;				  /* of numbers, so even */
	uint32_t pages;				  /* in all */
};

/* Adds the pages whose bits are set; bit 0 of bits[0] is page `first`, which lies behind all that
 * are in it. What is over one of the limits is left out: true = nothing more goes in. */
bool working_set_add_bits(struct working_set *w, uint32_t first, const uint8_t *bits, size_t bytes);

/* Can these numbers, which anybody may have sent, be one's pairs, for a memory of this size? */
bool working_set_valid(const uint32_t *pairs, size_t count, uint64_t memory_bytes);

#endif
