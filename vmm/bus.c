/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bus.h"

#include <string.h>

#include "base/bug.h"
#include "base/num.h"

void bus_init(struct bus *b)
{
	*b = (struct bus){ 0 };
}

void bus_add(struct bus *b, const struct bus_range *range)
{
	BUG_ON(b->count >= BUS_RANGES_MAX);
	BUG_ON(range->size == 0 || range->start + range->size < range->start);
	for (unsigned i = 0; i < b->count; i++) {
		const struct bus_range *o = &b->ranges[i];
		BUG_ON(range->start < o->start + o->size && o->start < range->start + range->size);
	}
	b->ranges[b->count++] = *range;
}

static const struct bus_range *find(const struct bus *b, uint64_t addr, size_t len)
{
	for (unsigned i = 0; i < b->count; i++) {
		const struct bus_range *r = &b->ranges[i];
		if (addr >= r->start && range_fits(addr - r->start, len, r->size))
			return r;
	}
	return NULL;
}

/* Counted for GetMetrics and not logged: a guest can do it as often as it likes. */
static void count_unknown(struct bus *b)
{
	__atomic_fetch_add(&b->unknown, 1, __ATOMIC_RELAXED);
}

void bus_read(struct bus *b, uint64_t addr, void *data, size_t len)
{
	const struct bus_range *r = find(b, addr, len);

	if (r != NULL) {
		r->read(r->arg, addr - r->start, data, len);
		return;
	}
	memset(data, 0xff, len);
	count_unknown(b);
}

void bus_write(struct bus *b, uint64_t addr, const void *data, size_t len)
{
	const struct bus_range *r = find(b, addr, len);

	if (r != NULL)
		r->write(r->arg, addr - r->start, data, len);
	else
		count_unknown(b);
}
