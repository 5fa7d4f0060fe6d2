/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/inspect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

void inspect_init(struct inspect *i, inspect_fn *decide, void *arg)
{
	*i = (struct inspect){ .state = INSPECT_HEAD, .decide = decide, .arg = arg };
}

static bool rule_sets(const struct policy_rule *r, const char *name)
{
	for (size_t i = 0; r != NULL && i < r->count; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return true;
	return false;
}

static int put_text(struct buf *out, const char *s)
{
	return buf_put(out, s, strlen(s));
}

static int put_field(struct buf *out, const char *name, const char *value)
{
	int r = put_text(out, name);

	if (r == 0)
		r = put_text(out, ": ");
	if (r == 0)
		r = put_text(out, value);
	return r == 0 ? put_text(out, "\r\n") : r;
}

static int put_request_line(struct buf *out, const struct http_head *h)
{
	int r = put_text(out, h->method);

	if (r == 0)
		r = put_text(out, " ");
	if (r == 0)
		r = put_text(out, h->target);
	return r == 0 ? put_text(out, h->minor == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n") : r;
}

static int put_head(struct buf *out, const struct http_head *h, const struct policy_rule *rule)
{
	int r = put_request_line(out, h);

	for (size_t i = 0; r == 0 && i < h->fields_count; i++)
		if (!rule_sets(rule, h->fields[i].name))
			r = put_field(out, h->fields[i].name, h->fields[i].value);
	for (size_t i = 0; r == 0 && rule != NULL && i < rule->count; i++)
		r = put_field(out, rule->headers[i].name, rule->headers[i].value);
	return r == 0 ? put_text(out, "\r\n") : r;
}

/* One whole head of len bytes, in text, which is taken apart. */
static int take_head(struct inspect *i, char *text, size_t len, struct buf *out)
{
	const struct policy_rule *rule = NULL;
	struct http_head h;
	int r;

	if (http_request_parse(text, len, &h) != 0)
		return -EPROTO;
	r = i->decide(i->arg, &h, &rule);
	if (r < 0)
		return r;
	/* TRACE would send the guest what it isn't to see. */
	if (rule != NULL && rule->count > 0 && strcmp(h.method, "TRACE") == 0)
		return -EACCES;
	r = put_head(out, &h, rule);
	if (r < 0)
		return r;
	http_body_init(&i->body, &h);
	i->close = h.close;
	i->upgrade = h.upgrade;
	i->state = INSPECT_BODY;
	return 0;
}

/* 0: went on; -EAGAIN: there is nothing to do now. */
static int move_head(struct inspect *i, struct buf *in, struct buf *out)
{
	ssize_t len;
	char *text;
	int r;

	/* Before a request an empty line is allowed (RFC 9112 §2.2), and dropped. */
	while (i->seen == 0 && buf_len(in) >= 2 && memcmp(buf_head(in), "\r\n", 2) == 0)
		buf_consume(in, 2);
	if (i->seen == 0 && buf_len(in) == 1 && *buf_head(in) == '\r')
		return -EAGAIN; /* the half of one, perhaps */
	len = http_head_length(buf_head(in), buf_len(in), i->seen);
	if (len < 0)
		return (int)len;
	if (len == 0) {
		i->seen = buf_len(in);
		return -EAGAIN;
	}
	if (buf_room(out) < INSPECT_HEAD_OUT_MAX)
		return -EAGAIN;
	text = malloc((size_t)len);
	if (text == NULL)
		return -ENOMEM;
	memcpy(text, buf_head(in), (size_t)len);
	buf_consume(in, (size_t)len);
	i->seen = 0;
	r = take_head(i, text, (size_t)len, out);
	free(text);
	return r;
}

static int move_bytes(struct buf *in, struct buf *out, size_t len)
{
	int r = buf_put(out, buf_head(in), len);

	if (r == 0)
		buf_consume(in, len);
	return r;
}

/* The body with its framing, which is read to know where it ends. */
static int move_body(struct inspect *i, struct buf *in, struct buf *out)
{
	size_t len = MIN(buf_len(in), buf_room(out)), data_len;
	const void *data;
	ssize_t used;

	if (i->body.done) {
		i->state = i->upgrade ? INSPECT_OPAQUE : i->close ? INSPECT_CLOSED : INSPECT_HEAD;
		return 0;
	}
	if (len == 0)
		return -EAGAIN;
	used = http_body_take(&i->body, buf_head(in), len, &data, &data_len);
	if (used <= 0)
		return used < 0 ? -EPROTO : -EAGAIN;
	return move_bytes(in, out, (size_t)used);
}

static int move_opaque(struct buf *in, struct buf *out)
{
	size_t len = MIN(buf_len(in), buf_room(out));

	return len == 0 ? -EAGAIN : move_bytes(in, out, len);
}

static int move_one(struct inspect *i, struct buf *in, struct buf *out)
{
	switch (i->state) {
	case INSPECT_HEAD:
		return buf_len(in) == 0 ? -EAGAIN : move_head(i, in, out);
	case INSPECT_BODY:
		return move_body(i, in, out);
	case INSPECT_OPAQUE:
		return move_opaque(in, out);
	case INSPECT_CLOSED: /* nobody reads what follows the last request */
		buf_consume(in, buf_len(in));
		return -EAGAIN;
	}
	return -EPROTO;
}

int inspect_move(struct inspect *i, struct buf *in, struct buf *out)
{
	int r;

	do {
		r = move_one(i, in, out);
	} while (r == 0);
	return r == -EAGAIN ? 0 : r;
}
