/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/head.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

#define CHARS_TOKEN                                           \
	"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"

ssize_t http_head_length(const void *data, size_t len, size_t from)
{
	/* The end may straddle what was looked at and what is new. */
	size_t start = from > 3 ? from - 3 : 0;
	const char *end =
		len > start ? memmem((const char *)data + start, len - start, "\r\n\r\n", 4) : NULL;
	size_t n = end == NULL ? len : (size_t)(end - (const char *)data) + 4;

	if (n > HTTP_HEAD_MAX || (end == NULL && n == HTTP_HEAD_MAX))
		return -EFBIG;
	return end == NULL ? 0 : (ssize_t)n;
}

const char *http_head_field(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->fields_count; i++)
		if (strcasecmp(h->fields[i].name, name) == 0)
			return h->fields[i].value;
	return NULL;
}

bool http_list_has(const char *value, const char *token)
{
	size_t want = strlen(token);

	while (*value != '\0') {
		size_t len = strcspn(value, ",");
		const char *p = value + strspn(value, " \t");
		size_t n = p < value + len ? len - (size_t)(p - value) : 0;
		while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		if (n == want && strncasecmp(p, token, n) == 0)
			return true;
		value += len + (value[len] == ',');
	}
	return false;
}

/* Visible characters, blanks and bytes above 0x7f: a field's value. */
static bool is_value(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

static bool is_token(const char *s)
{
	return *s != '\0' && s[strspn(s, CHARS_TOKEN)] == '\0';
}

/* Cuts the line at *at off and steps over its end. NULL: a bare CR or LF, or a NUL in it. The head
 * ends with CRLF CRLF, so every line has an end. */
static char *take_line(char **at, const char *end)
{
	char *line = *at;
	char *nl = memchr(line, '\n', (size_t)(end - line));

	if (nl == NULL || nl == line || nl[-1] != '\r')
		return NULL;
	nl[-1] = '\0';
	if (strlen(line) != (size_t)(nl - 1 - line) || strchr(line, '\r') != NULL)
		return NULL;
	*at = nl + 1;
	return line;
}

/* NAME ":" value: 0 or -EPROTO. */
static int take_field(char *line, struct http_field *ret)
{
	char *colon = strchr(line, ':');
	char *value;
	size_t len;

	if (colon == NULL)
		return -EPROTO;
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	len = strlen(value);
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		value[--len] = '\0';
	/* A folded line begins with a blank, which is no token. */
	if (!is_token(line) || !is_value(value))
		return -EPROTO;
	*ret = (struct http_field){ .name = line, .value = value };
	return 0;
}

/* 0, -EPROTO, or -E2BIG for too many. */
static int take_fields(char *at, const char *end, struct http_head *h)
{
	for (;;) {
		char *line = take_line(&at, end);
		if (line == NULL)
			return -EPROTO;
		if (*line == '\0')
			return at == end ? 0 : -EPROTO;
		if (h->fields_count == HTTP_FIELDS_MAX)
			return -E2BIG;
		if (take_field(line, &h->fields[h->fields_count++]) < 0)
			return -EPROTO;
	}
}

/* How many fields of this name there are; the last one's value. */
static size_t count_fields(const struct http_head *h, const char *name, const char **ret)
{
	size_t n = 0;

	*ret = NULL;
	for (size_t i = 0; i < h->fields_count; i++) {
		if (strcasecmp(h->fields[i].name, name) != 0)
			continue;
		*ret = h->fields[i].value;
		n++;
	}
	return n;
}

static bool connection_has(const struct http_head *h, const char *token)
{
	for (size_t i = 0; i < h->fields_count; i++)
		if (strcasecmp(h->fields[i].name, "Connection") == 0 &&
		    http_list_has(h->fields[i].value, token))
			return true;
	return false;
}

/* What Content-Length and Transfer-Encoding say. 0, -EPROTO, or -EOPNOTSUPP for another coding. */
static int take_framing(struct http_head *h)
{
	const char *length, *coding;
	size_t lengths = count_fields(h, "Content-Length", &length);
	size_t codings = count_fields(h, "Transfer-Encoding", &coding);

	if (lengths > 1 || codings > 1 || (lengths > 0 && codings > 0))
		return -EPROTO;
	if (codings > 0) {
		if (h->minor == 0)
			return -EPROTO;
		if (strcasecmp(coding, "chunked") != 0)
			return -EOPNOTSUPP;
		h->body = HTTP_BODY_CHUNKED;
	}
	if (lengths > 0) {
		/* parse_u64 takes digits only: no sign, no blank, no list. */
		if (parse_u64(length, 0, INT64_MAX, &h->length) < 0)
			return -EPROTO;
		h->body = h->length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
	}
	return 0;
}

static void take_connection(struct http_head *h)
{
	h->close =
		connection_has(h, "close") || (h->minor == 0 && !connection_has(h, "keep-alive"));
	h->upgrade = h->minor == 1 && connection_has(h, "upgrade") &&
		     http_head_field(h, "Upgrade") != NULL;
}

/* "HTTP/1.x": x, or -EPROTO; another version is -EPFNOSUPPORT. */
static int version_of(const char *s)
{
	if (strncmp(s, "HTTP/", 5) != 0 || strlen(s) != 8 || s[6] != '.' || s[5] < '0' ||
	    s[5] > '9' || s[7] < '0' || s[7] > '9')
		return -EPROTO;
	if (s[5] != '1' || s[7] > '1')
		return -EPFNOSUPPORT;
	return s[7] - '0';
}

static bool is_target(const char *s)
{
	if (strcmp(s, "*") == 0)
		return true;
	if (*s != '/')
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == '#')
			return false;
	return true;
}

