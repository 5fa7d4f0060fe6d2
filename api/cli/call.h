/* SPDX-License-Identifier: Apache-2.0 */
/* call.h - one request to casemated on a connection of its own, for verbs that need no more. */
#ifndef API_CLI_CALL_H
#define API_CLI_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/cli/cli.h"

#define CALL_MS 5000U /* for what the daemon answers from memory */

struct call {
	const char *method, *path;
	const json_t *body; /* borrowed; NULL = none */
	uint64_t timeout_ms;
	const char *what; /* progress.h; NULL = it is quick */
};

/* CLI_OK and *ret (may be NULL), a new reference, NULL for an answer without a body; else the exit
 * status, after one line on standard error. */
MUST_USE int call_daemon(struct cli *cli, const struct call *c, json_t **ret);
/* The same for a GET of what is quick. */
MUST_USE int call_get(struct cli *cli, const char *path, json_t **ret);
/* The same, and shows the answer: as it came, or by print. Returns the exit status. */
MUST_USE int call_show(struct cli *cli, const char *path, bool json,
		       void (*print)(const json_t *answer));

/* What a list of names that are to be removed has in common. */
struct call_remove {
	const char *verb;   /* "image rm", for messages */
	const char *prefix; /* of the path: "/v1/images/" */
	const char *kind;   /* what valid asks for: "the name of an image" */
	bool (*valid)(const char *name);
	uint64_t timeout_ms;
	const char *what; /* progress.h; NULL = it is quick */
};

/* DELETEs one after the other, whatever becomes of the others, until a signal comes. The exit
 * status; CLI_FAILED, too, if there are none. */
MUST_USE int call_remove(struct cli *cli, const struct call_remove *all, int count, char **names);

#endif
