/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.h - how a freshly cloned process becomes a jail, one stage after the other.
 *
 * Theory of operation. A process is cloned into new namespaces and its v2 cgroup (spawner.h). It
 * runs the stages of the table in stage.c in order. A stage either did all that it is for
 * or returns a negative errno: then its name and the errno go to the jailer through the report
 * socket, the child ends, and the start has failed. There is no stage that may be skipped because
 * it failed.
 *
 * All that a jail is, up to the last privilege, is done before it is known for whom: then the
 * process waits (stage_claim) for the order with the descriptors of one virtual machine. So a jail
 * can lie ready in a pool, and one that is made on demand takes the same way. The last stage is
 * the exec; the report socket is close-on-exec, so that its end without a word is the sign of
 * success.
 *
 * The mounts are the jailer's, and the working directory is the store (host.c), until the root
 * stage: the stages before it need /proc and /dev/net/tun. None of them mounts anything.
 *
 * Each stage says what it should do and what it must not leave to the stages after it.
 */
#ifndef JAILER_STAGE_H
#define JAILER_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "jailer/cgroup.h"
#include "jailer/label.h"
#include "jailer/layer.h"
#include "vmm/vmm_fds.h"

/* Descriptors that the stages need: above the VMM's table, close-on-exec, gone after the exec. */
#define STAGE_FD_REPORT VMM_FD_DYNAMIC
#define STAGE_FD_EXEC	(VMM_FD_DYNAMIC + 1)
#define STAGE_FD_ROOT	(VMM_FD_DYNAMIC + 2) /* the mount namespace of root.h */
#define STAGE_FD_CGROUP (VMM_FD_DYNAMIC + 3) /* one for each tree */
#define STAGE_FD_TUN	(STAGE_FD_CGROUP + CGROUP_TREE_COUNT)
/* For casemate-egress, and closed when it has them: the host's network namespace, its binary, its
 * ends of control socket and log pipe, where to tell a failure, and the gateway's four. */
#define STAGE_FD_HOSTNET	(STAGE_FD_TUN + VMM_TAPS_MAX)
#define STAGE_FD_EGRESS		(STAGE_FD_HOSTNET + 1)
#define STAGE_FD_EGRESS_CONTROL (STAGE_FD_HOSTNET + 2)
#define STAGE_FD_EGRESS_LOG	(STAGE_FD_HOSTNET + 3)
#define STAGE_FD_FAILURE	(STAGE_FD_HOSTNET + 4)
#define STAGE_FD_GATEWAY	(STAGE_FD_HOSTNET + 5)
#define STAGE_FD_END		(STAGE_FD_GATEWAY + 4)

#define NIC_NAME "tap0" /* the tap, in its namespace */

/* One descriptor of the VMM: source in the jailer, number in the VMM. */
struct stage_fd {
	int from;
	int to;
};

/* Those of the order: control, KVM, kernel, initrd, log, drives, memory and state. */
#define STAGE_FDS_MAX (7 + VMM_DRIVES_MAX)
_Static_assert(STAGE_FDS_MAX <= FD_PASS_MAX, "an order's descriptors fit into one message");

/* What the stages know of the jail; the claim comes with the order. */
struct stage_env {
	int null;   /* /dev/null, becomes 0 to 2 */
	int report; /* the child's end of the socket pair */
	int exec;   /* the VMM's binary, a sealed memfd */
	int root;   /* the mount namespace to copy (root.h) */
	int cgroup[CGROUP_TREE_COUNT];
	char label[LABEL_MAX];
	uint32_t uid; /* and gid */
	bool userns;  /* this kernel has user namespaces for us */
	bool nic;     /* with a tap */
	/* The process behind the gateway: its binary, -1 = a tap that leads nowhere; then nothing
	 * of the rest counts. The network namespace is the host's. */
	int egress;
	int hostnet;
	int egress_control, egress_log; /* its ends */
	char egress_label[LABEL_MAX];
	uint32_t egress_uid;

