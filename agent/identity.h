/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - what makes one sandbox of many that booted alike: name, randomness, wall clock,
 * environment, default user. Before anything of a tenant runs.
 */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#include <agent.pb-c.h>

#include "agent/agent.h"
#include "base/compiler.h"
#include "base/err.h"

/* Opens for writing what an identity writes, and takes the image's machine id away. A file of the
 * image becomes the overlay's own when that happens for the first time, and is read from the disk
 * for it: so once, before a template is made of this VM, and not in each that comes from it. Once
 * the root is mounted: 0 or -errno. */
MUST_USE int identity_prepare(struct err *err);

/* Checks everything, then applies it. On failure the sandbox must not be used: 0 or -errno. */
MUST_USE int identity_apply(struct agent *a, const Casemate__Agent__V1__IdentifyRequest *req,
			    struct err *err);

/* May this request set the identity: there is none yet, or it has the token of the one there is.
 * Takes as long whatever the token's bytes are. Pure. */
bool identity_may_change(const struct agent *a, const Casemate__Agent__V1__IdentifyRequest *req);

/* Changes what the request names and leaves the rest: variables are added to the environment. 0 or
 * -errno with nothing changed. */
MUST_USE int identity_change(struct agent *a, const Casemate__Agent__V1__InitRequest *req,
			     struct err *err);

/* Is it 1 to 63 letters, digits and inner hyphens, or several of that joined by dots? Pure. */
bool identity_hostname_valid(const char *name);

#endif
