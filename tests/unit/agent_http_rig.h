/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_http_rig.h - the suite agent_http: an agent in a child process, with one port as from
 * outside and one as from inside of a sandbox, and a client that says any bytes. Whoever defines
 * cases of the suite links agent_http_rig.c, which has its fixture.
 */
#ifndef TESTS_UNIT_AGENT_HTTP_RIG_H
#define TESTS_UNIT_AGENT_HTTP_RIG_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/httpd.h"

#define RIG_ANSWER_MAX (256 * 1024)
#define RIG_RAW	       "Content-Type: application/octet-stream\r\n"
#define RIG_FS	       "filesystem.Filesystem/"

extern char rig_dir[];			/* a directory for the case's files */
extern char rig_answer[RIG_ANSWER_MAX]; /* what came last, whole, with a NUL behind it */
extern size_t rig_answer_len;

int rig_dial(enum httpd_door door);
void rig_put(int fd, const void *data, size_t len);
/* Until the agent closes, or (text != NULL) this has come. True: it has. */
bool rig_get(int fd, const char *text);
/* Is the text in the last answer? */
bool rig_has(const char *text);

/* One request with the rest of its head (each line with its CRLF) and a body: the status. */
int rig_ask_at(enum httpd_door door, const char *line, const char *fields, const void *body,
	       size_t len);
int rig_ask(const char *line, const char *fields, const char *body);
/* A unary call. */
int rig_call(const char *method, const char *json);
/* Begins a stream with one message; more of it by rig_get. */
int rig_stream_with(const char *method, const char *fields, const char *json);
int rig_stream(const char *method, const char *json);

/* The text with the test's directory in place of each "%s"; good for three more calls. */
const char *rig_in_dir(const char *from);

#endif
