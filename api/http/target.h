/* SPDX-License-Identifier: Apache-2.0 */
/* target.h - what a request's target says: path, parameters of the path, query. Pure. Any thread.
 */
#ifndef API_HTTP_TARGET_H
#define API_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

#define HTTP_QUERY_MAX	32U  /* arguments */
#define HTTP_PARAM_MAX	128U /* bytes of one */
#define HTTP_PARAMS_MAX 2U   /* of a path */

/* Undoes %XX in place (and '+' as a blank when `form`). -EINVAL: half an escape, or one of NUL. */
MUST_USE int http_unescape(char *s, bool form);

/*
 * Does path match the pattern? A segment "{}" (HTTP_PARAMS_MAX of them at most) matches one
 * segment, which is unescaped into ret; "*" at the end matches any rest. False also when a
 * parameter is longer than HTTP_PARAM_MAX or ill escaped. ret is written to in any case.
 */
struct http_params {
	char text[HTTP_PARAMS_MAX][HTTP_PARAM_MAX + 1]; /* "" = the pattern has fewer */
};
bool http_path_matches(const char *pattern, const char *path, struct http_params *ret);

struct http_arg {
	const char *name;
	const char *value;
};

/* Cuts query (what follows '?') up in place. How many there are, or -EINVAL, -E2BIG. */
MUST_USE int http_query_parse(char *query, struct http_arg args[HTTP_QUERY_MAX]);

#endif
