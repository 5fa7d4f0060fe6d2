/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - answers of the resolvers, for as long as they hold: at most EGRESS_CACHE_MAX, for
 * EGRESS_TTL_MIN to EGRESS_TTL_MAX seconds. Times are now_ms(). One thread.
 */
#ifndef EGRESS_CACHE_H
#define EGRESS_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "egress/dns.h"

struct cache;

MUST_USE int cache_new(struct cache **ret);
void cache_free(struct cache *c);
/* name: normalized. What goes when it is full is the one that would go next. */
void cache_put(struct cache *c, const char *name, uint16_t type, const struct dns_answer *a,
	       uint64_t now);
/* ret->ttl is what is left of it. */
bool cache_get(const struct cache *c, const char *name, uint16_t type, uint64_t now,
	       struct dns_answer *ret);
void cache_clear(struct cache *c);

#endif
