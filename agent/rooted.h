/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rooted.h - places that a user can't write to, for a client who may: whoever holds the sandbox's
 * token could as well act as root, and the E2B SDKs expect that files and directories anywhere can
 * be made for the default user.
 *
 * What a client names is made with root's rights only along a path without a single symlink and
 * never in a file with a second name, so that a program inside the sandbox can't have root write
 * where the client didn't say. What is made belongs to the user. The user's own rights are tried
 * first: this is for what they refuse (-EACCES, -EPERM). Only where the agent is root.
 */
#ifndef AGENT_ROOTED_H
#define AGENT_ROOTED_H

#include "agent/place.h"
#include "base/compiler.h"

/* Would it be worth a try after this error? */
bool rooted_may(const struct place *p, int error);
/* The directory of p's last component, as path_open_parent, and that component in *ret_name (into
 * `path`, a copy of p's path that is changed). The descriptor or -errno. */
MUST_USE int rooted_parent(const struct place *p, char *path, const char **ret_name);
/* A regular file there, opened with these flags, made if they say so: the descriptor or -errno. */
MUST_USE int rooted_open(const struct place *p, int flags);
/* A directory there: 0 or -errno. */
MUST_USE int rooted_mkdir(const struct place *p);

#endif
