/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.h - the filters of the VMM's threads, from policies/seccomp/vmm-*.policy. Each is put on
 * the calling thread and can't be taken off. One that can't be installed must stop the start.
 */
#ifndef VMM_SECCOMP_H
#define VMM_SECCOMP_H

#include "base/compiler.h"

enum seccomp_role {
	SECCOMP_START,	 /* the whole process, before the first byte from outside */
	SECCOMP_CONTROL, /* main thread once the VM is built: control and devices */
	SECCOMP_VCPU,
	SECCOMP_BLK,  /* block device threads */
	SECCOMP_NET,  /* network device threads */
	SECCOMP_COPY, /* the second thread of live snapshots */
	SECCOMP_ROLE_COUNT
};

/* 0 or -errno. */
MUST_USE int vmm_seccomp_install(enum seccomp_role role);

#endif
