/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

struct entry {
	char name[NAME_CAP]; /* "" = free */
	uint16_t type;
	uint64_t until; /* ms; 0 = free */
	struct dns_answer answer;
};

struct cache {
	struct entry all[EGRESS_CACHE_MAX];
};

int cache_new(struct cache **ret)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	*ret = c;
	return 0;
}

void cache_free(struct cache *c)
{
	free(c);
}

void cache_clear(struct cache *c)
{
	memset(c, 0, sizeof(*c));
}

static bool entry_is(const struct entry *e, const char *name, uint16_t type)
{
	return e->type == type && strcmp(e->name, name) == 0;
}

void cache_put(struct cache *c, const char *name, uint16_t type, const struct dns_answer *a,
	       uint64_t now)
{
	uint32_t ttl = a->count == 0 ? EGRESS_TTL_NEGATIVE
				     : MIN(MAX(a->ttl, EGRESS_TTL_MIN), EGRESS_TTL_MAX);
	struct entry *e = &c->all[0];

	for (size_t i = 0; i < EGRESS_CACHE_MAX; i++) {
		if (entry_is(&c->all[i], name, type)) {
			e = &c->all[i];
			break;
		}
		if (c->all[i].until < e->until)
			e = &c->all[i];
	}
	memcpy(e->name, name, strlen(name) + 1);
	e->type = type;
	e->until = now + ttl * UINT64_C(1000);
	e->answer = *a;
}

bool cache_get(const struct cache *c, const char *name, uint16_t type, uint64_t now,
	       struct dns_answer *ret)
{
	for (size_t i = 0; i < EGRESS_CACHE_MAX; i++) {
		const struct entry *e = &c->all[i];

		if (e->until <= now || !entry_is(e, name, type))
			continue;
		*ret = e->answer;
		ret->ttl = (uint32_t)((e->until - now + 999) / 1000);
		return true;
	}
	return false;
}
