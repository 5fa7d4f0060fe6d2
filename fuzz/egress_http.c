/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests of a connection, in two ways of cutting, which must give the same bytes; what comes
 * out begins with requests to the allowed host only, each with the header that is to be set, once.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/bug.h"
#include "egress/inspect.h"
#include "egress/sniff.h"

static char header_name[] = "X-Secret", header_value[] = "s3cret";
static const struct policy_rule rule = { .count = 1, .headers = { { header_name, header_value } } };

static int decide(void *arg, const struct http_head *h, const struct policy_rule **ret_rule)
{
	char name[NAME_CAP];

	(void)arg;
	if (h->host == NULL || name_from_host(h->host, name) < 0 || strcmp(name, "a.example") != 0)
		return -EACCES;
	*ret_rule = &rule;
	return 0;
}

static int pass(const uint8_t *data, size_t size, size_t step, struct buf *all)
{
	struct inspect i;
	struct buf in, out;
	int r = 0;

	buf_init(&in, 65536);
	buf_init(&out, INSPECT_HEAD_OUT_MAX);
	inspect_init(&i, decide, NULL);
	for (size_t at = 0; at < size && r == 0; at += step) {
		size_t n = size - at < step ? size - at : step;

		if (buf_put(&in, data + at, n) < 0)
			break;
		do {
			r = inspect_move(&i, &in, &out);
			n = buf_len(&out);
			if (n > 0 && buf_put(all, buf_head(&out), n) < 0)
				r = -ENOMEM;
			buf_consume(&out, n);
		} while (r == 0 && n > 0);
	}
	BUG_ON(r > 0);
	buf_done(&in);
	buf_done(&out);
	return r;
}

static void check_first(const struct buf *all)
{
	static char text[HTTP_HEAD_MAX + 64];
	struct http_head h;
	ssize_t n = buf_len(all) == 0 ? 0 : http_head_length(buf_head(all), buf_len(all), 0);
	size_t set = 0;
	unsigned r;

	if (n <= 0 || (size_t)n > sizeof(text))
		return;
	memcpy(text, buf_head(all), (size_t)n);
	r = http_request_parse(text, (size_t)n, &h);
	if (r == 431) /* it had as many fields as we take, and got one more */
		return;
	BUG_ON(r != 0);
	for (size_t i = 0; i < h.fields_count; i++) {
		if (strcasecmp(h.fields[i].name, header_name) != 0)
			continue;
		BUG_ON(strcmp(h.fields[i].value, header_value) != 0);
		set++;
	}
	BUG_ON(set != 1 || strncasecmp(h.host, "a.example", 9) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf a, b;
	struct sniff s;
	int x, y;

	if (size == 0 || size > 20000)
		return 0;
	(void)sniff_parse(data, size, 0, &s);
	buf_init(&a, 4U << 20);
	buf_init(&b, 4U << 20);
	x = pass(data, size, size, &a);
	y = pass(data, size, 7, &b);
	BUG_ON(x != y);
	if (x == 0)
		BUG_ON(buf_len(&a) != buf_len(&b) ||
		       (buf_len(&a) > 0 && memcmp(buf_head(&a), buf_head(&b), buf_len(&a)) != 0));
	check_first(&a);
	buf_done(&a);
	buf_done(&b);
	return 0;
}
