/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates.h - templates as they are: which build a name stands for, and what goes when nothing
 * names it any more. The store has them (api/store/templates.h); their snapshots are the jailer's
 * (snapshot.h). Builds are build.h.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_TEMPLATES_H
#define API_DAEMON_TEMPLATES_H

#include <stdbool.h>
#include <stdint.h>

#include "api/daemon/service.h"
#include "api/daemon/template_ref.h"
#include "base/compiler.h"
#include "base/err.h"

/* What a build's snapshot is called: this and its id. */
#define TEMPLATES_SNAPSHOT "build."
#define TEMPLATES_MAX	   256U /* of a tenant */
#define TEMPLATES_FAILED   8U	/* builds of a template's that failed, and are remembered */

struct snapshot;
struct tenant;

struct template
{
	char id[TEMPLATE_ID_LEN + 1];
	char name[TEMPLATE_NAME_MAX + 1];
	char tenant[STORE_NAME_MAX + 1];
	bool public;
	int64_t created_ms;
};

/* By id or name: the tenant's, or a public one. 0, -ENOENT, -errno. */
MUST_USE int template_find(const struct service *sv, const struct tenant *tenant, const char *key,
			   struct template *ret);
/* The build that a tag of it names. 0, -ENOENT, -errno. */
MUST_USE int template_build(const struct service *sv, const char *template, const char *tag,
			    char build[BUILD_ID_LEN + 1]);

/*
 * "NAME[:TAG]" for a sandbox: fills in what it gets of the template (environment, user, directory)
 * where spec says nothing, and the snapshot's shape. 0 and *ret; -ENOENT: there is no such
 * template; -ESTALE: it has no build that is ready; -EINVAL, -ENOMEM with err.
 */
MUST_USE int templates_shape(const struct service *sv, const char *text, struct spec *spec,
			     struct snapshot **ret, struct err *err);

/* Makes a sandbox of one. own_user: spec's user counts where it says one; the E2B API names none
 * there. -ENOENT: there is no such template, and spec is as it was; else spec is taken over, and it
 * is as sandbox_create. */
MUST_USE int templates_create(const struct service *sv, const char *text, bool own_user,
			      struct spec *spec, struct sandbox **ret, struct err *err);

/* Builds that no tag names go, with their snapshots; and of failed ones all but the last. */
void templates_tidy(struct service *sv, const char *template);
/* It and all that belongs to it. 0, -ENOENT, -errno. */
MUST_USE int templates_remove(struct service *sv, const char *template);
/* At the start: snapshots of builds that nobody has heard of. */
void templates_sweep(struct service *sv);

#endif
