/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/multipart.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/http/target.h"
#include "base/bug.h"
#include "base/num.h"

/* Larger than any piece that is fed at a time, and than what is held back. */
#define HOLD_MAX   (64U * 1024U)
#define FEED_BYTES 16384U

enum state {
	STATE_PREAMBLE,	 /* up to the first delimiter */
	STATE_DELIMITED, /* after one: "--" or a line's end */
	STATE_HEAD,
	STATE_DATA,
	STATE_END
};

/* ---- Parameters -------------------------------------------------------------------------- */

/* The value at *at, quoted or not, in dst; *at moves behind it. */
static int take_value(const char **at, char *dst, size_t cap)
{
	const bool quoted = **at == '"';
	const char *p = *at + quoted;
	size_t n = 0;

	while (*p != '\0' && (quoted ? *p != '"' : *p != ';')) {
		if (quoted && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		if (n + 1 >= cap)
			return -ENAMETOOLONG;
		dst[n++] = *p++;
	}
	if (quoted && *p++ != '"')
		return -EBADMSG;
	while (!quoted && n > 0 && (dst[n - 1] == ' ' || dst[n - 1] == '\t'))
		n--;
	dst[n] = '\0';
	*at = p;
	return 0;
}

/* RFC 8187, of which everybody uses one form: utf-8''percent-encoded. */
static int decode_extended(char *value)
{
	if (strncasecmp(value, "utf-8''", 7) != 0)
		return -EBADMSG;
	memmove(value, value + 7, strlen(value + 7) + 1);
	return http_unescape(value, false) < 0 ? -EBADMSG : 0;
}

int multipart_param(const char *field, const char *name, char *dst, size_t cap)
{
	const size_t len = strlen(name);
	const char *p = field + strcspn(field, ";");
	char value[PATH_MAX + 16];
	int found = 0, r;

	dst[0] = '\0';
	while (*p == ';') {
		p += 1 + strspn(p + 1, " \t");
		const char *key = p;
		p += strcspn(p, "=;");
		const size_t key_len = (size_t)(p - key);
		if (*p != '=')
			continue;
		p++;
		r = take_value(&p, value, sizeof(value));
		if (r < 0)
			return r;
		p += strspn(p, " \t");
		if (*p != '\0' && *p != ';')
			return -EBADMSG;
		const bool extended = key_len == len + 1 && key[len] == '*';
		if ((key_len != len && !extended) || strncasecmp(key, name, len) != 0)
			continue;
		if (extended && (r = decode_extended(value)) < 0)
			return r;
		if (strlen(value) >= cap)
			return -ENAMETOOLONG;
		if (found == 0 || extended)
			memcpy(dst, value, strlen(value) + 1);
		found = 1;
	}
	return found;
}

/* ---- A part's head ----------------------------------------------------------------------- */

/* What of the head's lines matters: Content-Disposition. */
static int parse_head(char *text, struct multipart_part *part)
{
	*part = (struct multipart_part){ 0 };
	for (char *line = text, *next; *line != '\0'; line = next) {
		char *end = strstr(line, "\r\n");
		BUG_ON(end == NULL); /* the head ends with an empty line */
		*end = '\0';
		next = end + 2;
		char *value = strchr(line, ':');
		if (value == NULL)
			return -EBADMSG;
		*value++ = '\0';
		value += strspn(value, " \t");
		if (strcasecmp(line, "content-disposition") != 0)
			continue;
		int r = multipart_param(value, "name", part->name, sizeof(part->name));
		if (r >= 0)
			r = multipart_param(value, "filename", part->filename,
					    sizeof(part->filename));
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- The machine: each takes from hold; 1 = go on, 0 = more is needed, -errno ------------- */

static int take_head(struct multipart *m)
{
	char text[MULTIPART_HEAD_MAX + 1];
	struct multipart_part part;
	const uint8_t *data = buf_head(&m->hold);
	const size_t len = buf_len(&m->hold), seen = MIN(len, (size_t)MULTIPART_HEAD_MAX);
	const uint8_t *end = NULL;
	size_t n;
	int r;

	if (len >= 2 && memcmp(data, "\r\n", 2) == 0) {
		n = 2; /* no field at all */
	} else {
		end = seen > 0 ? memmem(data, seen, "\r\n\r\n", 4) : NULL;
		if (end == NULL)
			return len >= MULTIPART_HEAD_MAX ? -EMSGSIZE : 0;
		n = (size_t)(end - data) + 4;
	}
	memcpy(text, data, n - 2);
	text[n - 2] = '\0';
	if (strlen(text) != n - 2)
		return -EBADMSG;
	r = parse_head(text, &part);
	if (r == 0)
		r = m->ops->begin(&part, m->arg);
	buf_consume(&m->hold, n);
	m->state = STATE_DATA;
	return r < 0 ? r : 1;
}

/* After a delimiter. */
static int take_delimited(struct multipart *m)
{
	const uint8_t *data = buf_head(&m->hold);
	size_t n = 0;

	if (buf_len(&m->hold) < 2)
		return 0;
	if (memcmp(data, "--", 2) == 0) {
		m->state = STATE_END;
		return 1;
	}
	while (n < buf_len(&m->hold) && (data[n] == ' ' || data[n] == '\t'))
		n++;
	if (n > MULTIPART_BOUNDARY_MAX)
		return -EBADMSG;
	if (buf_len(&m->hold) - n < 2)
		return 0;
	if (memcmp(data + n, "\r\n", 2) != 0)
		return -EBADMSG;
	buf_consume(&m->hold, n + 2);
	m->state = STATE_HEAD;
	return 1;
}

static int take_data(struct multipart *m)
{
	const uint8_t *data = buf_head(&m->hold);
	const size_t len = buf_len(&m->hold);
	const uint8_t *found = len > 0 ? memmem(data, len, m->delimiter, m->delimiter_len) : NULL;
	/* What may be the beginning of a delimiter is kept. */
	size_t n = found != NULL	     ? (size_t)(found - data)
		   : len >= m->delimiter_len ? len - m->delimiter_len + 1
					     : 0;
	int r = 0;

	if (n > 0 && m->state == STATE_DATA)
		r = m->ops->data(data, n, m->arg);
	buf_consume(&m->hold, n);
	if (r < 0 || found == NULL)
		return r;
	buf_consume(&m->hold, m->delimiter_len);
	if (m->state == STATE_DATA)
		r = m->ops->end(m->arg);
	m->state = STATE_DELIMITED;
	return r < 0 ? r : 1;
}

static int step(struct multipart *m)
{
	switch ((enum state)m->state) {
	case STATE_PREAMBLE:
	case STATE_DATA:
		return take_data(m);
	case STATE_DELIMITED:
		return take_delimited(m);
	case STATE_HEAD:
		return take_head(m);
	case STATE_END:
		break;
	}
	buf_consume(&m->hold, buf_len(&m->hold)); /* an epilogue means nothing */
	return 0;
}

int multipart_feed(struct multipart *m, const uint8_t *data, size_t len)
{
	int r = 0;

	while (r == 0 && len > 0) {
		size_t n = MIN(len, (size_t)FEED_BYTES);
		r = buf_put(&m->hold, data, n);
		data += n;
		len -= n;
		if (r < 0)
			return r == -ENOSPC ? -EMSGSIZE : r;
		do
			r = step(m);
		while (r > 0);
	}
	return r;
}

int multipart_finish(const struct multipart *m)
{
	return m->state == STATE_END ? 0 : -EBADMSG;
}

int multipart_init(struct multipart *m, const char *type, const struct multipart_ops *ops,
		   void *arg)
{
	char boundary[MULTIPART_BOUNDARY_MAX + 1];

	if (strncasecmp(type, "multipart/form-data", 19) != 0 ||
	    multipart_param(type, "boundary", boundary, sizeof(boundary)) != 1 ||
	    boundary[0] == '\0')
		return -EINVAL;
	*m = (struct multipart){ .ops = ops, .arg = arg };
	m->delimiter_len =
		(size_t)snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
	buf_init(&m->hold, HOLD_MAX);
	/* The first delimiter may stand at the very beginning, without a line before it. */
	return buf_put(&m->hold, "\r\n", 2);
}

void multipart_done(struct multipart *m)
{
	buf_done(&m->hold);
}
