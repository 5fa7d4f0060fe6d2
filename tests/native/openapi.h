/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openapi.h - holds answers to api/openapi.yaml: the path and method must be described, and the
 * body must have the form that the status has there. Knows of JSON Schema what that file uses, and
 * fails for the rest.
 */
#ifndef TESTS_NATIVE_OPENAPI_H
#define TESTS_NATIVE_OPENAPI_H

#include "tests/native/daemon_rig.h"

/* Fails the test when a doesn't fit. path: without the query. */
void openapi_check(const char *method, const char *path, const struct answer *a);

#endif
