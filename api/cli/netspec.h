/* SPDX-License-Identifier: Apache-2.0 */
/* netspec.h - what --net says, as the network member of the API's requests. Pure. */
#ifndef API_CLI_NETSPEC_H
#define API_CLI_NETSPEC_H

#include "base/compiler.h"
#include "base/err.h"

struct json_t; /* jansson.h */

/*
 * One word of: internet, none, allow=DESTINATION, deny=CIDR[:PORT]. A destination is an address or
 * CIDR, a name or *.NAME, each with or without :PORT; whether it is one, the service says. The
 * first makes *policy, which is the caller's. 0, -EINVAL or -ENOMEM with err.
 */
MUST_USE int netspec_add(struct json_t **policy, const char *arg, struct err *err);

#endif
