/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cursor.h - reads big-endian fields off bytes and can't read beyond them. After a take that didn't
 * fit the cursor is empty and `bad`: one test at the end is enough. Pure.
 */
#ifndef EGRESS_CURSOR_H
#define EGRESS_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static inline struct cursor cursor_of(const void *data, size_t len)
{
	return (struct cursor){ .at = data, .left = len };
}

/* The next n bytes as a cursor of their own; empty and bad if there are fewer. */
static inline struct cursor cursor_take(struct cursor *c, size_t n)
{
	struct cursor sub = { .at = c->at, .left = n, .bad = c->bad };

	if (c->bad || n > c->left) {
		c->left = 0;
		c->bad = true;
		return (struct cursor){ .at = c->at, .bad = true };
	}
	c->at += n;
	c->left -= n;
	return sub;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	struct cursor s = cursor_take(c, 1);

	return s.bad ? 0 : s.at[0];
}
static inline uint16_t cursor_u16(struct cursor *c)
{
	struct cursor s = cursor_take(c, 2);

	return s.bad ? 0 : (uint16_t)(s.at[0] << 8 | s.at[1]);
}
static inline uint32_t cursor_u24(struct cursor *c)
{
	uint32_t high = cursor_u8(c);

	return high << 16 | cursor_u16(c);
}
static inline uint32_t cursor_u32(struct cursor *c)
{
	uint32_t high = cursor_u16(c);

	return high << 16 | cursor_u16(c);
}

#endif
