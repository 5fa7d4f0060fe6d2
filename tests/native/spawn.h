/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - starts a casemate-vmm with its descriptors at the fixed numbers, as the jailer does,
 * but without a jail. For tests and vmm-run only. */
#ifndef TESTS_NATIVE_SPAWN_H
#define TESTS_NATIVE_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/vmm_fds.h"

struct drive_file {
	int fd;
	bool read_only;
};

/* What a VMM gets, borrowed. -1 = that descriptor is not there. */
struct vmm_files {
	int kernel;
	int initrd;
	struct drive_file drives[VMM_DRIVES_MAX];
	unsigned drives_count;
	int taps[VMM_TAPS_MAX];
	unsigned taps_count;
	int log;      /* where its log goes; 0 = our own standard error */
	bool restore; /* from these two */
	int state, memory;
	int rest;     /* and this one; 0 = there is none */
	int handover; /* 0 = none: our end is the caller's */
};

/* Forks and executes `program`: its pid and our end of the control socket in *ret_control, or
 * -errno. A child that can't be set up exits with 127. */
pid_t vmm_fork(const char *program, const struct vmm_files *files, int *ret_control);

#endif
