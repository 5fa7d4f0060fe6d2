/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.h - the Connect protocol over HTTP/1.1: POST /SERVICE/METHOD, unary and streams, JSON or
 * binary, uncompressed. Calls go to the same handlers that ttrpc's go to, as foreign calls.
 *
 * Two headers become fields of the request, where it has them (agent.proto): the user of
 * "Authorization: Basic" becomes `user`, Connect-Timeout-Ms of process.Process/Start
 * `timeout_ms`. The user is checked here, because Connect has a code of its own for it.
 */
#ifndef AGENT_CONNECT_CONNECT_H
#define AGENT_CONNECT_CONNECT_H

#include <stdbool.h>

#include "agent/web/server.h"
#include "api/rpc/rpc.h"
#include "base/loop.h"

#define CONNECT_USER_MAX 128

struct connect {
	struct loop *loop;
	const struct rpc_handler *handlers;
	size_t handlers_count;
	void *arg; /* of the handlers */
	/* May this user be acted for? 0 or -errno with the reason; name is not empty. May be NULL.
	 */
	int (*check_user)(const char *name, void *arg, struct err *err);
};

/* Serves the request if its path names a method of ours; false: it doesn't, and nothing was done.
 * c must outlive it. */
bool connect_serve(const struct connect *c, struct web_req *req);

/* The user of "Authorization: Basic" in dst ("" = no such header): 0, -EINVAL, -ENAMETOOLONG. */
MUST_USE int connect_user(const struct web_req *req, char *dst, size_t cap);

#endif
