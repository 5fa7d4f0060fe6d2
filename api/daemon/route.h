/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.h - whose request is it: the control plane's, or a sandbox's? Everything comes in by one
 * port, so headers, the host name, a token or a signature decide, in this order:
 *
 *   1. E2b-Sandbox-Id and E2b-Sandbox-Port (both, or it is malformed)
 *   2. a Host of the form PORT-ID.anything
 *   3. X-Access-Token: the sandbox whose token it is (SDKs that name no sandbox)
 *   4. /files?signature=...: the sandbox whose token signed it
 *   5. else the control plane
 *
 * Pure; fuzzed by fuzz/http_forward.c. Any thread.
 */
#ifndef API_DAEMON_ROUTE_H
#define API_DAEMON_ROUTE_H

#include <stdint.h>

#include "api/daemon/sandbox.h"
#include "api/http/head.h"

#define ROUTE_AGENT_PORT 49983U /* where the agent's HTTP is */

enum route_kind {
	ROUTE_CONTROL,
	ROUTE_SANDBOX,	 /* id and port */
	ROUTE_TOKEN,	 /* by X-Access-Token; the agent's port */
	ROUTE_SIGNATURE, /* by the query; the agent's port */
	ROUTE_MALFORMED, /* one header of the two, or not a port */
};

struct route {
	enum route_kind kind;
	char id[SANDBOX_ID_LEN + 1]; /* "" = a name that no sandbox can have */
	uint16_t port;
};

/* path: of the target, without the query. */
void route_find(const struct http_head *h, const char *path, struct route *ret);

/* Is it one of the agent's paths that belong to the host alone? */
bool route_is_internal(const char *path);

#endif
