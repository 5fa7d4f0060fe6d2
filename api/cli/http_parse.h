/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_parse.h - the daemon's answers, strictly: HTTP/1.1 only, CRLF only, no folding, one body
 * length. Pure functions over bytes; nothing is allocated. Fuzzed by fuzz/http_client.c.
 */
#ifndef API_CLI_HTTP_PARSE_H
#define API_CLI_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

#define HTTP_HEAD_MAX 16384U

enum http_body { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_head {
	unsigned status; /* 100..599 */
	enum http_body body;
	uint64_t length;    /* of HTTP_BODY_LENGTH */
	bool close;	    /* the daemon will close the connection after it */
	bool upgrade_ttrpc; /* 101 with "Upgrade: ttrpc" */
};

/*
 * The head of an answer at the start of data. Returns its length including the empty line,
 * 0 = more bytes are needed, -EPROTO = not an answer, -EFBIG = longer than HTTP_HEAD_MAX.
 */
MUST_USE ssize_t http_head_parse(const char *data, size_t len, struct http_head *ret);

/* Decoder of one chunked body; zero it before the first use. */
struct http_chunks {
	uint8_t state;
	uint8_t digits;
	uint64_t left; /* data bytes of the current chunk that are still to come */
};

/*
 * Takes the next piece of data: returns how many bytes it has consumed (0 = more are needed) and
 * sets *ret_data and *ret_len to a piece of body in data (*ret_len may be 0); -EPROTO.
 * *ret_end is set true once the last chunk has been consumed.
 */
MUST_USE ssize_t http_chunks_next(struct http_chunks *c, const char *data, size_t len,
				  const char **ret_data, size_t *ret_len, bool *ret_end);

#endif
