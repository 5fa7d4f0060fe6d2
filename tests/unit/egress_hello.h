/* SPDX-License-Identifier: Apache-2.0 */
/* egress_hello.h - ClientHellos for tests. */
#ifndef TESTS_UNIT_EGRESS_HELLO_H
#define TESTS_UNIT_EGRESS_HELLO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "egress/hello.h"

enum {
	TLS_ECH = 1,	    /* an encrypted_client_hello extension */
	TLS_TWICE = 2,	    /* server_name twice */
	TLS_TWO_IN_ONE = 4, /* two names in one server_name */
	TLS_TAIL = 8,	    /* a byte behind the list of names */
};

struct tls_text {
	uint8_t data[4096];
	size_t len;
};

static inline void tls_put(struct tls_text *t, const void *p, size_t n)
{
	memcpy(t->data + t->len, p, n);
	t->len += n;
}
static inline void tls_u8(struct tls_text *t, size_t v)
{
	t->data[t->len++] = (uint8_t)v;
}
static inline void tls_u16(struct tls_text *t, size_t v)
{
	tls_u8(t, v >> 8);
	tls_u8(t, v);
}

static inline void tls_name(struct tls_text *t, const char *name)
{
	tls_u8(t, 0);
	tls_u16(t, strlen(name));
	tls_put(t, name, strlen(name));
}

static inline void tls_server_name(struct tls_text *t, const char *name, unsigned flags)
{
	size_t n = strlen(name) + 3, names = (flags & TLS_TWO_IN_ONE) != 0 ? 2 : 1;

	tls_u16(t, 0);
	tls_u16(t, n * names + 2 + ((flags & TLS_TAIL) != 0));
	tls_u16(t, n * names);
	for (size_t i = 0; i < names; i++)
		tls_name(t, name);
	if ((flags & TLS_TAIL) != 0)
		tls_u8(t, 0);
}

/* A hello in one record. name NULL: no server_name. */
static inline void tls_hello(struct tls_text *t, const char *name, unsigned flags)
{
	static const uint8_t head[] = { 22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3 };
	static const uint8_t groups[] = { 0, 10, 0, 4, 0, 2, 0, 29 };
	static const uint8_t ech[] = { 0xfe, 0x0d, 0, 1, 0 };
	size_t ext;

	t->len = 0;
	tls_put(t, head, sizeof(head));
	for (size_t i = 0; i < 32; i++)
		tls_u8(t, i);
	tls_u8(t, 4); /* session */
	tls_put(t, "\1\2\3\4", 4);
	tls_u16(t, 4); /* suites */
	tls_put(t, "\x13\1\x13\2", 4);
	tls_u16(t, 0x100); /* one compression: none */
	ext = t->len;
	tls_u16(t, 0);
	tls_put(t, groups, sizeof(groups));
	if (name != NULL)
		tls_server_name(t, name, flags);
	if (name != NULL && (flags & TLS_TWICE) != 0)
		tls_server_name(t, name, flags);
	if ((flags & TLS_ECH) != 0)
		tls_put(t, ech, sizeof(ech));
	t->data[ext] = (uint8_t)((t->len - ext - 2) >> 8);
	t->data[ext + 1] = (uint8_t)(t->len - ext - 2);
	t->data[3] = (uint8_t)((t->len - 5) >> 8);
	t->data[4] = (uint8_t)(t->len - 5);
	t->data[7] = (uint8_t)((t->len - 9) >> 8);
	t->data[8] = (uint8_t)(t->len - 9);
}

/* The same message in records of at most `piece` bytes. */
static inline void tls_cut(struct tls_text *ret, const struct tls_text *whole, size_t piece)
{
	ret->len = 0;
	for (size_t at = 5; at < whole->len;) {
		size_t n = whole->len - at < piece ? whole->len - at : piece;

		tls_put(ret, whole->data, 3);
		tls_u16(ret, n);
		tls_put(ret, whole->data + at, n);
		at += n;
	}
}

#endif
