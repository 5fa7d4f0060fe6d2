/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What casemated reads of HTTP: a head as a request and as a response, its query, and what follows
 * as its body, in two ways of cutting, which must give the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/body.h"
#include "api/http/head.h"
#include "api/http/target.h"
#include "base/bug.h"
#include "base/num.h"

/* Bytes of body, a sum of them, and whether it was whole. */
struct taken {
	uint64_t len, sum;
	bool done, bad;
};

static struct taken take(const struct http_head *h, const uint8_t *p, size_t len, size_t step)
{
	struct taken t = { 0 };
	struct http_body b;

	http_body_init(&b, h);
	while (len > 0 && !b.done) {
		const void *data;
		size_t n;
		ssize_t used = http_body_take(&b, p, MIN(step, len), &data, &n);
		if (used < 0) {
			t.bad = true;
			return t;
		}
		BUG_ON(used == 0 || (size_t)used > len || n > (size_t)used);
		for (size_t i = 0; i < n; i++)
			t.sum = t.sum * 31 + ((const uint8_t *)data)[i];
		t.len += n;
		p += used;
		len -= (size_t)used;
	}
	t.done = b.done;
	return t;
}

static void take_both(const struct http_head *h, const uint8_t *p, size_t len)
{
	struct taken a = take(h, p, len, len), b = take(h, p, len, 3);

	BUG_ON(a.bad != b.bad);
	BUG_ON(!a.bad && (a.len != b.len || a.sum != b.sum || a.done != b.done));
}

static void try_query(const struct http_head *h)
{
	struct http_arg args[HTTP_QUERY_MAX];
	char *copy = strdup(h->target), *mark = strchr(copy, '?');
	struct http_params p;

	if (mark != NULL) {
		*mark = '\0';
		BUG_ON(http_query_parse(mark + 1, args) > (int)HTTP_QUERY_MAX);
	}
	if (http_path_matches("/sandboxes/{}/a/{}", copy, &p))
		BUG_ON(strlen(p.text[1]) >= sizeof(p.text[1]));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ssize_t len = http_head_length(data, size, 0);
	struct http_head h;
	char *text;

	if (len <= 0)
		return 0;
	text = malloc((size_t)len + 1);
	BUG_ON(text == NULL);
	memcpy(text, data, (size_t)len);
	text[len] = '\0';
	if (http_request_parse(text, (size_t)len, &h) == 0) {
		try_query(&h);
		take_both(&h, data + len, size - (size_t)len);
	}
	memcpy(text, data, (size_t)len);
	text[len] = '\0';
	if (http_response_parse(text, (size_t)len, "GET", &h) == 0)
		take_both(&h, data + len, size - (size_t)len);
	free(text);
	return 0;
}
