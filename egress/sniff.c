/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/sniff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "egress/hello.h"

_Static_assert(SNIFF_MAX >= EGRESS_HELLO_MAX, "a hello is decided about by then");

static int sniff_hello(const void *data, size_t len, struct sniff *ret)
{
	struct hello h;
	int r = hello_parse(data, len, &h);

	if (r == -EAGAIN)
		return r;
	ret->kind = SNIFF_TLS;
	if (r == 0 && !h.encrypted)
		memcpy(ret->name, h.name, sizeof(ret->name));
	return 0;
}

/* May these bytes begin a request? Capital letters, then a blank. */
static bool is_method(const char *p, size_t len)
{
	size_t i = 0;

	while (i < len && i < HTTP_METHOD_MAX && p[i] >= 'A' && p[i] <= 'Z')
		i++;
	return i == len || (i > 0 && p[i] == ' ');
}

static int sniff_head(const void *data, size_t len, size_t from, struct sniff *ret)
{
	ssize_t n = http_head_length(data, len, from);
	struct http_head h;
	char *text;

	if (n == 0)
		return -EAGAIN;
	if (n < 0)
		return 0;
	text = malloc((size_t)n);
	if (text == NULL)
		return 0;
	memcpy(text, data, (size_t)n);
	if (http_request_parse(text, (size_t)n, &h) == 0) {
		ret->kind = SNIFF_HTTP;
		if (h.host == NULL || name_from_host(h.host, ret->name) < 0)
			ret->name[0] = '\0';
	}
	free(text);
	return 0;
}

int sniff_parse(const void *data, size_t len, size_t from, struct sniff *ret)
{
	struct sniff s = { .kind = SNIFF_OTHER };
	int r = -EAGAIN;

	if (len > SNIFF_MAX)
		len = SNIFF_MAX;
	if (len > 0) {
		if (hello_begins(data, len))
			r = sniff_hello(data, len, &s);
		else
			r = is_method(data, len) ? sniff_head(data, len, from, &s) : 0;
	}
	if (r == 0)
		*ret = s;
	return r;
}
