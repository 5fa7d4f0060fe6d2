/* SPDX-License-Identifier: Apache-2.0 */
/* power.h - the machine's end. For PID 1. */
#ifndef AGENT_POWER_H
#define AGENT_POWER_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

/* Ends all processes, writes what is unwritten, and turns the machine off or restarts it. */
NORETURN void power_down(bool restart);

/* The boot failed: says so in one line on the console, by the kernel's log, and powers off. */
NORETURN void power_fail(const struct err *err);

#endif
