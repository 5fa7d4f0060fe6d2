/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.h - the layers of the jail, by the names that the attack battery's matrix has for them.
 *
 * In the test build (CASEMATE_TEST: library jailer_test, binary casemate-jailer-test) single layers
 * can be left out, to show that the others hold without them. In the product there is no such
 * thing: layer_is_off is a constant there, and nothing reads a mask.
 *
 * The VMM's own layers, seccomp and Landlock, are not here: the process in the jail puts them on.
 */
#ifndef JAILER_LAYER_H
#define JAILER_LAYER_H

#include <stdbool.h>

#include "base/compiler.h"

enum layer {
	LAYER_NONE = 0,
	LAYER_CAP = 1U << 0,  /* capability sets, bounding set, securebits, no_new_privs */
	LAYER_UID = 1U << 1,  /* uid and gid of its own */
	LAYER_NS = 1U << 2,   /* pid, net, ipc, uts, cgroup namespaces (mount: LAYER_FS) */
	LAYER_FS = 1U << 3,   /* the empty root */
	LAYER_FDS = 1U << 4,  /* only the listed descriptors */
	LAYER_CGRP = 1U << 5, /* control group */
	LAYER_RLIM = 1U << 6, /* resource limits */
	LAYER_SYSC = 1U << 7, /* MDWE, memfd_noexec, session and keyring of its own */
	LAYER_X = 1U << 8,    /* SELinux label */
};

#ifdef CASEMATE_TEST
/* "cap,uid": a mask of layers that are to be left out; 0 or -EINVAL. */
MUST_USE int layers_parse(const char *text, unsigned *ret);
#define layer_is_off(env, layer) (((env)->off & (unsigned)(layer)) != 0)
#else
#define layer_is_off(env, layer) ((void)(env), (void)(layer), false)
#endif

#endif
