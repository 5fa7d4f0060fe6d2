/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot.h - the numbers that make one jail's identity: a slot gives a uid (and gid) and an SELinux
 * category pair that no other jail on this host has.
 *
 * A slot is given back only when nothing of the jail is left (process reaped, cgroup removed), so
 * a new jail can never meet an old one under its own identity. Slots go round: a freed one is
 * used again as late as possible. Which slots are this jailer's at all is in identity.h. Not
 * thread-safe.
 */
#ifndef JAILER_SLOT_H
#define JAILER_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define SLOT_COUNT    4096U
#define SLOT_BLOCK    256U /* they are owned in blocks of this */
#define SLOT_BLOCKS   (SLOT_COUNT / SLOT_BLOCK)
#define SLOT_MCS_MAX  32
#define SLOT_UID_BASE 0x70000000U
#define SLOT_NONE     UINT32_MAX

struct slots {
	uint32_t next; /* where the search begins */
	uint64_t used[SLOT_COUNT / 64];
};

/* None is free. */
void slots_init(struct slots *s);
/* The slots of a block become free: they are ours. */
void slots_add_block(struct slots *s, unsigned block);
/* How many are free. */
unsigned slots_free(const struct slots *s);

/* A free slot, or SLOT_NONE. */
MUST_USE uint32_t slot_take(struct slots *s);
/* slot was taken. */
void slot_put(struct slots *s, uint32_t slot);

/* Of its VMM, and of its casemate-egress: SLOT_UIDS of them follow uid_base. */
#define SLOT_UIDS (2 * SLOT_COUNT)
uint32_t slot_uid(uint32_t slot, uint32_t uid_base);
uint32_t slot_egress_uid(uint32_t slot, uint32_t uid_base);

/* The level "s0:cA,cB", A < B < 1024, of its own for each slot. */
void slot_level(uint32_t slot, char ret[SLOT_MCS_MAX]);

#endif
