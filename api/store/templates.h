/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates.h - the store's tables of templates, their builds and their tags. A template has a name
 * within its tenant, a build is one making of it, and a tag of a template names one of its builds.
 *
 * Strings that a callback gets live until it returns; it may not call the store. Each function is
 * one transaction, on the disk when it returns. Threads: the loop's.
 */
#ifndef API_STORE_TEMPLATES_H
#define API_STORE_TEMPLATES_H

#include "api/store/store.h"

struct store_template {
	const char *id;
	const char *tenant;
	const char *name;
	bool public;	    /* other tenants may use it */
	int64_t created_ms; /* Unix */
};

/* -EEXIST: the tenant has one of this name. */
MUST_USE int store_template_add(struct store *s, const struct store_template *t);
/* -ENOENT. */
MUST_USE int store_template_share(struct store *s, const char *id, bool public);
/* With its builds and tags. -ENOENT. */
MUST_USE int store_template_remove(struct store *s, const char *id);
/* By id or name: the tenant's own, else a public one. fn's result is returned. -ENOENT. */
MUST_USE int store_template_find(struct store *s, const char *tenant, const char *key,
				 int (*fn)(const struct store_template *t, void *arg), void *arg);
/* A tenant's, oldest first; ends when fn returns other than 0, which is returned. */
MUST_USE int store_templates_each(struct store *s, const char *tenant,
				  int (*fn)(const struct store_template *t, void *arg), void *arg);

#define STORE_BUILD_WAITING  "waiting" /* for the order to begin */
#define STORE_BUILD_BUILDING "building"
#define STORE_BUILD_READY    "ready"
#define STORE_BUILD_ERROR    "error"

struct store_build {
	const char *id;
	const char *template;
	const char *state;
	const char *reason;   /* of an error; "" */
	const char *config;   /* JSON, as image_config.h has it: what sandboxes get of it */
	const char *snapshot; /* which sandboxes are made from; "" = none yet, or no more */
	uint64_t vcpus;
	uint64_t memory; /* bytes */
	int64_t created_ms;
	int64_t ended_ms; /* 0 = it hasn't */
};

/* Adds it in this state, with nothing but id, template, state, vcpus, memory and created_ms. */
MUST_USE int store_build_add(struct store *s, const struct store_build *b);
/* Its state, reason, config, snapshot and ended_ms are these from now on. */
MUST_USE int store_build_state(struct store *s, const struct store_build *b);
/* -ENOENT. */
MUST_USE int store_build_find(struct store *s, const char *id,
			      int (*fn)(const struct store_build *b, void *arg), void *arg);
/* A template's, newest first. */
MUST_USE int store_builds_each(struct store *s, const char *template,
			       int (*fn)(const struct store_build *b, void *arg), void *arg);
/* Those that haven't ended are errors. */
MUST_USE int store_builds_abort(struct store *s, const char *reason, int64_t now_unix_ms);
/* With its tags. -ENOENT. */
MUST_USE int store_build_remove(struct store *s, const char *id);

#define STORE_TAGS_MAX 128U /* of one template */

struct store_tag {
	const char *tag;
	const char *build;
	int64_t created_ms;
};

/* It names this build from now on. -EDQUOT: the template has STORE_TAGS_MAX others. */
MUST_USE int store_tag_put(struct store *s, const char *template, const struct store_tag *t);
/* -ENOENT. */
MUST_USE int store_tag_remove(struct store *s, const char *template, const char *tag);
/* A template's, by name. */
MUST_USE int store_tags_each(struct store *s, const char *template,
			     int (*fn)(const struct store_tag *t, void *arg), void *arg);

#endif
