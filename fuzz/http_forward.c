/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose request it is, and what of a message is passed on. What comes out must be a head that our
 * own parser takes, with the same framing, without what belongs to one connection or to the
 * service.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/daemon/hostmask.h"
#include "api/daemon/route.h"
#include "api/http/forward.h"
#include "base/bug.h"

static const char *const withhold[] = { "X-API-Key", "E2b-Traffic-Access-Token", NULL };

static void check_forwarded(const struct http_head *h, const char *host, struct buf *out)
{
	static const char *const gone[] = { "X-API-Key",  "E2b-Traffic-Access-Token",
					    "Keep-Alive", "TE",
					    "Trailer",	  "Expect",
					    NULL };
	size_t len = buf_len(out);
	char *text = malloc(len + 1);
	struct http_head again;

	BUG_ON(text == NULL || http_head_length(buf_head(out), len, 0) != (ssize_t)len);
	memcpy(text, buf_head(out), len);
	text[len] = '\0';
	BUG_ON(http_request_parse(text, len, &again) != 0);
	BUG_ON(strcmp(again.method, h->method) != 0 || strcmp(again.target, h->target) != 0);
	BUG_ON(again.body != h->body || (h->body == HTTP_BODY_LENGTH && again.length != h->length));
	BUG_ON(again.upgrade != h->upgrade || again.close == h->upgrade || again.expect);
	for (size_t i = 0; gone[i] != NULL; i++)
		BUG_ON(http_head_field(&again, gone[i]) != NULL);
	BUG_ON(host == NULL && h->host != NULL && strcmp(h->host, again.host) != 0);
	BUG_ON(host != NULL && strcmp(host, again.host) != 0);
	free(text);
}

static void try_forward(const struct http_head *h, const char *host)
{
	struct buf out;

	buf_init(&out, 2 * HTTP_HEAD_MAX);
	/* Beyond all limits of a head, it can be refused by the next one. */
	if (h->fields_count + 4 <= HTTP_FIELDS_MAX &&
	    http_forward_request(h, withhold, host, "0123456789abcdef", &out) == 0 &&
	    buf_len(&out) < HTTP_HEAD_MAX)
		check_forwarded(h, host, &out);
	buf_done(&out);
}

/* Any text at all as a mask: what is valid becomes a Host. */
static void try_mask(const struct http_head *h)
{
	char host[HOSTMASK_MAX + 1];

	if (h->host == NULL || !hostmask_valid(h->host))
		return;
	hostmask_expand(h->host, 65535, host);
	try_forward(h, host);
}

static void try_request(const struct http_head *h)
{
	char *path = strdup(h->target);
	struct route r;

	BUG_ON(path == NULL);
	path[strcspn(path, "?")] = '\0';
	route_find(h, path, &r);
	BUG_ON(r.kind == ROUTE_SANDBOX && r.id[0] != '\0' && !sandbox_id_valid(r.id));
	BUG_ON(r.port == 0);
	(void)route_is_internal(path);
	free(path);
	try_forward(h, NULL);
	try_mask(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_field fields[HTTP_FIELDS_MAX];
	ssize_t len = http_head_length(data, size, 0);
	struct http_head h;
	char *text;

	if (len <= 0)
		return 0;
	text = malloc((size_t)len + 1);
	BUG_ON(text == NULL);
	memcpy(text, data, (size_t)len);
	text[len] = '\0';
	if (http_request_parse(text, (size_t)len, &h) == 0)
		try_request(&h);
	memcpy(text, data, (size_t)len);
	text[len] = '\0';
	if (http_response_parse(text, (size_t)len, "GET", &h) == 0) {
		size_t n = http_forward_fields(&h, fields);
		for (size_t i = 0; i < n; i++)
			BUG_ON(strcasecmp(fields[i].name, "Content-Length") == 0 ||
			       strcasecmp(fields[i].name, "Transfer-Encoding") == 0 ||
			       strcasecmp(fields[i].name, "Connection") == 0);
	}
	free(text);
	return 0;
}
