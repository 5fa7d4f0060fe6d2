/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/forward.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

/* Of the connection, and the framing, which is written anew. */
static const char *const hop_by_hop[] = {
	"Connection", "Keep-Alive",	   "Proxy-Connection", "TE",	 "Trailer",
	"Upgrade",    "Transfer-Encoding", "Content-Length",   "Expect", NULL,
};
/* Of an answer: ours are there already. */
static const char *const answers_own[] = { "Date", "X-Request-Id", NULL };

static bool is_among(const char *name, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcasecmp(name, *list) == 0)
			return true;
	return false;
}

/* Does a Connection field name it? Then it is the connection's, whatever it is. */
static bool is_named(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->fields_count; i++)
		if (strcasecmp(h->fields[i].name, "Connection") == 0 &&
		    http_list_has(h->fields[i].value, name))
			return true;
	return false;
}

static bool passes(const struct http_head *h, const struct http_field *f)
{
	/* Who could have Host dropped could choose another one for the next server. */
	return !is_among(f->name, hop_by_hop) &&
	       (!is_named(h, f->name) || strcasecmp(f->name, "Host") == 0);
}

static int put(struct buf *out, const char *a, const char *b, const char *c, const char *d)
{
	int r = buf_put(out, a, strlen(a));

	if (r == 0)
		r = buf_put(out, b, strlen(b));
	if (r == 0)
		r = buf_put(out, c, strlen(c));
	return r == 0 ? buf_put(out, d, strlen(d)) : r;
}

static int put_framing(const struct http_head *h, struct buf *out)
{
	char line[64];

	if (h->body == HTTP_BODY_CHUNKED)
		return put(out, "Transfer-Encoding", ": ", "chunked", "\r\n");
	/* "Content-Length: 0" of a POST says that there is none. */
	if (h->body != HTTP_BODY_LENGTH && http_head_field(h, "Content-Length") == NULL)
		return 0;
	(void)snprintf(line, sizeof(line), "%" PRIu64, h->length);
	return put(out, "Content-Length", ": ", line, "\r\n");
}

static int put_field(const struct http_field *f, const char *host, struct buf *out)
{
	if (host != NULL && strcasecmp(f->name, "Host") == 0)
		return put(out, "Host", ": ", host, "\r\n");
	return put(out, f->name, ": ", f->value, "\r\n");
}

int http_forward_request(const struct http_head *h, const char *const *withhold, const char *host,
			 const char *request_id, struct buf *out)
{
	int r = put(out, h->method, " ", h->target, " HTTP/1.1\r\n");

	for (size_t i = 0; i < h->fields_count && r == 0; i++) {
		const struct http_field *f = &h->fields[i];
		if (passes(h, f) && !is_among(f->name, withhold) &&
		    strcasecmp(f->name, "X-Request-Id") != 0)
			r = put_field(f, host, out);
	}
	if (r == 0 && h->host == NULL) /* HTTP/1.0 */
		r = put(out, "Host", ": ", host != NULL ? host : "localhost", "\r\n");
	if (r == 0)
		r = put(out, "X-Request-Id", ": ", request_id, "\r\n");
	if (r == 0)
		r = put_framing(h, out);
	if (r == 0 && h->upgrade)
		r = put(out, "Connection: Upgrade\r\nUpgrade", ": ", http_head_field(h, "Upgrade"),
			"\r\n");
	else if (r == 0)
		r = put(out, "Connection", ": ", "close", "\r\n");
	return r == 0 ? put(out, "\r\n", "", "", "") : r;
}

size_t http_forward_fields(const struct http_head *h, struct http_field ret[HTTP_FIELDS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < h->fields_count; i++)
		if (passes(h, &h->fields[i]) && !is_among(h->fields[i].name, answers_own))
			ret[n++] = h->fields[i];
	return n;
}
