/* SPDX-License-Identifier: Apache-2.0 */
/* power.h - the machine's end. For PID 1. */
#ifndef AGENT_POWER_H
#define AGENT_POWER_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

/* Ends all processes, writes what is unwritten, and turns the machine off or restarts it. */
NORETURN void power_down(bool restart);

/* It can't go on: says so in one line on the console, by the kernel's log, and powers off. `what`
 * is "boot failed" or the like. */
NORETURN void power_fail(const char *what, const struct err *err);

#endif
