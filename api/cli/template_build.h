/* SPDX-License-Identifier: Apache-2.0 */
/* template_build.h - casemate template build: sends what COPY takes and then the recipe, and shows
 * the build's log until its end. */
#ifndef API_CLI_TEMPLATE_BUILD_H
#define API_CLI_TEMPLATE_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "api/cli/cli.h"
#include "api/cli/dockerfile.h"

struct template_build {
	struct dockerfile file;
	const char *name;  /* NAME or NAME:TAG */
	const char *ready; /* NULL = none */
	uint64_t cpus, memory_mib, scratch_bytes;
	bool no_cache; /* run every command */
	bool json;
};

/* In the directory that it is built from. The exit status, after one line on standard error. */
MUST_USE int template_build(struct cli *cli, struct template_build *b);

#endif
