/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl.h - addresses, neighbours and routes of the calling process's network namespace, one
 * rtnetlink request each, of IPv4. Addresses are in host byte order. 0 or the kernel's -errno.
 * What has been there before is an error: a jail's namespace is new.
 */
#ifndef JAILER_RTNL_H
#define JAILER_RTNL_H

#include <stdint.h>

#include "base/compiler.h"

#define RTNL_LOOPBACK 1 /* its index in every namespace: LOOPBACK_IFINDEX */

/* A socket for the others: the fd or -errno. */
MUST_USE int rtnl_open(void);
MUST_USE int rtnl_add_address(int rtnl, int ifindex, uint32_t addr, unsigned prefix);
/* For ever: neither learnt anew nor forgotten. */
MUST_USE int rtnl_add_neighbour(int rtnl, int ifindex, uint32_t addr, const unsigned char mac[6]);
/* Whatever has no better route is delivered here, as if it were ours (the main table, where
 * better ones are found; ip route add local default dev lo table main). */
MUST_USE int rtnl_add_local_default(int rtnl);

#endif
