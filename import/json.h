/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - JSON from an archive, with jansson, behind limits of size and depth. Pure; any thread.
 */
#ifndef IMPORT_JSON_H
#define IMPORT_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * At most IMPORT_JSON_MAX bytes, IMPORT_JSON_DEPTH deep, no key twice in an object, no NUL in a
 * string. 0 and *ret, which the caller frees (json_decref), or -EINVAL, -E2BIG.
 */
MUST_USE int import_json_parse(const char *text, size_t len, json_t **ret, struct err *err);

#endif
