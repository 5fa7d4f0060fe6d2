/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - the descriptors of one virtual machine, opened before a jail is taken for it: if
 * something is missing, there is nothing to clean up but descriptors.
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
	int handover_host; /* for us: to pass the VMM another control socket */
	int handover_vmm;
	int kvm;
	int kernel;
	int initrd; /* -1 = none */
	int image;
	uint64_t image_bytes; /* of a file; 0 = a block device */
	uint8_t image_id[REQUEST_IMAGE_ID_BYTES];
	int scratch; /* -1 = none */
	int memory;  /* of a snapshot; -1 = none */
	int rest;    /* of its memory; -1 = none */
	int state;   /* the same */
	struct stage_fd fds[STAGE_FDS_MAX];
	unsigned fds_count;
};

/* The descriptors of q are duplicated. On failure everything is closed again. */
MUST_USE int plan_open(struct plan *p, const struct host *h, const struct request *q,
		       struct err *err);
/* What carries the jail's own label; then p->fds is complete. On failure p is as it was. */
MUST_USE int plan_finish(struct plan *p, const struct host *h, const struct request *q,
			 uint32_t slot, struct err *err);
void plan_close(struct plan *p);

#endif
