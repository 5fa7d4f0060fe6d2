/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - a request for a port inside a sandbox, and its answer, over a stream of its own through
 * vsock.
 *
 * The agent's HTTP is on guest port PROXY_AGENT_PORT; any other TCP port of the guest is reached
 * through the agent's forwarder on PROXY_FORWARD_PORT: two bytes, the port, little-endian; then one
 * byte comes back, 0 = connected. What the guest answers is hostile: its head is parsed strictly
 * and written anew, and a body that doesn't end as it said breaks the client's connection off
 * instead of running into the answer to the client's next request.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_PROXY_H
#define API_DAEMON_PROXY_H

#include <stdint.h>

#include "api/daemon/service.h"

#define PROXY_AGENT_PORT   49983U
#define PROXY_FORWARD_PORT 49984U
#define PROXY_HEAD_MS	   600000U /* for a guest to begin its answer */
#define PROXY_WOKEN_MS	   300000U
#define PROXY_PER_SANDBOX  48U /* streams; the VMM has 64, some for the agent's other door */

/* Takes req (http_take) and answers it; from `admit` only. s runs, or is paused: then it goes on
 * first, for its own time to live or PROXY_WOKEN_MS, whichever is longer. */
void proxy_begin(const struct service *sv, struct http_req *req, struct sandbox *s, uint16_t port);

#endif
