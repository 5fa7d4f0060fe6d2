/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_config.h - what an image says about the processes in it: environment, user, directory, and
 * what it runs when nobody says what. As an importer reports it, so hostile until it is checked.
 *
 *     {"env":["A=B",...],"user":"...","workdir":"/...","entrypoint":["..."],"cmd":["..."]}
 *
 * Pure; fuzzed by fuzz/image_config.c. Any thread.
 */
#ifndef API_DAEMON_IMAGE_CONFIG_H
#define API_DAEMON_IMAGE_CONFIG_H

#include <jansson.h>

#include "api/daemon/spec.h"
#include "base/compiler.h"
#include "base/err.h"

#define IMAGE_CONFIG_BYTES_MAX 49152U /* as compact JSON: what a request's body has room for */
#define IMAGE_CONFIG_ARGS_MAX  256U   /* of entrypoint, of cmd */

/* Checks in (NULL = nothing is said) and gives it back as compact JSON with no other members; free
 * *ret. 0, -EINVAL with err, -ENOMEM. */
MUST_USE int image_config_check(const json_t *in, char **ret, struct err *err);

/*
 * Fills in what spec leaves open: variables that it doesn't set, user, directory. text: of
 * image_config_check. 0; -EINVAL: they are too many together, -ENOMEM. spec_done frees what there
 * is.
 */
MUST_USE int image_config_apply(const char *text, struct spec *spec, struct err *err);

#endif
