/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - casemated's stream of events (GET /v1/events) taken apart: server-sent events whose
 * data is one line of JSON. The parser is pure.
 */
#ifndef API_CLI_EVENTS_H
#define API_CLI_EVENTS_H

#include <jansson.h>

#include "api/cli/cli.h"

#define EVENTS_LINE_MAX 2048U

struct events_ops {
	/* It listens: what happens from now on will be told. NULL is fine. */
	int (*listening)(void *arg);
	/* kind: "sandbox" or "lost"; o is borrowed. */
	int (*event)(const json_t *o, const char *kind, void *arg);
	void *arg;
};

struct events {
	const struct events_ops *ops;
	char kind[16];
	char line[EVENTS_LINE_MAX];
	size_t len;
	bool listening;
};

/* The next piece of the stream. 0; what a callback returned, when that isn't 0; -EPROTO. */
MUST_USE int events_feed(struct events *e, const char *data, size_t len);

/* Calls ops until one returns other than 0, which is returned; -EINTR at a signal, -errno with one
 * line in *err. The end of the stream is -ECONNRESET. A callback may use cli's loop. */
MUST_USE int events_listen(struct cli *cli, const struct events_ops *ops, struct err *err);

#endif
