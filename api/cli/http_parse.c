/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/http_parse.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"

#define CHUNK_DIGITS_MAX  8U
#define LENGTH_DIGITS_MAX 15U

/* One line without its CRLF. */
struct line {
	const char *text;
	size_t len;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool equals(const char *text, size_t len, const char *want)
{
	if (len != strlen(want))
		return false;
	for (size_t i = 0; i < len; i++)
		if (lower(text[i]) != want[i])
			return false;
	return true;
}

/* Is want one of the comma-separated words? */
static bool lists(const char *text, size_t len, const char *want)
{
	for (size_t at = 0; at < len;) {
		size_t end = at;
		while (end < len && text[end] != ',')
			end++;
		size_t from = at, to = end;
		while (from < to && text[from] == ' ')
			from++;
		while (to > from && text[to - 1] == ' ')
			to--;
		if (equals(text + from, to - from, want))
			return true;
		at = end + 1;
	}
	return false;
}

static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' ||
	       c == '_';
}

static int parse_status(const struct line *l, struct http_head *h)
{
	static const char proto[] = "HTTP/1.1 ";
	const size_t skip = sizeof(proto) - 1;

	if (l->len < skip + 3 || memcmp(l->text, proto, skip) != 0)
		return -EPROTO;
	for (size_t i = 0; i < 3; i++) {
		if (!is_digit(l->text[skip + i]))
			return -EPROTO;
		h->status = h->status * 10 + (unsigned)(l->text[skip + i] - '0');
	}
	if (l->len > skip + 3 && l->text[skip + 3] != ' ')
		return -EPROTO;
	return h->status < 100 || h->status > 599 ? -EPROTO : 0;
}

static int parse_length(const char *text, size_t len, struct http_head *h)
{
	if (len == 0 || len > LENGTH_DIGITS_MAX || h->body != HTTP_BODY_NONE)
		return -EPROTO;
	h->body = HTTP_BODY_LENGTH;
	h->length = 0;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(text[i]))
			return -EPROTO;
		h->length = h->length * 10 + (uint64_t)(text[i] - '0');
	}
	return 0;
}

static int parse_field(const struct line *l, struct http_head *h)
{
	size_t name = 0, from, to = l->len;

	while (name < l->len && is_token(l->text[name]))
		name++;
	if (name == 0 || name == l->len || l->text[name] != ':')
		return -EPROTO;
	from = name + 1;
	while (from < to && l->text[from] == ' ')
		from++;
	while (to > from && l->text[to - 1] == ' ')
		to--;
	const char *value = l->text + from;
	const size_t len = to - from;
	if (equals(l->text, name, "content-length"))
		return parse_length(value, len, h);
	if (equals(l->text, name, "transfer-encoding")) {
		if (h->body != HTTP_BODY_NONE || !equals(value, len, "chunked"))
			return -EPROTO;
		h->body = HTTP_BODY_CHUNKED;
	} else if (equals(l->text, name, "connection")) {
		h->close = h->close || lists(value, len, "close");
	} else if (equals(l->text, name, "upgrade")) {
		h->upgrade_ttrpc = equals(value, len, "ttrpc");
	}
	return 0;
}

/* Takes the line at *at: 1, 0 = not complete yet, -EPROTO. */
static int next_line(const char *data, size_t len, size_t *at, struct line *ret)
{
	size_t i = *at;

	while (i < len && data[i] != '\r' && data[i] != '\n' && data[i] != '\0')
		i++;
	if (i == len || (data[i] == '\r' && i + 1 == len))
		return 0;
	if (data[i] != '\r' || data[i + 1] != '\n')
		return -EPROTO;
	*ret = (struct line){ .text = data + *at, .len = i - *at };
	*at = i + 2;
	return 1;
}

