/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - a sandbox that this process uses: made (or found) by the daemon, and a ttrpc
 * connection to its agent. A leased sandbox lives as long as the session.
 */
#ifndef API_CLI_SESSION_H
#define API_CLI_SESSION_H

#include <jansson.h>
#include <stdbool.h>

#include "api/cli/cli.h"
#include "api/cli/exec_client.h"
#include "api/cli/http_client.h"
#include "api/cli/run_opts.h"
#include "api/rpc/rpc.h"
#include "base/compiler.h"
#include "base/err.h"

#define SESSION_ID_MAX 32U

struct session {
	struct cli *cli;
	struct http_client *http;
	struct rpc_conn *conn;	  /* NULL once it has closed */
	struct exec_client *exec; /* told when the connection closes */
	char id[SESSION_ID_MAX + 1];
	uint64_t deadline_ms; /* on now_ms()'s clock; 0 = none. What waits here gives up by then. */
	double create_ms;     /* from the request to its answer */
	double boot_ms;	      /* of it, in the guest, as the daemon measured */
};

void session_init(struct session *s, struct cli *cli);
/* Closes everything; a leased sandbox ends. */
void session_done(struct session *s);

/* Is the deadline over? */
bool session_late(const struct session *s);

/* What the options ask the daemon for. New reference, NULL = out of memory. Pure. */
json_t *session_request(const struct run_opts *o, bool lease, bool for_create);
/* Makes a sandbox. *ret_info (may be NULL): what the daemon says about it, a new reference. */
MUST_USE int session_create(struct session *s, const struct run_opts *o, bool lease,
			    bool for_create, json_t **ret_info, struct err *err);
/* Connects to the agent of the sandbox s->id. */
MUST_USE int session_attach(struct session *s, struct err *err);
/* Runs a command to its end; signals are passed on. end_on_signal: a signal also ends the wait,
 * after a moment, and a second one at once. */
MUST_USE int session_exec(struct session *s, const struct run_opts *o, char **argv, size_t argc,
			  bool end_on_signal, struct exec_result *res, struct err *err);
/* Why the sandbox has ended, as one line for people; waits a moment for the daemon to know. */
void session_explain_end(struct session *s, struct err *ret);

#endif
