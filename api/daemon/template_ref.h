/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_ref.h - what templates, their tags and their builds are called.
 *
 * "NAME" or "NAME:TAG". A name is 1 to 64 of a-z, 0-9, '-' and '_'; a tag may have '.' as well. An
 * id is 't' and 19 of [a-z0-9], so no name may look like one. A build's id is a UUID.
 *
 * Pure but for the random numbers of new ids. Any thread.
 */
#ifndef API_DAEMON_TEMPLATE_REF_H
#define API_DAEMON_TEMPLATE_REF_H

#include <stdbool.h>

#include "api/daemon/spec.h"
#include "base/compiler.h"
#include "base/err.h"

#define TEMPLATE_NAME_MAX 64U
#define TEMPLATE_TAG_MAX  64U
#define TEMPLATE_REF_MAX  (TEMPLATE_NAME_MAX + 1U + TEMPLATE_TAG_MAX)
#define TEMPLATE_ID_LEN	  20U
#define BUILD_ID_LEN	  36U
#define TEMPLATE_TAG_NONE "default" /* the tag of who says none */

struct template_ref {
	char name[TEMPLATE_NAME_MAX + 1]; /* or an id, where that is allowed */
	char tag[TEMPLATE_TAG_MAX + 1];	  /* "" = none was said */
};

/* The name of a template that is to be: 0 or -EINVAL with err. */
MUST_USE int template_ref_parse(const char *text, struct template_ref *ret, struct err *err);
/* The same, for one that may be there: an id will do for a name. */
MUST_USE int template_ref_find(const char *text, struct template_ref *ret);
bool template_tag_ok(const char *tag);

void template_id_make(char id[TEMPLATE_ID_LEN + 1]);
bool template_id_ok(const char *id);
void build_id_make(char id[BUILD_ID_LEN + 1]);
bool build_id_ok(const char *id);

/*
 * A reference to a container image ("docker.io/library/debian:12") as the name that it has when
 * `casemate image pull` has brought it: its last part, a hyphen for the colon. "base", also as
 * "e2bdev/base:latest", is fallback. 0 or -EINVAL with err.
 */
MUST_USE int template_image_name(const char *ref, const char *fallback,
				 char name[SPEC_NAME_MAX + 1], struct err *err);

#endif
