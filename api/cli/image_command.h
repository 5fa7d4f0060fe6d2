/* SPDX-License-Identifier: Apache-2.0 */
/* image_command.h - what an image runs when nobody says what: its entrypoint and its command. */
#ifndef API_CLI_IMAGE_COMMAND_H
#define API_CLI_IMAGE_COMMAND_H

#include <jansson.h>
#include <stddef.h>

#include "api/cli/cli.h"
#include "base/compiler.h"
#include "base/err.h"

struct image_command {
	json_t *image; /* the daemon's answer, which owns the texts */
	char **argv;
	size_t count;
};

/* Asks the daemon. -ENOENT: the image says nothing. image_command_done in either case. */
MUST_USE int image_command_get(struct cli *cli, const char *name, struct image_command *ret,
			       struct err *err);
/* May be zero. */
void image_command_done(struct image_command *c);

#endif