ssize_t http_head_parse(const char *data, size_t len, struct http_head *ret)
{
	struct http_head h = { .status = 0 };
	size_t at = 0, seen = MIN(len, (size_t)HTTP_HEAD_MAX);
	struct line l;
	int r = next_line(data, seen, &at, &l);

	if (r > 0)
		r = parse_status(&l, &h) < 0 ? -EPROTO : 1;
	while (r > 0) {
		r = next_line(data, seen, &at, &l);
		if (r > 0 && l.len == 0)
			break;
		if (r > 0)
			r = parse_field(&l, &h) < 0 ? -EPROTO : 1;
	}
	if (r < 0)
		return r;
	if (r == 0)
		return len >= HTTP_HEAD_MAX ? -EFBIG : 0;
	if (h.status < 200 || h.status == 204 || h.status == 304) {
		h.body = HTTP_BODY_NONE;
		h.length = 0;
	}
	if (h.status != 101)
		h.upgrade_ttrpc = false;
	*ret = h;
	return (ssize_t)at;
}

/* ---- Chunks -------------------------------------------------------------------------------- */

enum chunk_state {
	CHUNK_SIZE,    /* hexadecimal digits */
	CHUNK_SIZE_LF, /* the LF after the size */
	CHUNK_DATA,    /* `left` bytes */
	CHUNK_DATA_CR, /* CRLF after the data */
	CHUNK_DATA_LF,
	CHUNK_LAST_CR, /* CRLF after the last chunk: no trailers */
	CHUNK_LAST_LF,
	CHUNK_END
};

static int hex_value(char c)
{
	c = lower(c);
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte that isn't data. */
static int chunk_step(struct http_chunks *c, char byte)
{
	static const char expected[] = { [CHUNK_SIZE_LF] = '\n',
					 [CHUNK_DATA_CR] = '\r',
					 [CHUNK_DATA_LF] = '\n',
					 [CHUNK_LAST_CR] = '\r',
					 [CHUNK_LAST_LF] = '\n' };
	static const uint8_t next[] = { [CHUNK_DATA_CR] = CHUNK_DATA_LF,
					[CHUNK_DATA_LF] = CHUNK_SIZE,
					[CHUNK_LAST_CR] = CHUNK_LAST_LF,
					[CHUNK_LAST_LF] = CHUNK_END };

	if (c->state == CHUNK_SIZE && hex_value(byte) >= 0 && c->digits < CHUNK_DIGITS_MAX) {
		c->left = c->left * 16 + (uint64_t)hex_value(byte);
		c->digits++;
		return 0;
	}
	if (c->state == CHUNK_SIZE && byte == '\r' && c->digits > 0) {
		c->state = CHUNK_SIZE_LF;
		return 0;
	}
	if (c->state == CHUNK_SIZE || c->state == CHUNK_END || byte != expected[c->state])
		return -EPROTO;
	if (c->state == CHUNK_SIZE_LF)
		c->state = c->left > 0 ? CHUNK_DATA : CHUNK_LAST_CR;
	else
		c->state = next[c->state];
	if (c->state == CHUNK_SIZE) {
		c->digits = 0;
		c->left = 0;
	}
	return 0;
}

ssize_t http_chunks_next(struct http_chunks *c, const char *data, size_t len, const char **ret_data,
			 size_t *ret_len, bool *ret_end)
{
	size_t at = 0, take;

	*ret_len = 0;
	*ret_end = c->state == CHUNK_END;
	while (at < len && c->state != CHUNK_DATA && c->state != CHUNK_END)
		if (chunk_step(c, data[at++]) < 0)
			return -EPROTO;
	*ret_end = c->state == CHUNK_END;
	if (c->state != CHUNK_DATA)
		return (ssize_t)at;
	take = MIN(c->left, (uint64_t)(len - at));
	*ret_data = data + at;
	*ret_len = take;
	c->left -= take;
	if (c->left == 0)
		c->state = CHUNK_DATA_CR;
	return (ssize_t)(at + take);
}
