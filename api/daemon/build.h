/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - builds of templates: jobs that make a sandbox from an image or a template, run a
 * recipe's steps in it through its agent, start what is to run in it, and keep it as a snapshot
 * (snapshot.h), which sandboxes of the template go on from.
 *
 *     waiting -> queued -> booting -> preparing -> steps -> starting -> freezing -> ready
 *     and from each of them to error
 *
 * A build is its tenant's: its sandbox counts as one of the tenant's, and has a limit of time. A
 * few run at a time, others wait in line. What runs ends with casemated, and is an error from then
 * on (its sandbox is leased); so is one that nobody gave an order within an hour. The last builds'
 * logs are kept in memory.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_BUILD_H
#define API_DAEMON_BUILD_H

#include <jansson.h>

#include "api/daemon/recipe.h"
#include "api/daemon/template_ref.h"
#include "base/compiler.h"
#include "base/err.h"

#define BUILD_RUNNING_MAX    8U	 /* at a time */
#define BUILD_RUNNING_TENANT 4U	 /* of a tenant */
#define BUILD_PENDING_TENANT 16U /* that wait and that run, of a tenant */
#define BUILD_KEPT_MAX	     32U /* that have ended, with their logs */
#define BUILD_TIME_MS	     (UINT64_C(60) * 60 * 1000)
#define BUILD_READY_MS	     (UINT64_C(5) * 60 * 1000) /* for the ready command */
#define BUILD_TAGS_MAX	     16U
#define BUILD_LAYERS_NONE    UINT64_MAX

struct build;
struct builds;
struct build_files;
struct service;
struct tenant;

/* Builds of before that hadn't ended are errors now. layer_after_ms: work that took so long is kept
 * (layers.h), or BUILD_LAYERS_NONE. sv and files outlive it. */
MUST_USE int builds_new(struct service *sv, struct build_files *files, uint64_t layer_after_ms,
			struct builds **ret);
void builds_free(struct builds *t); /* NULL is fine */

/* What is known before there is a recipe. */
struct build_order {
	struct tenant *tenant;
	const char *template; /* its id */
	uint64_t vcpus;
	uint64_t memory; /* bytes */
	char tags[BUILD_TAGS_MAX][TEMPLATE_TAG_MAX + 1];
	size_t tags_count; /* at least one */
};

/* One that waits for its recipe. -EDQUOT, -ENOMEM, -errno with err. */
MUST_USE int builds_add(struct builds *t, const struct build_order *order, struct build **ret,
			struct err *err);
/* Of those that are known with their logs; NULL. */
struct build *builds_find(const struct builds *t, const char *id);
/* The template is gone: its builds end, without a word, and are forgotten. */
void builds_drop(struct builds *t, const char *template);

const char *build_id(const struct build *b);
const char *build_template(const struct build *b);
/* The order: takes the recipe over, also on failure. -ESTALE: it has one already, with err. */
MUST_USE int build_begin(struct build *b, struct recipe *recipe, struct err *err);
/* Its state as POST and GET tell it: "waiting", "building", "ready" or "error". */
const char *build_state(const struct build *b);
/* {"templateID","buildID","status","logs","logEntries","reason"}, entries from `from` on. New
 * reference, NULL = no memory. */
json_t *build_json(const struct build *b, uint64_t from);

#endif
