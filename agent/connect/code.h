/* SPDX-License-Identifier: Apache-2.0 */
/* code.h - status codes as the Connect protocol spells them. Pure. */
#ifndef AGENT_CONNECT_CODE_H
#define AGENT_CONNECT_CODE_H

#include "api/rpc/rpc.h"
#include "base/buf.h"

unsigned connect_http_status(enum rpc_code code);
/* Appends {"code":"not_found","message":"..."}: 0, -ENOSPC, -ENOMEM. */
MUST_USE int connect_put_error(struct buf *b, enum rpc_code code, const char *msg);

#endif
