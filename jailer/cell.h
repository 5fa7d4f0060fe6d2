/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell.h - a jail without a prisoner: identity, control group, and a process in all its walls that
 * waits for a virtual machine; then the same with one; then what is left of it, until nothing is.
 *
 *     PREPARING --ready--> READY --claimed--> STARTING --exec--> RUNNING --process ended-->
 * CLEANING
 *         \___________________\__________________\_____ failed or killed _____________________/
 *
 * CLEANING goes on until the control group is empty and removed, however long that takes: only then
 * the identity (slot) goes back. A cell is used once; nothing that has run a VMM is ever ready
 * again.
 *
 * The owner gets, in this order: `ready`, `started`, then `ended` when nothing is left; or, instead
 * of what comes next, `failed` when the jail could not be made, and then nothing more. After
 * `failed` and `ended` the cell is no longer the owner's. No callback comes from within cell_new,
 * cell_claim or cell_kill.
 *
 * Everything belongs to the loop's thread. What is stuck is logged.
 */
#ifndef JAILER_CELL_H
#define JAILER_CELL_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "jailer/host.h"
#include "jailer/slot.h"
#include "jailer/spawn.h"

enum cell_state {
	CELL_PREPARING,
	CELL_READY,
	CELL_STARTING,
	CELL_RUNNING,
	CELL_CLEANING,
	CELL_STATE_COUNT
};

struct cell;

struct cell_ops {
	void (*ready)(struct cell *c, void *arg);
	void (*started)(struct cell *c, void *arg);
	void (*failed)(struct cell *c, const struct err *why, void *arg);
	void (*ended)(struct cell *c, const struct ending *how, bool oom, void *arg);
};

/* All cells of a jailer. */
struct cells {
	struct loop *loop;
	const struct host *host;
	struct slots slots;
	struct spawner spawner;
	unsigned count; /* with those that are being cleaned up */
};

/* The owner may read all of it. */
struct cell {
	struct cell *next; /* the owner's */
	struct cells *cells;
	enum cell_state state;
	const struct cell_ops *ops; /* NULL = nobody's any more */
	void *arg;
	bool nic;
	bool ready_once;	   /* it has been READY */
	bool doomed;		   /* to be killed as soon as it is born */
	struct stage_report early; /* what its process said before that; kind 0 = nothing */
	uint32_t slot;
	uint32_t uid;
	uint32_t map_uid; /* the one id in its user namespace */
	char label[LABEL_MAX];
	struct cgroup cgroup;
	struct spawned process;	     /* -1 when closed, pidfd before it is born too */
	struct loop_io *io_process;  /* watches the pidfd */
	struct loop_io *io_report;   /* and the report socket */
	struct loop_io *io_empty;    /* and the events of the group, while cleaning */
	int events;		     /* their descriptor */
	struct loop_timer *deadline; /* of what is going on */
	int egress[2];	  /* of its casemate-egress: control socket, log; -1 = none, or taken */
	unsigned retries; /* of cleaning */
	struct ending how;
	bool oom;
};

/* Makes one; it is PREPARING. -EDQUOT: all identities are in use. */
MUST_USE int cell_new(struct cells *cs, bool nic, const struct cell_ops *ops, void *arg,
		      struct cell **ret, struct err *err);
/* Another owner, or none: then the cell is killed and cleans up after itself. */
void cell_give(struct cell *c, const struct cell_ops *ops, void *arg);
void cell_drop(struct cell *c);

/* Address space beyond guest memory: the VMM's own, thread stacks and what its allocator reserves.
 * A VMM of 32 vCPUs takes less than 16 MiB; this is the fence behind the cgroup's. */
#define CELL_ADDRESS_ALLOWANCE (UINT64_C(256) << 20)

/* A READY one gets its virtual machine; the descriptors stay the caller's. On failure it is still
 * the owner's, who had better drop it. */
struct cell_claim {
	struct cgroup_limits limits;
	const struct stage_fd *fds;
	unsigned fds_count;
	unsigned nic_queues;
	uint64_t file_bytes_max;
	uint64_t map_bytes; /* address space for files */
};
MUST_USE int cell_claim(struct cell *c, const struct cell_claim *q, struct err *err);

/* The ends of control socket and log pipe of its casemate-egress, the caller's to close; -ENOENT:
 * it has none; or -errno. */
MUST_USE int cell_open_egress(const struct cell *c, int ret[2]);

/* SIGKILL; `ended` or `failed` follows. */
void cell_kill(struct cell *c);

#endif
