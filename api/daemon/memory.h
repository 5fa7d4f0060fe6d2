/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - is there memory for one more copy of a VM's? */
#ifndef API_DAEMON_MEMORY_H
#define API_DAEMON_MEMORY_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/* Copies that have been begun, and that nobody knows yet how much of their size they will take. */
struct memory {
	uint64_t promised;
};

/* 0, or -ENOMEM with err: so many bytes more, and all that is promised, would leave the host less
 * than 256 MiB. */
MUST_USE int memory_check(const struct memory *m, uint64_t bytes, struct err *err);
/* The same for a copy that begins: it counts, in *held as well, until memory_settle. */
MUST_USE int memory_promise(struct memory *m, uint64_t bytes, uint64_t *held, struct err *err);
/* It is made, so the host knows what it takes, or won't be. More often than once does no harm. */
void memory_settle(struct memory *m, uint64_t *held);

#endif
