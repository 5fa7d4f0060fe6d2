/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_http_rig.h - the daemon rig of a test that asks as tenants do, with keys of theirs. One of
 * each per program. What can't be done fails the test.
 */
#ifndef TESTS_NATIVE_DAEMON_HTTP_RIG_H
#define TESTS_NATIVE_DAEMON_HTTP_RIG_H

#include "tests/native/daemon_rig.h"

extern struct daemon_rig d;
extern struct answer a; /* the last */

/* .init and .fini */
void set_up(void);
void tear_down(void);

#define SMALL "{}" /* limits: the defaults */

/* A new key of a tenant's, as a header line; the last four of them stay. */
const char *key_of(const char *tenant, const char *limits);
/* One request from the network; its status. What isn't for a guest must be answered as
 * api/openapi.yaml says. */
unsigned ask(const char *method, const char *target, const char *fields, const char *body);
/* A sandbox, and its agent's token unless that is NULL. */
void make(const char *key, char id[32], char token[64]);
/* How many sandboxes /v2/sandboxes lists. */
size_t listed(const char *key, const char *query);
/* What must be there, and JSON; new reference. */
json_t *get(const char *key, const char *target);

#endif
