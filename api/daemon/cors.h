/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cors.h - which web pages a browser lets call the API (the Fetch standard, "CORS protocol").
 *
 * Nobody's, unless the operator names origins; then exactly those. It protects users of browsers,
 * not the daemon: who is no browser ignores it, and every request needs its key all the same. No
 * credentials of a browser (cookies) are asked for. The event loop's thread.
 */
#ifndef API_DAEMON_CORS_H
#define API_DAEMON_CORS_H

#include <stdbool.h>
#include <stddef.h>

#include "api/http/http.h"
#include "base/compiler.h"
#include "base/err.h"

#define CORS_ORIGINS_MAX 16U

struct cors {
	const char *origins[CORS_ORIGINS_MAX];
	size_t count; /* 0 = no CORS at all */
};

/*
 * Adds an origin, written as browsers write it: "https://host" or "http://host:port", in lower
 * case, without the scheme's own port and without a path. Not "*", not "null". The text is kept by
 * address. 0, or -EINVAL, -ENOSPC and *err.
 */
MUST_USE int cors_add(struct cors *c, const char *origin, struct err *err);

/* From `admit`, before anything else about a request of the control plane: adds the fields that its
 * answer needs, and answers a preflight (which carries no key). True: it is answered. */
bool cors_admit(const struct cors *c, struct http_req *req);

#endif
