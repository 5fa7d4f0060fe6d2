/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr.h - IP addresses and prefixes, and which of them a guest never reaches by itself. Pure.
 *
 * There is one form: sixteen bytes, IPv4 as ::ffff:a.b.c.d. So an IPv4 address that comes as IPv6
 * is the same address, and no list can be passed by writing it the other way.
 */
#ifndef EGRESS_ADDR_H
#define EGRESS_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/compiler.h"

#define ADDR_TEXT_MAX 46U /* INET6_ADDRSTRLEN */

struct addr {
	uint8_t b[16];
};

struct prefix {
	struct addr addr; /* the bits behind the prefix are 0 */
	unsigned bits;	  /* 0..128; of IPv4 96..128 */
};

bool addr_is_v4(const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b);
/* From 4 bytes of an A record, 16 of an AAAA record. */
struct addr addr_from_v4(const uint8_t bytes[4]);
struct addr addr_from_v6(const uint8_t bytes[16]);

/* 0 or -EAFNOSUPPORT. port may be NULL. */
MUST_USE int addr_from_sockaddr(const struct sockaddr_storage *ss, struct addr *ret,
				uint16_t *ret_port);
/* IPv4 addresses become AF_INET: the length. */
socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ret);

/* Whole text, no zone, no port. 0 or -EINVAL. */
MUST_USE int addr_parse(const char *text, struct addr *ret);
void addr_format(const struct addr *a, char text[ADDR_TEXT_MAX]);

/* ADDRESS or ADDRESS/BITS; bits behind the prefix are cleared. 0 or -EINVAL. */
MUST_USE int prefix_parse(const char *text, struct prefix *ret);
/* An IPv6 prefix never has an IPv4 address: ::/0 is all of IPv6. */
bool prefix_has(const struct prefix *p, const struct addr *a);

/*
 * Not a place on the internet: this host, private networks, links, groups, documentation, tunnels
 * into IPv4, and addresses at which clouds tell machines their secrets. Of IPv6 only global unicast
 * passes. Source: IANA's special-purpose registries (RFC 6890), and the clouds' documentation.
 */
bool addr_is_special(const struct addr *a);

#endif
