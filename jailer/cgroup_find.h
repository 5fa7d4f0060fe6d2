/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_find.h - where the hierarchies are mounted. */
#ifndef JAILER_CGROUP_FIND_H
#define JAILER_CGROUP_FIND_H

#include "jailer/cgroup.h"

/* Opens the root of each hierarchy that is mounted; -1 for the others. */
MUST_USE int cgroup_find(int root[CGROUP_TREE_COUNT], struct err *err);

/*
 * Replaces the descriptor of the v2 hierarchy's root by that of the group that this process is in,
 * which a service manager has delegated to it, and moves the process into "jailer" below that: a
 * group hands controllers on only when no process is in it. path: its path from the root, without
 * a slash at either end. -EINVAL when there is no such group. Once, before there are threads.
 */
MUST_USE int cgroup_enter_delegated(int *root, char path[CGROUP_PATH_MAX + 1], struct err *err);

/* Are memory, pids and cpu controllers of the v2 hierarchy? (Else they are v1's, or absent.) */
bool cgroup_v2_has_controllers(int root);

#endif
