/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/json/base64.h"
#include "agent/json/codec.h"
#include "agent/json/scan.h"
#include "base/bug.h"
#include "base/num.h"

typedef const ProtobufCFieldDescriptor field_desc;

#define KEY_MAX	   128 /* no field of ours has a longer name */
#define VARINT_MAX 10
/* The length of a nested message is known only after it: room for 32 bits, padded as protobuf
 * allows it. */
#define LENGTH_BYTES 5

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static int decode_message(struct scan *s, const ProtobufCMessageDescriptor *d, struct buf *out);

static int put_varint(struct buf *out, uint64_t v)
{
	uint8_t b[VARINT_MAX];
	size_t n = 0;

	do {
		b[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		v >>= 7;
	} while (v > 0);
	return buf_put(out, b, n);
}

static int put_key(struct buf *out, uint32_t id, unsigned wire)
{
	return put_varint(out, (uint64_t)id << 3 | wire);
}

/* ---- Things with a length ---------------------------------------------------------------- */

/* Where the length will stand; -errno. */
static ssize_t begin_length(struct buf *out, uint32_t id)
{
	static const uint8_t room[LENGTH_BYTES];
	int r = put_key(out, id, WIRE_BYTES);

	if (r == 0)
		r = buf_put(out, room, sizeof(room));
	return r < 0 ? r : (ssize_t)buf_len(out);
}

static void end_length(struct buf *out, ssize_t began)
{
	size_t len = buf_len(out) - (size_t)began;
	uint8_t *p = out->data + out->off + began - LENGTH_BYTES;

	BUG_ON(len > UINT32_MAX);
	for (int i = 0; i < LENGTH_BYTES; i++, len >>= 7)
		p[i] = (uint8_t)((len & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0));
}

static int decode_string(struct scan *s, uint32_t id, struct buf *out)
{
	ssize_t began = begin_length(out, id);
	int r = began < 0 ? (int)began : scan_string(s, out);

	if (r == 0)
		end_length(out, began);
	return r;
}

static int decode_bytes(struct scan *s, uint32_t id, struct buf *out)
{
	ssize_t began = begin_length(out, id), n;
	size_t len;
	uint8_t *p;
	int r = began < 0 ? (int)began : scan_string(s, out);

	if (r < 0)
		return r;
	/* In place: what is written never passes what is read. */
	p = out->data + out->off + began;
	len = buf_len(out) - (size_t)began;
	n = base64_decode((const char *)p, len, p);
	if (n < 0)
		return scan_fail(s, "not base64");
	out->end -= len - (size_t)n;
	end_length(out, began);
	return 0;
}

/* ---- Numbers ----------------------------------------------------------------------------- */

/* An integer, as a number or a string of digits: magnitude and sign. */
static int take_integer(struct scan *s, bool *ret_negative, uint64_t *ret)
{
	struct buf text;
	char digits[32];
	int r;

	if (scan_peek(s) == '"') {
		buf_init(&text, sizeof(digits) - 1);
		r = scan_string(s, &text);
		(void)snprintf(digits, sizeof(digits), "%.*s", (int)buf_len(&text),
			       buf_len(&text) > 0 ? (const char *)buf_head(&text) : "");
		buf_done(&text);
		if (r == -ENOSPC)
			return scan_fail(s, "not an integer");
	} else {
		r = scan_number(s, digits, sizeof(digits));
	}
	if (r < 0)
		return r;
	*ret_negative = digits[0] == '-';
	if (parse_u64(digits + *ret_negative, 0, UINT64_MAX, ret) < 0)
		return scan_fail(s, "not an integer");
	return 0;
}

static int decode_integer(struct scan *s, field_desc *f, uint64_t below, uint64_t above,
			  struct buf *out)
{
	bool negative = false;
	uint64_t v = 0;
	int r = take_integer(s, &negative, &v);

	if (r < 0)
		return r;
	if (v > (negative ? below : above))
		return scan_fail(s, "an integer that is out of range");
	if (negative)
		v = ~v + 1; /* two's complement */
	if (f->type == PROTOBUF_C_TYPE_SINT32 || f->type == PROTOBUF_C_TYPE_SINT64)
		v = v << 1 ^ (v >> 63 != 0 ? UINT64_MAX : 0);
	r = put_key(out, f->id, WIRE_VARINT);
	return r < 0 ? r : put_varint(out, v);
}

static int decode_enum(struct scan *s, field_desc *f, struct buf *out)
{
	struct buf name;
	const ProtobufCEnumValue *v = NULL;
	int r;

	if (scan_peek(s) != '"')
		return decode_integer(s, f, (uint64_t)INT32_MAX + 1, INT32_MAX, out);
	buf_init(&name, KEY_MAX);
	r = scan_string(s, &name);
	if (r == 0)
		r = buf_put(&name, "", 1);
	if (r == 0)
		v = protobuf_c_enum_descriptor_get_value_by_name(f->descriptor,
								 (const char *)buf_head(&name));
	buf_done(&name);
	if (r == -ENOSPC || (r == 0 && v == NULL))
		return scan_fail(s, "an unknown name of an enum");
	if (r != 0)
		return r;
	r = put_key(out, f->id, WIRE_VARINT);
	return r < 0 ? r : put_varint(out, (uint64_t)(int64_t)v->value);
}

static int decode_bool(struct scan *s, field_desc *f, struct buf *out)
{
	const bool v = scan_peek(s) == 't';
	int r = scan_word(s, v ? "true" : "false");

	if (r == 0)
		r = put_key(out, f->id, WIRE_VARINT);
	return r < 0 ? r : put_varint(out, v);
}

/* ---- Messages ---------------------------------------------------------------------------- */

/* "2026-11-20T18:44:28.358Z", or with an offset instead of the Z. */
static int parse_timestamp(const char *text, int64_t *ret_seconds, uint32_t *ret_nanos)
{
	struct tm tm = { 0 };
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint32_t nanos = 0, scale = 100000000;
	int64_t offset = 0;

	if (p == NULL)
		return -EINVAL;
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
			nanos += (uint32_t)(*p - '0') * scale;
	}
	if (*p == '+' || *p == '-') {
		const bool west = *p == '-';
		struct tm off = { 0 };
		p = strptime(p + 1, "%H:%M", &off);
		if (p == NULL || *p != '\0')
			return -EINVAL;
		offset = (int64_t)off.tm_hour * 3600 + off.tm_min * 60;
		offset = west ? -offset : offset;
	} else if ((*p != 'Z' && *p != 'z') || p[1] != '\0') {
		return -EINVAL;
	}
	*ret_seconds = (int64_t)timegm(&tm) - offset;
	*ret_nanos = nanos;
	return 0;
}

