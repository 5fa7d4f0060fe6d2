/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/json/scan.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "agent/json/codec.h"
#include "base/json_text.h"

int scan_fail(struct scan *s, const char *what)
{
	return err_set(s->err, -EINVAL, "JSON: %s at byte %zu", what, s->at);
}

char scan_peek(struct scan *s)
{
	while (s->at < s->len && (s->text[s->at] == ' ' || s->text[s->at] == '\t' ||
				  s->text[s->at] == '\n' || s->text[s->at] == '\r'))
		s->at++;
	return s->at < s->len ? s->text[s->at] : '\0';
}

int scan_take(struct scan *s, char c)
{
	const char what[] = { '\'', c, '\'', ' ', 'e', 'x', 'p', 'e', 'c', 't', 'e', 'd', '\0' };

	if (scan_peek(s) != c || s->at == s->len)
		return scan_fail(s, what);
	s->at++;
	return 0;
}

int scan_more(struct scan *s, char close, bool *first)
{
	const bool was_first = *first;

	*first = false;
	if (scan_peek(s) == close && s->at < s->len) {
		s->at++;
		return 0;
	}
	if (!was_first && scan_take(s, ',') < 0)
		return -EINVAL;
	return 1;
}

int scan_enter(struct scan *s, char open)
{
	if (++s->depth > JSON_DEPTH_MAX)
		return scan_fail(s, "too deep");
	return scan_take(s, open);
}

void scan_leave(struct scan *s)
{
	s->depth--;
}

static int hex4(struct scan *s, uint32_t *ret)
{
	uint32_t v = 0;

	if (s->len - s->at < 4)
		return scan_fail(s, "a broken escape");
	for (int i = 0; i < 4; i++) {
		char c = s->text[s->at++];
		uint32_t digit;
		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			digit = (uint32_t)(c - 'A' + 10);
		else
			return scan_fail(s, "a broken escape");
		v = v << 4 | digit;
	}
	*ret = v;
	return 0;
}

static int put_utf8(struct buf *out, uint32_t c)
{
	uint8_t b[4];

	if (c < 0x80) {
		b[0] = (uint8_t)c;
		return buf_put(out, b, 1);
	}
	if (c < 0x800) {
		b[0] = (uint8_t)(0xc0 | c >> 6);
		b[1] = (uint8_t)(0x80 | (c & 63));
		return buf_put(out, b, 2);
	}
	if (c < 0x10000) {
		b[0] = (uint8_t)(0xe0 | c >> 12);
		b[1] = (uint8_t)(0x80 | (c >> 6 & 63));
		b[2] = (uint8_t)(0x80 | (c & 63));
		return buf_put(out, b, 3);
	}
	b[0] = (uint8_t)(0xf0 | c >> 18);
	b[1] = (uint8_t)(0x80 | (c >> 12 & 63));
	b[2] = (uint8_t)(0x80 | (c >> 6 & 63));
	b[3] = (uint8_t)(0x80 | (c & 63));
	return buf_put(out, b, 4);
}

/* After "\u": one character, which may take a second escape. */
static int take_unicode(struct scan *s, struct buf *out)
{
	uint32_t c, low;
	int r = hex4(s, &c);

	if (r < 0)
		return r;
	if (c >= 0xd800 && c <= 0xdfff) {
		if (c > 0xdbff || s->len - s->at < 2 || s->text[s->at] != '\\' ||
		    s->text[s->at + 1] != 'u')
			return scan_fail(s, "half a surrogate pair");
		s->at += 2;
		r = hex4(s, &low);
		if (r < 0)
			return r;
		if (low < 0xdc00 || low > 0xdfff)
			return scan_fail(s, "half a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
	}
	if (c == 0)
		return scan_fail(s, "U+0000 in a string");
	return put_utf8(out, c);
}

static int take_escape(struct scan *s, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *p;
	char c;

	if (s->at == s->len)
		return scan_fail(s, "a broken escape");
	c = s->text[s->at++];
	if (c == 'u')
		return take_unicode(s, out);
	p = c != '\0' ? strchr(from, c) : NULL;
	if (p == NULL)
		return scan_fail(s, "a broken escape");
	return buf_put(out, to + (p - from), 1);
}

int scan_string(struct scan *s, struct buf *out)
{
	int r = scan_take(s, '"');

	while (r == 0) {
		size_t from = s->at, n;
		while (s->at < s->len && s->text[s->at] != '"' && s->text[s->at] != '\\' &&
		       (unsigned char)s->text[s->at] >= ' ') {
			n = utf8_length(s->text + s->at, s->len - s->at);
			if (n == 0)
				return scan_fail(s, "a byte that is not UTF-8");
			s->at += n;
		}
		r = buf_put(out, s->text + from, s->at - from);
		if (r < 0)
			break;
		if (s->at == s->len)
			return scan_fail(s, "a string without end");
		if (s->text[s->at] == '"') {
			s->at++;
			return 0;
		}
		if (s->text[s->at] != '\\')
			return scan_fail(s, "a control character in a string");
		s->at++;
		r = take_escape(s, out);
	}
	return r;
}

int scan_number(struct scan *s, char *dst, size_t cap)
{
	size_t n = 0;

	(void)scan_peek(s);
	while (s->at < s->len && s->text[s->at] != '\0' &&
	       strchr("+-.eE0123456789", s->text[s->at]) != NULL) {
		if (n + 1 >= cap)
			return scan_fail(s, "a number that is too long");
		dst[n++] = s->text[s->at++];
	}
	dst[n] = '\0';
	return n > 0 ? 0 : scan_fail(s, "not a value");
}

int scan_word(struct scan *s, const char *word)
{
	const size_t len = strlen(word);

	(void)scan_peek(s);
	if (s->len - s->at < len || memcmp(s->text + s->at, word, len) != 0)
		return scan_fail(s, "not a value");
	s->at += len;
	return 0;
}

static int skip_members(struct scan *s, char close)
{
	struct buf key;
	bool first = true;
	int r = scan_enter(s, close == '}' ? '{' : '[');

	buf_init(&key, s->len);
	while (r == 0 && (r = scan_more(s, close, &first)) > 0) {
		r = 0;
		if (close == '}') {
			r = scan_string(s, &key);
			buf_consume(&key, buf_len(&key));
			if (r == 0)
				r = scan_take(s, ':');
		}
		if (r == 0)
			r = scan_skip(s);
	}
	buf_done(&key);
	scan_leave(s);
	return r;
}

static int skip_string(struct scan *s)
{
	struct buf text;
	int r;

	buf_init(&text, s->len);
	r = scan_string(s, &text);
	buf_done(&text);
	return r;
}

int scan_skip(struct scan *s)
{
	char number[64];

	switch (scan_peek(s)) {
	case '{':
		return skip_members(s, '}');
	case '[':
		return skip_members(s, ']');
	case '"':
		return skip_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		return scan_number(s, number, sizeof(number));
	}
}
