/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/json/base64.h"
#include "agent/json/codec.h"
#include "base/bug.h"
#include "base/json_text.h"
#include "base/num.h"

typedef const ProtobufCFieldDescriptor field_desc;

bool json_is_map_entry(const ProtobufCMessageDescriptor *d)
{
	const size_t len = strlen(d->short_name);

	return len > 5 && strcmp(d->short_name + len - 5, "Entry") == 0 && d->n_fields == 2 &&
	       strcmp(d->fields[0].name, "key") == 0 && strcmp(d->fields[1].name, "value") == 0 &&
	       d->fields[0].type == PROTOBUF_C_TYPE_STRING &&
	       d->fields[1].type == PROTOBUF_C_TYPE_STRING;
}

bool json_is_timestamp(const ProtobufCMessageDescriptor *d)
{
	return strcmp(d->short_name, "Timestamp") == 0 && d->n_fields == 2 &&
	       d->fields[0].type == PROTOBUF_C_TYPE_INT64 &&
	       d->fields[1].type == PROTOBUF_C_TYPE_INT32;
}

static int encode_message(const ProtobufCMessage *msg, struct buf *out);

/* "lower_snake" -> "lowerSnake", in quotes and with its colon. */
static int put_name(struct buf *out, const char *name)
{
	char text[64];
	size_t n = 0;
	bool up = false;

	text[n++] = '"';
	for (; *name != '\0'; name++) {
		BUG_ON(n + 3 > sizeof(text));
		if (*name == '_') {
			up = true;
			continue;
		}
		text[n++] = (char)(up ? toupper((unsigned char)*name) : *name);
		up = false;
	}
	text[n++] = '"';
	text[n++] = ':';
	return buf_put(out, text, n);
}

static int put_bytes(struct buf *out, const ProtobufCBinaryData *b)
{
	const size_t len = BASE64_LEN(b->len) + 2;
	uint8_t *p = buf_reserve(out, len);

	if (p == NULL)
		return len > buf_room(out) ? -ENOSPC : -ENOMEM;
	p[0] = p[len - 1] = '"';
	base64_encode(b->data, b->len, (char *)p + 1);
	buf_commit(out, len);
	return 0;
}

static int put_enum(struct buf *out, const ProtobufCEnumDescriptor *d, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);

	return v != NULL ? json_printf(out, "\"%s\"", v->name) : json_printf(out, "%d", value);
}

/* A member of the message at `at`, by a copy: the C types of a union are no concern of ours. */
#define LOAD(type, at) (*(type const *)(const void *)(at))

static int put_value(struct buf *out, field_desc *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_printf(out, "%" PRId32, LOAD(int32_t, at));
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_printf(out, "%" PRIu32, LOAD(uint32_t, at));
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_printf(out, "\"%" PRId64 "\"", LOAD(int64_t, at));
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return json_printf(out, "\"%" PRIu64 "\"", LOAD(uint64_t, at));
	case PROTOBUF_C_TYPE_BOOL:
		return json_printf(out, "%s", LOAD(protobuf_c_boolean, at) ? "true" : "false");
	case PROTOBUF_C_TYPE_ENUM:
		return put_enum(out, f->descriptor, LOAD(int, at));
	case PROTOBUF_C_TYPE_STRING:
		return json_put_string(out, LOAD(char *, at), strlen(LOAD(char *, at)));
	case PROTOBUF_C_TYPE_BYTES:
		return put_bytes(out, at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return encode_message(LOAD(ProtobufCMessage *, at), out);
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		break;
	}
	BUG("a type that agent.proto doesn't use");
}

static size_t value_size(field_desc *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		break;
	}
	return sizeof(uint32_t);
}

static int put_entry(struct buf *out, const ProtobufCMessage *entry)
{
	const char *base = (const char *)entry;
	const char *key = LOAD(char *, base + entry->descriptor->fields[0].offset);
	const char *value = LOAD(char *, base + entry->descriptor->fields[1].offset);
	int r = json_put_string(out, key, strlen(key));

	if (r == 0)
		r = buf_put(out, ":", 1);
	return r < 0 ? r : json_put_string(out, value, strlen(value));
}

static int put_repeated(struct buf *out, field_desc *f, const char *base)
{
	const size_t count = LOAD(size_t, base + f->quantifier_offset), size = value_size(f);
	const char *at = LOAD(char *, base + f->offset);
	const bool map = f->type == PROTOBUF_C_TYPE_MESSAGE && json_is_map_entry(f->descriptor);
	int r = buf_put(out, map ? "{" : "[", 1);

	for (size_t i = 0; r == 0 && i < count; i++) {
		if (i > 0)
			r = buf_put(out, ",", 1);
		if (r == 0)
			r = map ? put_entry(out, LOAD(ProtobufCMessage *, at + i * size))
				: put_value(out, f, at + i * size);
	}
	return r < 0 ? r : buf_put(out, map ? "}" : "]", 1);
}

/* Does the message have this field? */
static bool present(field_desc *f, const char *base)
{
	const char *at = base + f->offset;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return LOAD(size_t, base + f->quantifier_offset) > 0;
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
	    LOAD(uint32_t, base + f->quantifier_offset) != f->id)
		return false;
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return LOAD(ProtobufCMessage *, at) != NULL;
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
		return true;
	if (f->type == PROTOBUF_C_TYPE_STRING)
		return LOAD(char *, at)[0] != '\0';
	if (f->type == PROTOBUF_C_TYPE_BYTES)
		return LOAD(ProtobufCBinaryData, at).len > 0;
	for (size_t i = 0; i < value_size(f); i++)
		if (at[i] != 0)
			return true;
	return false;
}

static int put_timestamp(struct buf *out, const ProtobufCMessage *msg)
{
	const char *base = (const char *)msg;
	const time_t seconds = (time_t)LOAD(int64_t, base + msg->descriptor->fields[0].offset);
	const int32_t nanos = LOAD(int32_t, base + msg->descriptor->fields[1].offset);
	char text[40];
	struct tm tm;

	/* Years of four digits are all that JSON has. */
	if (seconds < INT64_C(-62135596800) || seconds > INT64_C(253402300799) || nanos < 0 ||
	    nanos > 999999999 || gmtime_r(&seconds, &tm) == NULL)
		return json_printf(out, "\"1970-01-01T00:00:00Z\"");
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	if (nanos == 0)
		return json_printf(out, "\"%sZ\"", text);
	return json_printf(out, "\"%s.%09" PRId32 "Z\"", text, nanos);
}

static int encode_message(const ProtobufCMessage *msg, struct buf *out)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	const char *base = (const char *)msg;
	bool first = true;
	int r;

	if (json_is_timestamp(d))
		return put_timestamp(out, msg);
	r = buf_put(out, "{", 1);
	for (unsigned i = 0; r == 0 && i < d->n_fields; i++) {
		field_desc *f = &d->fields[i];
		if (!present(f, base))
			continue;
		if (!first)
			r = buf_put(out, ",", 1);
		first = false;
		if (r == 0)
			r = put_name(out, f->name);
		if (r == 0)
			r = f->label == PROTOBUF_C_LABEL_REPEATED
				    ? put_repeated(out, f, base)
				    : put_value(out, f, base + f->offset);
	}
	return r < 0 ? r : buf_put(out, "}", 1);
}

int json_encode(const ProtobufCMessage *msg, struct buf *out)
{
	return encode_message(msg, out);
}