static int decode_timestamp(struct scan *s, const ProtobufCMessageDescriptor *d, struct buf *out)
{
	char copy[48];
	struct buf text;
	int64_t seconds;
	uint32_t nanos;
	int r;

	buf_init(&text, sizeof(copy) - 1);
	r = scan_string(s, &text);
	(void)snprintf(copy, sizeof(copy), "%.*s", (int)buf_len(&text),
		       buf_len(&text) > 0 ? (const char *)buf_head(&text) : "");
	buf_done(&text);
	if (r == -ENOSPC || (r == 0 && parse_timestamp(copy, &seconds, &nanos) < 0))
		return scan_fail(s, "not a time");
	if (r != 0)
		return r;
	r = put_key(out, d->fields[0].id, WIRE_VARINT);
	if (r == 0)
		r = put_varint(out, (uint64_t)seconds);
	if (r == 0)
		r = put_key(out, d->fields[1].id, WIRE_VARINT);
	return r < 0 ? r : put_varint(out, nanos);
}

static int decode_nested(struct scan *s, field_desc *f, struct buf *out)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	ssize_t began = begin_length(out, f->id);
	int r = (int)MIN(began, 0);

	if (r == 0)
		r = json_is_timestamp(d) ? decode_timestamp(s, d, out) : decode_message(s, d, out);
	if (r == 0)
		end_length(out, began);
	return r;
}

