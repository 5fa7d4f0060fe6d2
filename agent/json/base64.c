/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/json/base64.h"

#include <errno.h>

void base64_encode(const uint8_t *src, size_t len, char *dst)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)src[i] << 16;

		if (n > 1)
			v |= (uint32_t)src[i + 1] << 8;
		if (n > 2)
			v |= src[i + 2];
		*dst++ = digits[v >> 18];
		*dst++ = digits[v >> 12 & 63];
		*dst++ = '=';
		*dst++ = '=';
		if (n > 1)
			dst[-2] = digits[v >> 6 & 63];
		if (n > 2)
			dst[-1] = digits[v & 63];
	}
}

static int value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

ssize_t base64_decode(const char *src, size_t len, uint8_t *dst)
{
	uint32_t v = 0;
	size_t n = 0;

	if (len % 4 == 0 && len > 0 && src[len - 1] == '=')
		len -= src[len - 2] == '=' ? 2 : 1;
	if (len % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int digit = value(src[i]);
		if (digit < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)digit;
		if (i % 4 == 1)
			dst[n++] = (uint8_t)(v >> 4);
		else if (i % 4 == 2)
			dst[n++] = (uint8_t)(v >> 2);
		else if (i % 4 == 3)
			dst[n++] = (uint8_t)v;
	}
	return (ssize_t)n;
}
