/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_find.h - where the hierarchies are mounted. */
#ifndef JAILER_CGROUP_FIND_H
#define JAILER_CGROUP_FIND_H

#include "jailer/cgroup.h"

/* Opens the root of each hierarchy that is mounted; -1 for the others. */
MUST_USE int cgroup_find(int root[CGROUP_TREE_COUNT], struct err *err);

/* Are memory, pids and cpu controllers of the v2 hierarchy? (Else they are v1's, or absent.) */
bool cgroup_v2_has_controllers(int root);

#endif
