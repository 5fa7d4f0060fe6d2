/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerfile.h - the part of the Dockerfile language that `casemate template build` understands, as
 * the steps of a recipe (POST /v2/templates/ID/builds/BUILD): FROM, once; RUN, COPY, ENV, WORKDIR,
 * USER, CMD, ENTRYPOINT; EXPOSE is skipped. Whatever it doesn't understand is an error that names
 * the line: nothing is left out in silence. Variables aren't expanded, and so refused where docker
 * would.
 *
 * Pure; fuzzed by fuzz/dockerfile.c. Any thread.
 */
#ifndef API_CLI_DOCKERFILE_H
#define API_CLI_DOCKERFILE_H

#include <jansson.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"

#define DOCKERFILE_BYTES_MAX 49152U /* what a request has room for */
#define DOCKERFILE_STEPS_MAX 256U
#define DOCKERFILE_WORDS_MAX 128U /* of a line */

struct dockerfile {
	char *from;
	json_t *steps;	  /* [{"type":...,"args":[...]}]; of COPY also "line", for messages */
	char *start;	  /* what ENTRYPOINT and CMD say together, for a shell; NULL = nothing */
	unsigned skipped; /* a line with EXPOSE; 0 = none */
};

/* 0 and *ret (dockerfile_done), or -EINVAL, -ENOMEM with "line N: ..." in *err. */
MUST_USE int dockerfile_parse(const char *text, size_t len, struct dockerfile *ret,
			      struct err *err);
/* May be zero. */
void dockerfile_done(struct dockerfile *d);

#endif
