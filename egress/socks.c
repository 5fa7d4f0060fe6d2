/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/socks.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"

enum {
	VERSION = 5,
	AUTH_VERSION = 1,
	METHOD_NONE = 0,
	METHOD_PASSWORD = 2,
	COMMAND_CONNECT = 1,
	KIND_V4 = 1,
	KIND_NAME = 3,
	KIND_V6 = 4,
};

_Static_assert(4 + 1 + EGRESS_NAME_MAX + 2 <= SOCKS_OUT_MAX, "a request fits");

static void move_to(struct socks *s, enum socks_state state, size_t wants)
{
	s->state = state;
	s->wants = wants;
}

void socks_init(struct socks *s, const struct policy_proxy *proxy, const char *name,
		const struct addr *a, uint16_t port)
{
	*s = (struct socks){ .proxy = proxy, .addr = *a, .port = port };
	if (name != NULL)
		memcpy(s->name, name, strlen(name) + 1);
	move_to(s, SOCKS_GREETING, 2);
}

static bool has_password(const struct socks *s)
{
	return s->proxy->user[0] != '\0';
}

static size_t put(uint8_t *out, size_t at, const void *data, size_t len)
{
	BUG_ON(len > SOCKS_OUT_MAX - at);
	memcpy(out + at, data, len);
	return at + len;
}

static size_t put_u8(uint8_t *out, size_t at, size_t v)
{
	const uint8_t b = (uint8_t)v;

	return put(out, at, &b, 1);
}

static size_t put_auth(const struct socks *s, uint8_t *out)
{
	size_t user = strlen(s->proxy->user), password = strlen(s->proxy->password), n;

	n = put_u8(out, 0, AUTH_VERSION);
	n = put_u8(out, n, user);
	n = put(out, n, s->proxy->user, user);
	n = put_u8(out, n, password);
	return put(out, n, s->proxy->password, password);
}

static size_t put_connect(const struct socks *s, uint8_t *out)
{
	const uint8_t head[3] = { VERSION, COMMAND_CONNECT, 0 };
	size_t n = put(out, 0, head, sizeof(head));

	if (s->name[0] != '\0') {
		n = put_u8(out, n, KIND_NAME);
		n = put_u8(out, n, strlen(s->name));
		n = put(out, n, s->name, strlen(s->name));
	} else if (addr_is_v4(&s->addr)) {
		n = put_u8(out, n, KIND_V4);
		n = put(out, n, s->addr.b + 12, 4);
	} else {
		n = put_u8(out, n, KIND_V6);
		n = put(out, n, s->addr.b, 16);
	}
	n = put_u8(out, n, s->port >> 8);
	return put_u8(out, n, s->port & 0xffU);
}

size_t socks_output(const struct socks *s, uint8_t out[SOCKS_OUT_MAX])
{
	const uint8_t greeting[3] = { VERSION, 1, has_password(s) ? METHOD_PASSWORD : METHOD_NONE };

	if (s->state == SOCKS_GREETING)
		return put(out, 0, greeting, sizeof(greeting));
	if (s->state == SOCKS_AUTH)
		return put_auth(s, out);
	if (s->state == SOCKS_CONNECT)
		return put_connect(s, out);
	return 0;
}

size_t socks_wants(const struct socks *s)
{
	return s->wants;
}

static int on_method(struct socks *s, const uint8_t *in)
{
	if (in[0] != VERSION)
		return -EPROTO;
	/* The one that was offered, and no other. */
	if (in[1] == METHOD_PASSWORD && has_password(s))
		move_to(s, SOCKS_AUTH, 2);
	else if (in[1] == METHOD_NONE && !has_password(s))
		move_to(s, SOCKS_CONNECT, 4);
	else
		return -EACCES;
	return 0;
}

static int on_auth(struct socks *s, const uint8_t *in)
{
	if (in[0] != AUTH_VERSION)
		return -EPROTO;
	if (in[1] != 0)
		return -EACCES;
	move_to(s, SOCKS_CONNECT, 4);
	return 0;
}

static int on_connect(struct socks *s, const uint8_t *in)
{
	if (in[0] != VERSION || in[2] != 0)
		return -EPROTO;
	if (in[1] != 0)
		return -ECONNREFUSED;
	if (in[3] == KIND_V4)
		move_to(s, SOCKS_CONNECT_REST, 4 + 2);
	else if (in[3] == KIND_V6)
		move_to(s, SOCKS_CONNECT_REST, 16 + 2);
	else if (in[3] == KIND_NAME)
		move_to(s, SOCKS_CONNECT_NAME, 1);
	else
		return -EPROTO;
	return 0;
}

int socks_input(struct socks *s, const uint8_t *in)
{
	switch (s->state) {
	case SOCKS_GREETING:
		return on_method(s, in);
	case SOCKS_AUTH:
		return on_auth(s, in);
	case SOCKS_CONNECT:
		return on_connect(s, in);
	case SOCKS_CONNECT_NAME:
		move_to(s, SOCKS_CONNECT_REST, in[0] + 2U);
		return 0;
	case SOCKS_CONNECT_REST:
		move_to(s, SOCKS_DONE, 0);
		return 0;
	case SOCKS_DONE:
		break;
	}
	return -EPROTO;
}
