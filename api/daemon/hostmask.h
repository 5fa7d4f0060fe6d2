/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostmask.h - what a sandbox's own servers see as Host in place of the name that clients reach
 * them by: E2B's maskRequestHost, a host in which ${PORT} stands for the guest's port. Pure.
 */
#ifndef API_DAEMON_HOSTMASK_H
#define API_DAEMON_HOSTMASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define HOSTMASK_MAX 255U /* bytes of a mask, and of what becomes of it */

/* May it become a Host field, whatever the port: a name or an address, and perhaps a port? */
bool hostmask_valid(const char *mask);
/* mask: a valid one. */
void hostmask_expand(const char *mask, uint16_t port, char ret[HOSTMASK_MAX + 1]);

#endif
