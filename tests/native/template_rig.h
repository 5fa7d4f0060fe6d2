/* SPDX-License-Identifier: Apache-2.0 */
/* template_rig.h - builds of templates through the API. What can't be done fails the test. */
#ifndef TESTS_NATIVE_TEMPLATE_RIG_H
#define TESTS_NATIVE_TEMPLATE_RIG_H

#include "tests/native/daemon_http_rig.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* The last build's, and what end_of has returned. */
extern char template[32], build[48], status[1024];

/* A template of 1 CPU and 64 MiB, and a build of it: 202. */
unsigned order(const char *key, const char *name);
/* Its recipe: 202. */
unsigned begin(const char *key, const char *recipe);
/* Waits for its end: "ready" or "error", and the reason. */
const char *end_of(const char *key);
/* Where an archive may be put. */
void upload_target(const char *key, const char *hash, char target[640]);
/* PUTs one there; its status. */
unsigned put(const char *target, const char *data);

#endif
