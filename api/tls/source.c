/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: an array with a slot for each address that has a connection, found by
 * looking at all of them: at most 4096 pairs of words, at each accept, which costs less than a
 * hundredth of the handshake that follows. No hash, so no key to guess.
 */
#include "api/tls/source.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

struct source {
	uint64_t net; /* IPv4: the address behind the mapped prefix's marker; IPv6: the /64 */
	uint32_t family, used;
};

struct sources {
	size_t max, per_source;
	struct source list[];
};

int sources_new(size_t conns, size_t per_source, struct sources **ret)
{
	struct sources *s = calloc(1, sizeof(*s) + conns * sizeof(s->list[0]));

	if (s == NULL)
		return -ENOMEM;
	s->max = conns;
	s->per_source = per_source;
	*ret = s;
	return 0;
}

void sources_free(struct sources *s)
{
	free(s);
}

static int key_of(const struct sockaddr_storage *address, struct source *ret)
{
	const struct sockaddr_in *four = (const void *)address;
	const struct sockaddr_in6 *six = (const void *)address;
	uint32_t mapped;

	*ret = (struct source){ .family = address->ss_family, .used = 1 };
	if (address->ss_family == AF_INET) {
		ret->net = four->sin_addr.s_addr;
		return 0;
	}
	if (address->ss_family != AF_INET6)
		return -EINVAL;
	memcpy(&ret->net, &six->sin6_addr, sizeof(ret->net));
	if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		memcpy(&mapped, (const uint8_t *)&six->sin6_addr + 12, sizeof(mapped));
		*ret = (struct source){ .net = mapped, .family = AF_INET, .used = 1 };
	}
	return 0;
}

int source_take(struct sources *s, const struct sockaddr_storage *address)
{
	struct source want;
	int free_slot = -1, r = key_of(address, &want);

	if (r < 0)
		return r;
	for (size_t i = 0; i < s->max; i++) {
		struct source *at = &s->list[i];

		if (at->used == 0) {
			if (free_slot < 0)
				free_slot = (int)i;
		} else if (at->net == want.net && at->family == want.family) {
			if (at->used >= s->per_source)
				return -EDQUOT;
			at->used++;
			return (int)i;
		}
	}
	BUG_ON(free_slot < 0);
	s->list[free_slot] = want;
	return free_slot;
}

void source_give_back(struct sources *s, int slot)
{
	BUG_ON(slot < 0 || (size_t)slot >= s->max || s->list[slot].used == 0);
	s->list[slot].used--;
}
