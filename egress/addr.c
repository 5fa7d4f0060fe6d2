/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"

_Static_assert(ADDR_TEXT_MAX == INET6_ADDRSTRLEN, "room for any address");

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

bool addr_is_v4(const struct addr *a)
{
	return memcmp(a->b, v4_mapped, sizeof(v4_mapped)) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

struct addr addr_from_v4(const uint8_t bytes[4])
{
	struct addr a;

	memcpy(a.b, v4_mapped, 12);
	memcpy(a.b + 12, bytes, 4);
	return a;
}

struct addr addr_from_v6(const uint8_t bytes[16])
{
	struct addr a;

	memcpy(a.b, bytes, 16);
	return a;
}

int addr_from_sockaddr(const struct sockaddr_storage *ss, struct addr *ret, uint16_t *ret_port)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;
	uint16_t port;

	if (ss->ss_family == AF_INET) {
		memcpy(&four, ss, sizeof(four));
		*ret = addr_from_v4((const uint8_t *)&four.sin_addr);
		port = ntohs(four.sin_port);
	} else if (ss->ss_family == AF_INET6) {
		memcpy(&six, ss, sizeof(six));
		*ret = addr_from_v6(six.sin6_addr.s6_addr);
		port = ntohs(six.sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	if (ret_port != NULL)
		*ret_port = port;
	return 0;
}

socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	memset(ret, 0, sizeof(*ret));
	if (addr_is_v4(a)) {
		memcpy(&four.sin_addr, a->b + 12, 4);
		memcpy(ret, &four, sizeof(four));
		return sizeof(four);
	}
	memcpy(&six.sin6_addr, a->b, 16);
	memcpy(ret, &six, sizeof(six));
	return sizeof(six);
}

int addr_parse(const char *text, struct addr *ret)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		*ret = addr_from_v4(bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		*ret = addr_from_v6(bytes);
	else
		return -EINVAL;
	return 0;
}

void addr_format(const struct addr *a, char text[ADDR_TEXT_MAX])
{
	const char *r = addr_is_v4(a) ? inet_ntop(AF_INET, a->b + 12, text, ADDR_TEXT_MAX)
				      : inet_ntop(AF_INET6, a->b, text, ADDR_TEXT_MAX);

	BUG_ON(r == NULL);
}

/* The bits of byte i that belong to the prefix. */
static uint8_t mask_of(unsigned bits, size_t i)
{
	unsigned before = (unsigned)i * 8;

	if (bits >= before + 8)
		return 0xff;
	return bits <= before ? 0 : (uint8_t)(0xff00U >> (bits - before));
}

int prefix_parse(const char *text, struct prefix *ret)
{
	const char *slash = strchr(text, '/');
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	char address[ADDR_TEXT_MAX];
	uint64_t bits = 128;
	struct prefix p;
	bool dotted;

	if (len >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	dotted = strchr(address, ':') == NULL;
	if (addr_parse(address, &p.addr) < 0)
		return -EINVAL;
	if (slash != NULL && parse_u64(slash + 1, 0, dotted ? 32 : 128, &bits) < 0)
		return -EINVAL;
	if (dotted && slash != NULL)
		bits += 96;
	/* Half of a mapped IPv4 address would be a prefix that no address is in. */
	if (addr_is_v4(&p.addr) && bits < 96)
		return -EINVAL;
	p.bits = (unsigned)bits;
	for (size_t i = 0; i < sizeof(p.addr.b); i++)
		p.addr.b[i] &= mask_of(p.bits, i);
	*ret = p;
	return 0;
}

bool prefix_has(const struct prefix *p, const struct addr *a)
{
	if (addr_is_v4(&p->addr) != addr_is_v4(a))
		return false;
	for (size_t i = 0; i < sizeof(a->b); i++)
		if (((a->b[i] ^ p->addr.b[i]) & mask_of(p->bits, i)) != 0)
			return false;
	return true;
}

#define V4(a, b, c, d, n)                                       \
	{                                                       \
		{ { [10] = 0xff, 0xff, a, b, c, d } }, 96 + (n) \
	}
#define V6(a, b, c, d, n)             \
	{                             \
		{ { a, b, c, d } }, n \
	}

static const struct prefix special_v4[] = {
	V4(0, 0, 0, 0, 8),	  /* this host on this network */
	V4(10, 0, 0, 0, 8),	  /* private */
	V4(100, 64, 0, 0, 10),	  /* behind a carrier's NAT; a cloud's metadata */
	V4(127, 0, 0, 0, 8),	  /* loopback */
	V4(168, 63, 129, 16, 32), /* a cloud's host, from inside its machines */
	V4(169, 254, 0, 0, 16),	  /* link-local; most clouds' metadata */
	V4(172, 16, 0, 0, 12),	  /* private */
	V4(192, 0, 0, 0, 24),	  /* protocol assignments; a cloud's metadata */
	V4(192, 0, 2, 0, 24),	  /* documentation */
	V4(192, 88, 99, 0, 24),	  /* 6to4 relays */
	V4(192, 168, 0, 0, 16),	  /* private */
	V4(198, 18, 0, 0, 15),	  /* benchmarks */
	V4(198, 51, 100, 0, 24),  /* documentation */
	V4(203, 0, 113, 0, 24),	  /* documentation */
	V4(224, 0, 0, 0, 4),	  /* multicast */
	V4(240, 0, 0, 0, 4),	  /* reserved; broadcast */
};

static const struct prefix global_v6 = V6(0x20, 0, 0, 0, 3);

static const struct prefix special_v6[] = {
	V6(0x20, 0x01, 0, 0, 23),	/* protocol assignments: Teredo, ORCHID, benchmarks */
	V6(0x20, 0x01, 0x0d, 0xb8, 32), /* documentation */
	V6(0x20, 0x02, 0, 0, 16),	/* 6to4: an IPv4 address inside */
	V6(0x3f, 0xff, 0, 0, 20),	/* documentation */
};

static bool any_has(const struct prefix *list, size_t count, const struct addr *a)
{
	for (size_t i = 0; i < count; i++)
		if (prefix_has(&list[i], a))
			return true;
	return false;
}

bool addr_is_special(const struct addr *a)
{
	if (addr_is_v4(a))
		return any_has(special_v4, ARRAY_SIZE(special_v4), a);
	return !prefix_has(&global_v6, a) || any_has(special_v6, ARRAY_SIZE(special_v6), a);
}