/* METHOD SP target SP version: 0 or an HTTP status. */
static unsigned take_request_line(char *line, struct http_head *h)
{
	char *target = strchr(line, ' ');
	char *version = target == NULL ? NULL : strchr(target + 1, ' ');
	int minor;

	if (version == NULL)
		return 400;
	*target++ = '\0';
	*version++ = '\0';
	minor = version_of(version);
	if (minor < 0)
		return minor == -EPFNOSUPPORT ? 505 : 400;
	if (strlen(target) > HTTP_TARGET_MAX)
		return 414;
	if (!is_token(line) || strlen(line) > HTTP_METHOD_MAX || !is_target(target))
		return 400;
	h->minor = (unsigned)minor;
	h->method = line;
	h->target = target;
	return 0;
}

/* An Expect that isn't 100-continue is ignored, as RFC 9110 allows. */
static void take_expect(struct http_head *h)
{
	const char *v = http_head_field(h, "Expect");

	h->expect = h->minor == 1 && v != NULL && strcasecmp(v, "100-continue") == 0;
}

unsigned http_request_parse(char *text, size_t len, struct http_head *ret)
{
	struct http_head h = { 0 };
	char *at = text, *line = take_line(&at, text + len);
	unsigned status = line == NULL ? 400 : take_request_line(line, &h);
	size_t hosts;
	int r;

	if (status != 0)
		return status;
	r = take_fields(at, text + len, &h);
	if (r == 0)
		r = take_framing(&h);
	if (r < 0)
		return r == -E2BIG ? 431 : r == -EOPNOTSUPP ? 501 : 400;
	hosts = count_fields(&h, "Host", &h.host);
	if (hosts > 1 || (hosts == 0 && h.minor == 1))
		return 400;
	take_connection(&h);
	take_expect(&h);
	*ret = h;
	return 0;
}

/* version SP status [SP reason] */
static int take_status_line(char *line, struct http_head *h)
{
	char *status = strchr(line, ' ');
	char *reason = status == NULL ? NULL : status + 1 + strcspn(status + 1, " ");
	uint64_t n = 0;
	int minor;

	if (status == NULL)
		return -EPROTO;
	*status++ = '\0';
	if (*reason != '\0')
		*reason++ = '\0';
	minor = version_of(line);
	if (minor < 0 || strlen(status) != 3 || parse_u64(status, 100, 599, &n) < 0 ||
	    !is_value(reason))
		return -EPROTO;
	h->minor = (unsigned)minor;
	h->status = (unsigned)n;
	h->reason = reason;
	return 0;
}

int http_response_parse(char *text, size_t len, const char *method, struct http_head *ret)
{
	struct http_head h = { 0 };
	char *at = text, *line = take_line(&at, text + len);
	const char *unused;

	if (line == NULL || take_status_line(line, &h) < 0 || take_fields(at, text + len, &h) < 0 ||
	    take_framing(&h) < 0)
		return -EPROTO;
	take_connection(&h);
	if (h.body == HTTP_BODY_NONE && count_fields(&h, "Content-Length", &unused) == 0)
		h.body = HTTP_BODY_UNTIL_CLOSE;
	/* These never have a body, whatever they say. */
	if (h.status < 200 || h.status == 204 || h.status == 304 || strcmp(method, "HEAD") == 0)
		h.body = HTTP_BODY_NONE;
	if (h.body == HTTP_BODY_UNTIL_CLOSE)
		h.close = true;
	*ret = h;
	return 0;
}