static int decode_map(struct scan *s, field_desc *f, struct buf *out)
{
	bool first = true;
	int r = scan_enter(s, '{');

	while (r == 0 && (r = scan_more(s, '}', &first)) > 0) {
		ssize_t began = begin_length(out, f->id);
		r = began < 0 ? (int)began : decode_string(s, 1, out);
		if (r == 0)
			r = scan_take(s, ':');
		if (r == 0)
			r = decode_string(s, 2, out);
		if (r == 0)
			end_length(out, began);
	}
	scan_leave(s);
	return r;
}

static int decode_value(struct scan *s, field_desc *f, struct buf *out)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
		return decode_integer(s, f, (uint64_t)INT32_MAX + 1, INT32_MAX, out);
	case PROTOBUF_C_TYPE_UINT32:
		return decode_integer(s, f, 0, UINT32_MAX, out);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
		return decode_integer(s, f, (uint64_t)INT64_MAX + 1, INT64_MAX, out);
	case PROTOBUF_C_TYPE_UINT64:
		return decode_integer(s, f, 0, UINT64_MAX, out);
	case PROTOBUF_C_TYPE_BOOL:
		return decode_bool(s, f, out);
	case PROTOBUF_C_TYPE_ENUM:
		return decode_enum(s, f, out);
	case PROTOBUF_C_TYPE_STRING:
		return decode_string(s, f->id, out);
	case PROTOBUF_C_TYPE_BYTES:
		return decode_bytes(s, f->id, out);
	case PROTOBUF_C_TYPE_MESSAGE:
		return decode_nested(s, f, out);
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		break;
	}
	BUG("a type that agent.proto doesn't use");
}

static int decode_field(struct scan *s, field_desc *f, struct buf *out)
{
	bool first = true;
	int r;

	if (scan_peek(s) == 'n') /* null: the default */
		return scan_word(s, "null");
	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return decode_value(s, f, out);
	if (f->type == PROTOBUF_C_TYPE_MESSAGE && json_is_map_entry(f->descriptor))
		return decode_map(s, f, out);
	r = scan_enter(s, '[');
	while (r == 0 && (r = scan_more(s, ']', &first)) > 0)
		r = decode_value(s, f, out);
	scan_leave(s);
	return r;
}

/* Is `key` the field's name, or its lowerCamelCase? */
static bool name_is(const char *name, const char *key)
{
	if (strcmp(name, key) == 0)
		return true;
	for (; *name != '\0'; name++, key++) {
		char c = *name;
		if (c == '_') {
			c = *++name;
			c = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
		}
		if (c != *key || c == '\0')
			return false;
	}
	return *key == '\0';
}

static field_desc *find_field(const ProtobufCMessageDescriptor *d, const char *key)
{
	for (unsigned i = 0; i < d->n_fields; i++)
		if (name_is(d->fields[i].name, key))
			return &d->fields[i];
	return NULL;
}

static int decode_member(struct scan *s, const ProtobufCMessageDescriptor *d, struct buf *out)
{
	field_desc *f = NULL;
	struct buf key;
	int r;

	buf_init(&key, KEY_MAX);
	r = scan_string(s, &key);
	if (r == 0)
		r = buf_put(&key, "", 1);
	if (r == 0)
		f = find_field(d, (const char *)buf_head(&key));
	buf_done(&key);
	if (r == -ENOSPC)
		return scan_fail(s, "a name that is too long");
	if (r == 0)
		r = scan_take(s, ':');
	if (r < 0)
		return r;
	return f != NULL ? decode_field(s, f, out) : scan_skip(s);
}

static int decode_message(struct scan *s, const ProtobufCMessageDescriptor *d, struct buf *out)
{
	bool first = true;
	int r = scan_enter(s, '{');

	while (r == 0 && (r = scan_more(s, '}', &first)) > 0)
		r = decode_member(s, d, out);
	scan_leave(s);
	return r;
}

int json_decode(const ProtobufCMessageDescriptor *desc, const char *text, size_t len,
		struct buf *out, struct err *err)
{
	struct scan s = { .text = text, .len = len, .err = err };
	int r = decode_message(&s, desc, out);

	if (r == 0 && (scan_peek(&s) != '\0' || s.at < len))
		r = scan_fail(&s, "more after the end");
	if (r == -ENOSPC || r == -ENOMEM)
		return err_sys(err, r, "JSON");
	return r;
}
