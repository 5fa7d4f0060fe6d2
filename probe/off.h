/* SPDX-License-Identifier: Apache-2.0 */
/* off.h - the layers of the jail that the battery takes away, and the sets that it tries. */
#ifndef PROBE_OFF_H
#define PROBE_OFF_H

#include <stddef.h>

enum off {
	OFF_SEC,  /* seccomp filters: the probe's own */
	OFF_CAP,  /* capability sets, bounding set, securebits, no_new_privs */
	OFF_UID,  /* a uid and gid of its own */
	OFF_NS,	  /* namespaces */
	OFF_FS,	  /* the empty root */
	OFF_FDS,  /* nothing but the listed descriptors */
	OFF_CGRP, /* control groups */
	OFF_RLIM, /* resource limits */
	OFF_LLK,  /* Landlock: the probe's own */
	OFF_SYSC, /* memfd_noexec, MDWE, session and keyring of its own */
	OFF_X,	  /* SELinux: permissive */
	OFF_COUNT
};

#define OFF_BIT(o) (1U << (o))

/* "sec", "cap", ... */
const char *off_name(enum off o);

/* The names in a mask with commas between. */
void off_list(unsigned mask, char *ret, size_t cap);

/* The part of a mask that the jailer does (casemate-jailer-test --layers-off). */
unsigned off_of_jailer(unsigned mask);

#endif
