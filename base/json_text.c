/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

size_t utf8_length(const char *s, size_t len)
{
	const unsigned char *c = (const unsigned char *)s;
	size_t n;

	if (len == 0)
		return 0;
	if (c[0] < 0x80)
		return 1;
	n = c[0] >= 0xc2 && c[0] <= 0xdf ? 2 : (c[0] & 0xf0) == 0xe0 ? 3 : 4;
	if (len < n || c[0] < 0xc2 || c[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than needed, a surrogate, above U+10FFFF. */
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return n;
}

static int put_escape(struct buf *b, unsigned char c)
{
	char text[8];
	int n;

	switch (c) {
	case '"':
		return buf_put(b, "\\\"", 2);
	case '\\':
		return buf_put(b, "\\\\", 2);
	case '\n':
		return buf_put(b, "\\n", 2);
	case '\r':
		return buf_put(b, "\\r", 2);
	case '\t':
		return buf_put(b, "\\t", 2);
	default:
		n = snprintf(text, sizeof(text), "\\u%04x", (unsigned)c);
		return buf_put(b, text, (size_t)n);
	}
}

int json_put_string(struct buf *b, const char *s, size_t len)
{
	size_t plain = 0;
	int r = buf_put(b, "\"", 1);

	for (size_t i = 0; r == 0 && i < len;) {
		unsigned char c = (unsigned char)s[i];
		size_t n = utf8_length(s + i, len - i);

		if (n > 0 && c >= ' ' && c != '"' && c != '\\' && c != 0x7f) {
			i += n;
			continue;
		}
		/* Characters in one go, as far as they need nothing. */
		r = buf_put(b, s + plain, i - plain);
		if (r == 0)
			r = n > 0 ? put_escape(b, c) : buf_put(b, "\xef\xbf\xbd", 3);
		plain = ++i;
	}
	if (r == 0)
		r = buf_put(b, s + plain, len - plain);
	return r < 0 ? r : buf_put(b, "\"", 1);
}

int json_printf(struct buf *b, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		return -ENOSPC;
	return buf_put(b, text, (size_t)n);
}
