/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head.h - the head of an HTTP/1 message, strictly (RFC 9112): CRLF only, no folding, one length.
 *
 * What two readers could understand differently is refused, because what casemated forwards is read
 * again by a server in a guest, and what a guest answers by a client that trusts casemated: a bare
 * CR or LF, white space before a colon, more than one Content-Length or Host, Content-Length beside
 * Transfer-Encoding, any transfer coding but one "chunked", control characters in a value.
 *
 * Pure functions over bytes; nothing is allocated. Fuzzed by fuzz/http_head.c. Any thread.
 */
#ifndef API_HTTP_HEAD_H
#define API_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

#define HTTP_HEAD_MAX	32768U /* bytes, the empty line included */
#define HTTP_FIELDS_MAX 64U
#define HTTP_METHOD_MAX 16U
#define HTTP_TARGET_MAX 8192U

enum http_body_kind {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNKED,
	HTTP_BODY_UNTIL_CLOSE, /* responses only */
};

struct http_field {
	const char *name;
	const char *value; /* without white space around it */
};

struct http_head {
	const char *method; /* of a request: a token */
	const char *target; /* of a request: begins with '/', or is "*" */
	const char *reason; /* of a response */
	unsigned status;    /* of a response: 100..599 */
	unsigned minor;	    /* HTTP/1.minor: 0 or 1 */
	struct http_field fields[HTTP_FIELDS_MAX];
	size_t fields_count;

	enum http_body_kind body;
	uint64_t length;  /* of HTTP_BODY_LENGTH */
	bool close;	  /* the connection ends after this message */
	bool upgrade;	  /* "Connection: upgrade" and an Upgrade field */
	bool expect;	  /* a request that waits for 100 (Continue) */
	const char *host; /* of a request: Host; NULL = none (HTTP/1.0) */
};

/* The length of the head at the start of data, its empty line included; 0 = not all there yet,
 * -EFBIG = longer than HTTP_HEAD_MAX. `from`: how much of data an earlier call has looked at in
 * vain. */
MUST_USE ssize_t http_head_length(const void *data, size_t len, size_t from);

/*
 * Parses a whole head of len bytes, which is written to: *ret's strings are pieces of it. 0, or the
 * HTTP status that says what is wrong with it: 400, 414, 431, 501, 505.
 */
MUST_USE unsigned http_request_parse(char *text, size_t len, struct http_head *ret);

/* The same for a response to a request with this method. 0 or -EPROTO. */
MUST_USE int http_response_parse(char *text, size_t len, const char *method, struct http_head *ret);

/* The first field of this name, or NULL. */
const char *http_head_field(const struct http_head *h, const char *name);
/* Is token one of the comma-separated elements of value? Letters' case doesn't count. */
bool http_list_has(const char *value, const char *token);

#endif
