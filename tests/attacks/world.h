/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - a host that may be lost: all namespaces new, every file system read-only, and memory
 * file systems where the battery writes. Whoever breaks out of a jail lands here.
 *
 * The jailer in it is as on a real host: root with the kernel's own users, cgroups and KVM.
 */
#ifndef TESTS_ATTACKS_WORLD_H
#define TESTS_ATTACKS_WORLD_H

#include <sys/types.h>

#include "base/compiler.h"

#define WORLD_LIB    "/var/lib"
#define WORLD_STORE  WORLD_LIB "/casemate"
#define WORLD_BIN    WORLD_LIB "/bin"
#define WORLD_JAILER WORLD_BIN "/casemate-jailer"
#define WORLD_PROBE  WORLD_BIN "/casemate-vmm"
#define WORLD_SOCKET "/run/casemate/jailer.sock"

/* Runs fn as pid 1 of the new world; its return value is the caller's. Everything in the world
 * ends with fn. */
MUST_USE int world_run(int (*fn)(void *arg), void *arg);

/* In the world: its mounts and directories, binaries and store. jailer, probe: paths outside. */
void world_furnish(const char *jailer, const char *probe);

/* A cgroup of the battery's own, beside the jails'. path: of its cgroup.procs. */
void world_make_cgroup(char *path, size_t cap);
void world_remove_cgroup(void);

#endif
