/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multipart/form-data. The input's first line is the Content-Type, the rest the body. In whatever
 * pieces it comes, the parts are the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/multipart.h"
#include "base/bug.h"
#include "base/num.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What came, as a sum that depends on the order. */
struct seen {
	uint64_t sum;
	bool open;
};

static void add(struct seen *s, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		s->sum = (s->sum ^ p[i]) * UINT64_C(0x100000001b3);
}

static int on_begin(const struct multipart_part *part, void *arg)
{
	struct seen *s = arg;

	BUG_ON(s->open);
	s->open = true;
	add(s, part->name, strnlen(part->name, sizeof(part->name)) + 1);
	add(s, part->filename, strnlen(part->filename, sizeof(part->filename)) + 1);
	return 0;
}

static int on_data(const uint8_t *data, size_t len, void *arg)
{
	struct seen *s = arg;

	BUG_ON(!s->open || len == 0);
	add(s, data, len);
	return 0;
}

static int on_end(void *arg)
{
	struct seen *s = arg;

	BUG_ON(!s->open);
	s->open = false;
	add(s, "", 1);
	return 0;
}

static const struct multipart_ops ops = { .begin = on_begin, .data = on_data, .end = on_end };

static int run(const char *type, const uint8_t *data, size_t len, size_t step, struct seen *s)
{
	struct multipart m;
	int r = multipart_init(&m, type, &ops, s);

	if (r < 0)
		return r;
	for (size_t at = 0; r == 0 && at < len; at += step)
		r = multipart_feed(&m, data + at, MIN(step, len - at));
	if (r == 0)
		r = multipart_finish(&m);
	BUG_ON(r == 0 && s->open);
	multipart_done(&m);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *eol = size > 0 ? memchr(data, '\n', size) : NULL;
	const size_t used = eol != NULL ? (size_t)(eol - data) : size;
	const size_t skip = eol != NULL ? used + 1 : used;
	struct seen whole = { 0 }, pieces = { 0 };
	char *type = strndup((const char *)data, used);
	int r;

	BUG_ON(type == NULL);
	r = run(type, data + skip, size - skip, 1000000, &whole);
	BUG_ON(run(type, data + skip, size - skip, 3, &pieces) != r);
	BUG_ON(r == 0 && whole.sum != pieces.sum);
	free(type);
	return 0;
}
