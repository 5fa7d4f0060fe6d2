/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - what the head of a Connect request asks for. */
#ifndef AGENT_CONNECT_REQUEST_H
#define AGENT_CONNECT_REQUEST_H

#include "agent/connect/connect.h"
#include "base/buf.h"
#include "base/err.h"

struct connect_request {
	const struct rpc_handler *handler;
	bool json;
	bool stream;	     /* of either side */
	size_t in_max;	     /* bytes of one message as it is sent */
	uint64_t timeout_ms; /* 0 = none */
	const ProtobufCMessage
		*keepalive; /* what says "still there"; NULL = this method has none */
	uint64_t keepalive_ms;
	char user[CONNECT_USER_MAX]; /* "" = the default one */
};

/*
 * 0: not a method of ours. 200: *ret is set, and err->code tells whether the user is acceptable.
 * Else the status of a refusal with its reason in err.
 */
unsigned connect_request_parse(const struct connect *c, const struct web_req *req,
			       struct connect_request *ret, struct err *err);

/* Appends the fields that came as headers to an encoded request: 0, -ENOSPC, -ENOMEM. */
MUST_USE int connect_request_fields(const struct connect_request *r, struct buf *wire);

#endif
