/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.h - an environment under construction: NAME=VALUE strings, later ones replace earlier.
 * Bounded in count and bytes. One owner.
 */
#ifndef AGENT_ENV_H
#define AGENT_ENV_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"

#define ENV_COUNT_MAX 4096
#define ENV_BYTES_MAX ((size_t)2 * 1024 * 1024)
#define ENV_PATH      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct env {
	char **list; /* NULL-terminated once there is an entry */
	size_t count;
	size_t cap;
	size_t bytes;
};

void env_init(struct env *e);
void env_done(struct env *e);
/* 0, -EINVAL (empty name, or '=' in it), -E2BIG (limits), -ENOMEM. */
MUST_USE int env_set(struct env *e, const char *name, const char *value, struct err *err);
/* Everything of `from` over what is there. */
MUST_USE int env_merge(struct env *e, const struct env *from, struct err *err);
/* The value, or NULL. Lives until the next change. */
const char *env_get(const struct env *e, const char *name);

#endif
