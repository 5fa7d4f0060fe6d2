/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/slot.h"

#include <stdio.h>
#include <string.h>

#include "base/bug.h"

#define MCS_CATEGORIES 1024U
#define MCS_HALF       (MCS_CATEGORIES / 2)

/* Category A comes from the lower half and B from the upper: A < B, and no pair comes twice. */
_Static_assert(SLOT_COUNT % SLOT_BLOCK == 0, "whole blocks");
_Static_assert(SLOT_COUNT <= MCS_HALF * MCS_HALF, "a category pair for each slot");

static bool is_used(const struct slots *s, uint32_t slot)
{
	return (s->used[slot / 64] >> (slot % 64)) & 1;
}

void slots_init(struct slots *s)
{
	*s = (struct slots){ 0 };
	memset(s->used, 0xff, sizeof(s->used));
}

void slots_add_block(struct slots *s, unsigned block)
{
	BUG_ON(block >= SLOT_BLOCKS);
	for (uint32_t i = block * SLOT_BLOCK; i < (block + 1) * SLOT_BLOCK; i++)
		slot_put(s, i);
}

unsigned slots_free(const struct slots *s)
{
	unsigned n = SLOT_COUNT;

	for (unsigned i = 0; i < ARRAY_SIZE(s->used); i++)
		n -= (unsigned)__builtin_popcountll(s->used[i]);
	return n;
}

uint32_t slot_take(struct slots *s)
{
	for (uint32_t i = 0; i < SLOT_COUNT; i++) {
		uint32_t slot = (s->next + i) % SLOT_COUNT;
		if (is_used(s, slot))
			continue;
		s->used[slot / 64] |= UINT64_C(1) << (slot % 64);
		s->next = (slot + 1) % SLOT_COUNT;
		return slot;
	}
	return SLOT_NONE;
}

void slot_put(struct slots *s, uint32_t slot)
{
	BUG_ON(slot >= SLOT_COUNT || !is_used(s, slot));
	s->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

uint32_t slot_uid(uint32_t slot, uint32_t uid_base)
{
	BUG_ON(slot >= SLOT_COUNT);
	return uid_base + slot;
}

uint32_t slot_egress_uid(uint32_t slot, uint32_t uid_base)
{
	return slot_uid(slot, uid_base) + SLOT_COUNT;
}

void slot_level(uint32_t slot, char ret[SLOT_MCS_MAX])
{
	BUG_ON(slot >= SLOT_COUNT);
	(void)snprintf(ret, SLOT_MCS_MAX, "s0:c%u,c%u", slot % MCS_HALF,
		       MCS_HALF + (slot / MCS_HALF) % MCS_HALF);
}
