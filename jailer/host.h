/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - what the jailer found out and opened at its start, and shares between all jails. */
#ifndef JAILER_HOST_H
#define JAILER_HOST_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "jailer/cgroup.h"
#include "jailer/identity.h"
#include "jailer/label.h"
#include "jailer/request.h"
#include "jailer/sealkey.h"
#include "jailer/slot.h"
#include "jailer/store.h"

struct host_config {
	const char *store;
	const char *vmm;
	const char *egress; /* NULL = at the usual place, if it is there; "" = none */
	const char *cgroup; /* name of the parent group */
	bool delegated;	    /* which is below our own (cgroup.h) */
	struct cgroup_io io;
	unsigned slots; /* identities that are needed */
	uint32_t uid_base;
	bool allow_no_selinux;
#ifdef CASEMATE_TEST
	unsigned layers_off;
	uint32_t stop;
	const char *stop_point;
#endif
};

struct host {
	struct store store;
	struct sealkey key; /* of snapshots' seals */
	int vmm;	    /* the binary, copied into a sealed memfd: an upgrade needs a restart */
	int null;
	int root;   /* the mount namespace that jails copy (root.h) */
	int egress; /* the same for casemate-egress; -1 = none: no sandbox reaches a network */
	int netns;  /* ours: where it connects from */
	int cpuid;  /* what KVM offers (cpuid.h); -1 = there was no KVM: each VMM asks for itself */
	struct cgroup_host cgroups;
	enum label_mode label; /* at the start */
	bool allow_no_selinux;
	bool userns; /* jails have one */
	struct identity identity;
	struct slots slots; /* the free ones, for whoever hands them out */
	uint32_t uid_base;
	struct request_limits limits;
#ifdef CASEMATE_TEST
	unsigned off;  /* mask of enum layer */
	uint32_t stop; /* enum stage where jails stop */
	const char *stop_point;
#endif
};

/* Checks and opens everything, removes an earlier jailer's leftovers. Refuses what is unsafe. */
MUST_USE int host_open(struct host *h, const struct host_config *cfg, unsigned *ret_swept,
		       struct err *err);
void host_close(struct host *h);

/* Is SELinux still what it was when we looked first? An operator may have switched it off. */
MUST_USE int host_check_label(const struct host *h, struct err *err);

/* /dev/kvm, opened anew for each VM: the fd or -errno and err's text. */
MUST_USE int host_open_kvm(struct err *err);

#endif