	/* From here on: stage_claim's. */
	struct stage_fd fds[STAGE_FDS_MAX];
	unsigned fds_count;
	unsigned nic_queues;
	uint64_t file_bytes_max;
	uint64_t address_bytes_max;
#ifdef CASEMATE_TEST
	unsigned off;  /* mask of enum layer: left out */
	uint32_t stop; /* before this stage the process waits to be killed; 0 = nowhere */
#endif
};

enum stage {
	STAGE_SIGNALS,
	STAGE_FDS,
	STAGE_CGROUP,
	STAGE_SESSION,
	STAGE_LABEL,
	STAGE_MEMFD,
	STAGE_OOM,
	STAGE_UTS,
	STAGE_NIC,
	STAGE_EGRESS,
	STAGE_ROOT,
	STAGE_USER,
	STAGE_CHROOT,
	STAGE_BOUNDING,
	STAGE_RLIMITS,
	STAGE_IDS,
	STAGE_CAPS,
	STAGE_LOCKS,
	STAGE_CLAIM,
	STAGE_TAP,
	STAGE_TABLE,
	STAGE_EXEC,
	STAGE_COUNT
};

/* What comes over the report socket: once REPORT_BORN, which is the spawner's (spawner.h), with the
 * process's pidfd; the rest is what the process says, the first of it possibly before that. */
enum report_kind { REPORT_BORN = 1, REPORT_MAP, REPORT_READY, REPORT_FAILED };

struct stage_report {
	uint32_t kind;
	uint32_t stage; /* REPORT_FAILED: where */
	int32_t err;	/* REPORT_FAILED: negative errno; REPORT_BORN: the same, or 0 */
	int32_t pid;	/* REPORT_BORN without an error */
};

/* What the jailer answers: to REPORT_MAP, and, some time after REPORT_READY, with descriptors. */
enum order_kind { ORDER_MAPPED = 1, ORDER_CLAIM };

struct stage_order {
	uint32_t kind;
	uint32_t fds_count;
	int32_t to[STAGE_FDS_MAX]; /* the numbers of the descriptors that come along */
	uint32_t nic_queues;
	uint64_t file_bytes_max;
	uint64_t address_bytes_max;
};

const char *stage_name(uint32_t stage);

/* Runs all stages; comes back only by not coming back. */
NORETURN void stage_run(struct stage_env *env);

/* The stages, by file: fds.c */
MUST_USE int stage_fds(struct stage_env *env);
MUST_USE int stage_table(struct stage_env *env);
/* claim.c */
MUST_USE int stage_claim(struct stage_env *env);
/* ns.c */
MUST_USE int stage_signals(struct stage_env *env);
MUST_USE int stage_cgroup(struct stage_env *env);
MUST_USE int stage_session(struct stage_env *env);
MUST_USE int stage_label(struct stage_env *env);
MUST_USE int stage_memfd(struct stage_env *env);
MUST_USE int stage_oom(struct stage_env *env);
MUST_USE int stage_uts(struct stage_env *env);
/* nic.c */
MUST_USE int stage_nic(struct stage_env *env);
MUST_USE int stage_tap(struct stage_env *env);
/* egress.c */
MUST_USE int stage_egress(struct stage_env *env);
/* In that process. */
MUST_USE int stage_egress_fds(struct stage_env *env);	  /* fds.c */
MUST_USE int stage_egress_rlimits(struct stage_env *env); /* rlimit.c */
/* mount.c */
MUST_USE int stage_root(struct stage_env *env);
MUST_USE int stage_chroot(struct stage_env *env);
/* cred.c */
MUST_USE int stage_user(struct stage_env *env);
MUST_USE int stage_bounding(struct stage_env *env);
MUST_USE int stage_ids(struct stage_env *env);
MUST_USE int stage_caps(struct stage_env *env);
MUST_USE int stage_locks(struct stage_env *env);
/* rlimit.c */
MUST_USE int stage_rlimits(struct stage_env *env);

#endif
