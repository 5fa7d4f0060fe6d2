/* SPDX-License-Identifier: Apache-2.0 */
/*
 * removal.h - Remove: a file, or a directory with all that is in it, a part in each turn of the
 * loop, so that a large tree doesn't keep other clients waiting. Symlinks are removed, never
 * followed. One thread.
 */
#ifndef AGENT_REMOVAL_H
#define AGENT_REMOVAL_H

#include "agent/place.h"
#include "api/rpc/rpc.h"
#include "base/compiler.h"

#define REMOVALS_MAX	  16
#define REMOVAL_DEPTH_MAX 128

struct removal_table;

MUST_USE int removal_table_new(struct loop *l, struct removal_table **ret);
/* Gives up what is under way. NULL is fine. */
void removal_table_free(struct removal_table *t);
/* Removes what p names and ends the call. A client that goes away doesn't stop it. */
void removal_start(struct removal_table *t, const struct place *p, struct rpc_call *call);

#endif
