/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd.h - the agent's HTTP side, what the E2B SDKs speak to: the services process.Process and
 * filesystem.Filesystem by the Connect protocol, /files, /health, /metrics, /envs, /init. One
 * thread.
 */
#ifndef AGENT_HTTPD_H
#define AGENT_HTTPD_H

#include "agent/agent.h"
#include "base/compiler.h"
#include "base/err.h"

/* Where a request came in decides what it may ask for. */
enum httpd_door {
	HTTPD_DOOR_HOST,   /* vsock: casemated, which lets through what it lets through */
	HTTPD_DOOR_ALONE,  /* --listen: a test on somebody's machine */
	HTTPD_DOOR_INSIDE, /* the guest's own loopback: anybody in the sandbox */
};

struct httpd;

/* a must outlive it. */
MUST_USE int httpd_new(struct agent *a, struct httpd **ret);
void httpd_free(struct httpd *h); /* NULL is fine */

/* Listens on fd, a listening socket that is owned from now on in every case; at most 4. */
MUST_USE int httpd_listen(struct httpd *h, int fd, enum httpd_door door);
/* A listening TCP socket for "ADDRESS:PORT" or "[ADDRESS]:PORT": the descriptor, or -errno. */
MUST_USE int httpd_bind_tcp(const char *address, struct err *err);

#endif
