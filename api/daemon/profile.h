/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile.h - what the public API knows of a sandbox and the VM doesn't care about: the name of its
 * template, its metadata, who may talk to it. A sandbox owns one (sandbox_set_profile); NULL stands
 * for the defaults: no metadata, and closed: all its ports need a token.
 *
 * And the request that makes one in the form of the E2B API, which differs from ours (spec.h):
 * members that aren't known are ignored, because newer SDKs send more; what is known and can't be
 * done is refused by name, and so is a wrong type. Pure; fuzzed by fuzz/e2b_create.c. Any thread.
 */
#ifndef API_DAEMON_PROFILE_H
#define API_DAEMON_PROFILE_H

#include <jansson.h>

#include "api/daemon/hostmask.h"
#include "api/daemon/spec.h"

#define PROFILE_TEMPLATE_MAX 64U
#define PROFILE_METADATA_MAX 64U /* pairs */
/* What a sandbox has whose pauses are to keep its files and no memory, when nothing else was said;
 * it takes what is written to it. */
#define PROFILE_DISK_BYTES (UINT64_C(4) << 30)
#define PROFILE_TEXT_MAX   (16U * 1024U) /* bytes of all of them */

struct profile {
	char template[PROFILE_TEMPLATE_MAX + 1]; /* as it was asked for */
	json_t *metadata;			 /* an object of strings; NULL = {} */
	bool secure;				 /* its agent's port needs the access token */
	bool auto_resume;			 /* a request for one of its ports lets it go on */
	bool private_traffic;			 /* and the others the traffic token */
	char mask_host[HOSTMASK_MAX + 1];	 /* Host of requests to them; "" = as it came */
};

MUST_USE struct profile *profile_new(void); /* NULL = no memory */
void profile_free(struct profile *p);	    /* NULL is fine */
MUST_USE struct profile *profile_copy(const struct profile *p);

/*
 * The body of POST /sandboxes (v = 1) or /v2/sandboxes (2). 0; -EINVAL: 400, -ENOENT: no such
 * template can be, -ENOTSUP: not something that this service can do, -ENOMEM; with a line for the
 * client. *spec: spec_done; *ret: profile_free.
 */
MUST_USE int profile_parse(const char *body, size_t len, unsigned v, const struct spec_limits *lim,
			   struct spec *spec, struct profile **ret, struct err *err);

/* The E2B members (allowOut, denyOut, rules, egressProxy of `network`, which may be NULL) as a
 * policy (network.h), the caller's to free: 0, -EINVAL, -ENOMEM. */
MUST_USE int profile_network(const json_t *network, bool internet, char **ret, struct err *err);

/* Members of a small body such as {"timeout":60}. Fails for another type or a value outside. */
MUST_USE int profile_parse_timeout(const char *body, size_t len, const char *name, bool needed,
				   uint64_t fallback_s, uint64_t *ret_ms, struct err *err);

/* Does it have all pairs of `filter`, a form string as list requests carry it? False for a bad
 * filter. */
bool profile_matches(const struct profile *p, const char *filter);

#endif
