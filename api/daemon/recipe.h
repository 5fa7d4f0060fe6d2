/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipe.h - how a template is made: what it starts from, the steps, what runs in it. The body of
 * POST /v2/templates/ID/builds/BUILD, as SDKs and `casemate template build` send it:
 *
 *     {"fromImage":"debian:12","steps":[{"type":"RUN","args":["make"]}],"startCmd":"./serve",
 *      "readyCmd":"test -e /run/up"}
 *
 * Members that aren't known are ignored, because newer SDKs send more; what is known and can't be
 * done is refused by name. Pure; fuzzed by fuzz/recipe.c. Any thread.
 */
#ifndef API_DAEMON_RECIPE_H
#define API_DAEMON_RECIPE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define RECIPE_STEPS_MAX 256U
#define RECIPE_ARGS_MAX	 128U /* of a step */
#define RECIPE_FILES_LEN 64U  /* hexadecimal digits */
#define RECIPE_PATH_MAX	 1024U

enum recipe_kind {
	RECIPE_RUN,	/* COMMAND [USER] */
	RECIPE_COPY,	/* SOURCE TARGET [OWNER [MODE]], and files */
	RECIPE_ENV,	/* NAME VALUE ... */
	RECIPE_WORKDIR, /* PATH */
	RECIPE_USER,	/* USER */
	RECIPE_KIND_COUNT
};

struct recipe_step {
	enum recipe_kind kind;
	size_t count;
	bool force;	   /* not from what an earlier build has kept */
	const char *files; /* of COPY: the key of an uploaded archive; else NULL */
	const char *args[RECIPE_ARGS_MAX];
};

/* The texts live in root. */
struct recipe {
	json_t *root;
	const char *image;	/* one of these two; NULL = the other */
	const char *template;	/* NAME[:TAG] */
	const char *start;	/* NULL = none */
	const char *ready;	/* the same */
	const char *user;	/* where the image names none; NULL = the default */
	const char *workdir;	/* the same */
	bool force;		/* all of it */
	uint64_t scratch_bytes; /* of the sandboxes' disk, in MiBs; 0 = none */
	struct recipe_step *steps;
	size_t count;
};

/* 0 and *ret (recipe_done), or -EINVAL, -ENOTSUP, -ENOMEM with a line for the client. */
MUST_USE int recipe_parse(const char *body, size_t len, struct recipe *ret, struct err *err);
/* May be zero, or done already. */
void recipe_done(struct recipe *r);
/* "RUN", ... */
const char *recipe_kind_name(enum recipe_kind kind);
/* argument i, "" when there are fewer */
const char *recipe_arg(const struct recipe_step *s, size_t i);

#endif
