/* SPDX-License-Identifier: Apache-2.0 */
/* image_internal.h - what casemate image's two files share: verb_image.c and image_add.c. */
#ifndef API_CLI_IMAGE_INTERNAL_H
#define API_CLI_IMAGE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "api/cli/cli.h"
#include "api/cli/importer.h"

#define IMAGE_CALL_MS  30000U /* the jailer may have some to end first */
#define IMAGE_NAME_MAX 64U

struct image_opts {
	const char *name;
	struct importer importer;
	uint64_t min_age_ms;
	bool json;
	bool insecure;
};

/* Can an image be called so? */
bool image_name_ok(const char *s);

/* The verbs; they return the exit status. */
int image_import(struct cli *cli, const struct image_opts *o, const char *path);
int image_pull(struct cli *cli, const struct image_opts *o, const char *ref);

#endif
