/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - what one jail consists of, opened and made before any process exists: if something
 * is missing, there is nothing to clean up but descriptors and an empty cgroup.
 */
#ifndef JAILER_PLAN_H
#define JAILER_PLAN_H

#include "jailer/host.h"
#include "jailer/request.h"
#include "jailer/stage.h"

struct plan {
	int control_host; /* our end of the VMM's control socket, for casemated */
	int control_vmm;
	int log_read; /* for casemated */
	int log_write;
	int kvm;
	int kernel;
	int initrd; /* -1 = none */
	int image;
	int scratch; /* -1 = none */
	struct cgroup cgroup;
	struct stage_env env;
};

/* On failure everything is closed and removed again. */
MUST_USE int plan_make(struct plan *p, const struct host *h, const struct request *q, uint32_t slot,
		       struct err *err);
/* Closes the descriptors; the cgroup is the jail's and stays. */
void plan_close(struct plan *p);

#endif
