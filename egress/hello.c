/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/hello.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "egress/cursor.h"

#define RECORD_HEADER	 5U
#define RECORD_MAX	 16384U
#define HANDSHAKE_HEADER 4U

enum {
	CONTENT_HANDSHAKE = 22,
	CLIENT_HELLO = 1,
	EXT_SERVER_NAME = 0,
	EXT_ENCRYPTED_HELLO = 0xfe0d,
	NAME_TYPE_HOST = 0,
};

bool hello_begins(const void *data, size_t len)
{
	return len > 0 && *(const uint8_t *)data == CONTENT_HANDSHAKE;
}

/* The length of the whole message, its header included, from its first four bytes. */
static int message_length(const uint8_t *head, size_t *ret)
{
	struct cursor c = cursor_of(head, HANDSHAKE_HEADER);

	if (cursor_u8(&c) != CLIENT_HELLO)
		return -EPROTO;
	*ret = HANDSHAKE_HEADER + cursor_u24(&c);
	return *ret <= EGRESS_HELLO_MAX ? 0 : -EPROTO;
}

/*
 * Puts the message together out of its records. Not longer than the input, which is at most
 * EGRESS_HELLO_MAX, so that it fits. What follows it in its last record is left alone.
 */
static int reassemble(struct cursor in, uint8_t msg[EGRESS_HELLO_MAX], size_t *ret_len)
{
	size_t len = 0, want = SIZE_MAX;

	for (unsigned records = 0; len < want; records++) {
		struct cursor header, body;
		size_t size;

		if (records == EGRESS_RECORDS_MAX)
			return -EPROTO;
		if (in.left > 0 && in.at[0] != CONTENT_HANDSHAKE)
			return -EPROTO;
		if (in.left < RECORD_HEADER)
			return -EAGAIN;
		header = cursor_take(&in, RECORD_HEADER);
		(void)cursor_u8(&header);
		if (cursor_u16(&header) >> 8 != 3)
			return -EPROTO;
		size = cursor_u16(&header);
		if (size == 0 || size > RECORD_MAX)
			return -EPROTO;
		body = cursor_take(&in, in.left < size ? in.left : size);
		memcpy(msg + len, body.at, body.left);
		len += body.left;
		if (len >= HANDSHAKE_HEADER && want == SIZE_MAX && message_length(msg, &want) < 0)
			return -EPROTO;
		if (body.left < size && len < want)
			return -EAGAIN;
	}
	*ret_len = want;
	return 0;
}

/* One host_name and nothing else: two would be two answers to one question. */
static int take_server_name(struct cursor ext, char name[NAME_CAP])
{
	struct cursor list = cursor_take(&ext, cursor_u16(&ext));
	unsigned type = cursor_u8(&list);
	struct cursor host = cursor_take(&list, cursor_u16(&list));

	if (ext.bad || ext.left != 0 || host.bad || list.left != 0 || type != NAME_TYPE_HOST)
		return -EPROTO;
	if (name_normalize((const char *)host.at, host.left, name) < 0)
		name[0] = '\0';
	return 0;
}

static int take_extensions(struct cursor list, struct hello *h)
{
	bool named = false;

	while (list.left > 0) {
		unsigned type = cursor_u16(&list);
		struct cursor ext = cursor_take(&list, cursor_u16(&list));

		if (list.bad || (type == EXT_SERVER_NAME && named))
			return -EPROTO;
		if (type == EXT_ENCRYPTED_HELLO)
			h->encrypted = true;
		if (type != EXT_SERVER_NAME)
			continue;
		named = true;
		if (take_server_name(ext, h->name) < 0)
			return -EPROTO;
	}
	return 0;
}

int hello_parse(const void *data, size_t len, struct hello *ret)
{
	uint8_t msg[EGRESS_HELLO_MAX];
	struct hello h = { 0 };
	struct cursor c, sub;
	size_t have;
	int r;

	/* All that was sent may be more than the hello; the hello itself must lie in this much. */
	r = reassemble(cursor_of(data, len < EGRESS_HELLO_MAX ? len : EGRESS_HELLO_MAX), msg,
		       &have);
	if (r < 0)
		return r == -EAGAIN && len >= EGRESS_HELLO_MAX ? -EPROTO : r;
	c = cursor_of(msg + HANDSHAKE_HEADER, have - HANDSHAKE_HEADER);
	(void)cursor_take(&c, 2 + 32); /* version, random */
	sub = cursor_take(&c, cursor_u8(&c));
	if (sub.bad || sub.left > 32) /* session */
		return -EPROTO;
	sub = cursor_take(&c, cursor_u16(&c));
	if (sub.bad || sub.left < 2 || sub.left % 2 != 0) /* cipher suites */
		return -EPROTO;
	sub = cursor_take(&c, cursor_u8(&c));
	if (sub.bad || sub.left < 1) /* compression */
		return -EPROTO;
	if (c.left > 0) {
		sub = cursor_take(&c, cursor_u16(&c));
		if (sub.bad || c.left != 0 || take_extensions(sub, &h) < 0)
			return -EPROTO;
	}
	*ret = h;
	return 0;
}
