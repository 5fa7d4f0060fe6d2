/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward.h - heads on their way through: what belongs to one connection stays there (RFC
 * 9110, 7.6.1), what is the service's own secret stays here, and the framing is written anew, so
 * that the next reader sees the message that we saw. Pure but for the buffer's memory; fuzzed by
 * fuzz/http_forward.c.
 */
#ifndef API_HTTP_FORWARD_H
#define API_HTTP_FORWARD_H

#include "api/http/head.h"
#include "base/buf.h"

/*
 * Appends the head of request h for the next server. withhold: names of fields that are not passed
 * on, ended by NULL. host: takes the place of Host; NULL = as it came. Its body follows in
 * h->body's framing. 0, -ENOSPC, -ENOMEM.
 */
MUST_USE int http_forward_request(const struct http_head *h, const char *const *withhold,
				  const char *host, const char *request_id, struct buf *out);

/* The fields of response h that are passed on: how many were put into ret, which point into h. */
size_t http_forward_fields(const struct http_head *h, struct http_field ret[HTTP_FIELDS_MAX]);

#endif
