/* SPDX-License-Identifier: Apache-2.0 */
/* handlers.h - the methods of api/proto/jailer.proto. */
#ifndef JAILER_HANDLERS_H
#define JAILER_HANDLERS_H

#include <jailer.pb-c.h>

#include "api/rpc/rpc.h"
#include "jailer/host.h"
#include "jailer/jail.h"

/* What a connection's handlers work on: the arg of struct rpc_conn_config. */
struct session {
	const struct host *host;
	struct jails *jails;
};

extern const struct rpc_handler session_handlers[];
extern const size_t session_handlers_count;

/* Between the files of the handlers: what we say of a jail. The strings are the jail's own. */
void describe_jail(const struct jail *j, Casemate__Jailer__V1__JailInfo *ret);
/* handle_inspect.c */
rpc_handler_fn handle_inspect;

#endif
