/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock.h - the way to the host: listens on guest port AGENT_PORT and once connects to the same
 * port of the host, which is how the host learns that the agent is there. Both kinds of
 * connection are served alike. Guest port AGENT_HTTP_PORT is HTTP (httpd.h), AGENT_FORWARD_PORT the
 * way to TCP ports of the guest (forward.h). Only the host may connect: a program in the sandbox
 * may not.
 */
#ifndef AGENT_VSOCK_H
#define AGENT_VSOCK_H

#include "agent/agent.h"
#include "base/compiler.h"
#include "base/err.h"

struct vsock;

MUST_USE int vsock_open(struct agent *a, struct vsock **ret, struct err *err);
void vsock_close(struct vsock *v);

#endif
