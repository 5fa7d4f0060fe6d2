/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - what the guest's kernel says of which machine this is, where a machine goes on as
 * another one: in a fork, and in what comes from a snapshot. For PID 1.
 */
#ifndef AGENT_MACHINE_H
#define AGENT_MACHINE_H

#include "base/compiler.h"
#include "base/err.h"

/* Throws away what the kernel has read of the host's random numbers in advance (/dev/hwrng): it was
 * in the memory, so all that go on from there would be given the same. Never waits. */
void machine_drain_rng(void);

/*
 * Another boot id than the kernel's, which keeps the one that it has shown once: a file over
 * /proc/sys/kernel/random/boot_id, for all that see this mount namespace. A system without /proc
 * or /run has its own idea of these: 0. Else 0 or -errno.
 */
MUST_USE int machine_renew_boot_id(struct err *err);

#endif
