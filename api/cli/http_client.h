/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_client.h - one HTTP connection to casemated over its unix socket.
 *
 * Functions wait by running cli->loop; SIGINT, SIGTERM or SIGHUP ends a wait with -EINTR (unless
 * cli->on_signal is set). The connection stays open between requests, which is what keeps a
 * leased sandbox alive.
 */
#ifndef API_CLI_HTTP_CLIENT_H
#define API_CLI_HTTP_CLIENT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "api/cli/cli.h"
#include "base/compiler.h"
#include "base/err.h"

#define HTTP_ANSWER_MAX (1024U * 1024U)

struct http_client;

/* A connection to cli->socket, the caller's, for whoever speaks on it himself. 0, or -errno and one
 * line in *err that says what to do. */
MUST_USE int http_client_dial(struct cli *cli, int *ret_fd, struct err *err);
/* The same for the functions below. */
MUST_USE int http_client_open(struct cli *cli, struct http_client **ret, struct err *err);
/* Closes the connection. NULL is fine. */
void http_client_free(struct http_client *c);

/*
 * One request and its answer. body may be NULL (borrowed). On an answer of 2xx: 0 and *ret (a
 * new reference; NULL for an answer without a body). On any other: -EREMOTEIO, the daemon's
 * message in *err, and *ret_error (when not NULL) its "error" object, or NULL.
 */
MUST_USE int http_client_call(struct http_client *c, const char *method, const char *path,
			      const json_t *body, uint64_t timeout_ms, json_t **ret,
			      json_t **ret_error, struct err *err);
/* Sends a whole file, and what became of it as http_client_call. *done grows: bytes so far. */
MUST_USE int http_client_upload(struct http_client *c, const char *method, const char *path, int fd,
				uint64_t *done, json_t **ret, struct err *err);
/* GETs a text of any length, given to fn piece by piece; fn returns < 0 to stop early. */
MUST_USE int http_client_stream(struct http_client *c, const char *path,
				int (*fn)(const char *data, size_t len, void *arg), void *arg,
				struct err *err);
/* Upgrades the connection to a protocol in which the daemon doesn't speak first: *ret_fd (the
 * caller's) is the socket from now on. */
MUST_USE int http_client_upgrade(struct http_client *c, const char *path, const char *protocol,
				 uint64_t timeout_ms, int *ret_fd, struct err *err);

#endif
