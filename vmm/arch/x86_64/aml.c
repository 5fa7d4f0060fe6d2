/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/x86_64/aml.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"

enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
	OP_NOTIFY = 0x86,
};

/* Resource descriptors (ACPI 6.5, section 6.4). */
enum {
	RES_IO = 0x47,		   /* small, 7 bytes */
	RES_MEMORY32_FIXED = 0x86, /* large */
	RES_INTERRUPT = 0x89,	   /* large */
	RES_END = 0x79,
};

/* Lengths are always written as three bytes, so that they can be filled in afterwards. */
#define PKG_LENGTH_BYTES 3U
#define PKG_LENGTH_MAX	 ((1U << 20) - 1)

void aml_init(struct aml *a, uint8_t *buf, size_t cap)
{
	*a = (struct aml){ .buf = buf, .cap = cap };
}

static void put(struct aml *a, const void *data, size_t len)
{
	if (a->failed || len > a->cap - a->len) {
		a->failed = true;
		return;
	}
	memcpy(a->buf + a->len, data, len);
	a->len += len;
}

static void put8(struct aml *a, unsigned v)
{
	uint8_t byte = (uint8_t)v;
	put(a, &byte, 1);
}

static void put_le(struct aml *a, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		put8(a, (unsigned)(v >> (8 * i)) & 0xffU);
}

static void put_name(struct aml *a, const char *name)
{
	if (name[0] == '\\') {
		put8(a, '\\');
		name++;
	}
	BUG_ON(strlen(name) != 4);
	put(a, name, 4);
}

static void begin(struct aml *a)
{
	BUG_ON(a->depth >= AML_DEPTH_MAX);
	a->open[a->depth++] = a->len;
	put_le(a, 0, PKG_LENGTH_BYTES);
}

void aml_end(struct aml *a)
{
	size_t at, len;

	BUG_ON(a->depth == 0);
	at = a->open[--a->depth];
	if (a->failed)
		return;
	/* The length counts itself. Two follow bytes: 4 bits in the lead byte, 8 in each. */
	len = a->len - at;
	if (len > PKG_LENGTH_MAX) {
		a->failed = true;
		return;
	}
	a->buf[at] = (uint8_t)(2U << 6 | (len & 0xfU));
	a->buf[at + 1] = (uint8_t)(len >> 4);
	a->buf[at + 2] = (uint8_t)(len >> 12);
}

int aml_finish(const struct aml *a, size_t *ret_len)
{
	if (a->depth != 0)
		return -EINVAL;
	if (a->failed)
		return -ENOSPC;
	*ret_len = a->len;
	return 0;
}

void aml_scope_begin(struct aml *a, const char *name)
{
	put8(a, OP_SCOPE);
	begin(a);
	put_name(a, name);
}

void aml_device_begin(struct aml *a, const char *name)
{
	put8(a, OP_EXT);
	put8(a, OP_EXT_DEVICE);
	begin(a);
	put_name(a, name);
}

void aml_package_begin(struct aml *a, uint8_t count)
{
	put8(a, OP_PACKAGE);
	begin(a);
	put8(a, count);
}

void aml_method_begin(struct aml *a, const char *name, uint8_t args)
{
	BUG_ON(args > 7);
	put8(a, OP_METHOD);
	begin(a);
	put_name(a, name);
	put8(a, args); /* not serialized */
}

void aml_notify(struct aml *a, const char *name, uint8_t value)
{
	put8(a, OP_NOTIFY);
	put_name(a, name);
	aml_integer(a, value);
}

void aml_name(struct aml *a, const char *name)
{
	put8(a, OP_NAME);
	put_name(a, name);
}

void aml_integer(struct aml *a, uint64_t v)
{
	if (v <= 1) {
		put8(a, v == 0 ? OP_ZERO : OP_ONE);
	} else if (v <= UINT8_MAX) {
		put8(a, OP_BYTE);
		put_le(a, v, 1);
	} else if (v <= UINT16_MAX) {
		put8(a, OP_WORD);
		put_le(a, v, 2);
	} else if (v <= UINT32_MAX) {
		put8(a, OP_DWORD);
		put_le(a, v, 4);
	} else {
		put8(a, OP_QWORD);
		put_le(a, v, 8);
	}
}

void aml_string(struct aml *a, const char *s)
{
	put8(a, OP_STRING);
	put(a, s, strlen(s) + 1);
}

/* A resource template is a buffer; the end tag's checksum 0 means "not checked". */
static void crs_begin(struct aml *a, uint8_t bytes)
{
	aml_name(a, "_CRS");
	put8(a, OP_BUFFER);
	begin(a);
	put8(a, OP_BYTE);
	put8(a, bytes);
}

static void crs_end(struct aml *a)
{
	put8(a, RES_END);
	put8(a, 0);
	aml_end(a);
}

static void put_irq(struct aml *a, uint32_t gsi)
{
	put8(a, RES_INTERRUPT);
	put_le(a, 6, 2);
	put8(a, 1U << 0 | 1U << 1); /* consumer, edge; active high, exclusive */
	put8(a, 1);		    /* one interrupt */
	put_le(a, gsi, 4);
}

void aml_crs_mmio(struct aml *a, uint32_t base, uint32_t size, uint32_t gsi)
{
	crs_begin(a, 12 + 9 + 2);
	put8(a, RES_MEMORY32_FIXED);
	put_le(a, 9, 2);
	put8(a, 1); /* read-write */
	put_le(a, base, 4);
	put_le(a, size, 4);
	put_irq(a, gsi);
	crs_end(a);
}

void aml_crs_irq(struct aml *a, uint32_t gsi)
{
	crs_begin(a, 9 + 2);
	put_irq(a, gsi);
	crs_end(a);
}

void aml_crs_io(struct aml *a, uint16_t port, uint8_t count)
{
	crs_begin(a, 8 + 2);
	put8(a, RES_IO);
	put8(a, 1); /* decodes 16 bits */
	put_le(a, port, 2);
	put_le(a, port, 2);
	put8(a, 1); /* alignment */
	put8(a, count);
	crs_end(a);
}
