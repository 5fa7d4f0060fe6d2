/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - one control group for each jail: memory, processes, CPU and disk time, devices, and
 * the means to kill all that is in it.
 *
 * Theory of operation. A jail's group is PARENT/SLOT ("casemate/slot-17") below the root of each
 * hierarchy that we use. On a v2 host that is one hierarchy: the child is born in it
 * (CLONE_INTO_CGROUP), cgroup.kill ends it, and cgroup.events says when it is empty. On a v1 host
 * the memory, pids and cpu hierarchies (devices and blkio where they are mounted) have a group
 * each, which the child joins before anything else; where a v2 hierarchy without controllers is
 * mounted beside them (systemd's hybrid layout) it is used too, for cgroup.kill.
 *
 * A group is made with the limits that hold for every jail, before it is known for whom it will be;
 * what depends on the request is set when it is.
 *
 * Devices: no process below the parent may open or make any device node but /dev/net/tun (a jail's
 * tap is attached through it, in the jail's own network namespace). Descriptors that were opened
 * elsewhere and passed in are not affected, and a jail has no other.
 *
 * Where a service manager owns the hierarchy (systemd), the parent is below the group that it has
 * delegated to the jailer, and the jailer itself is in "jailer" beside it.
 *
 * The parent directory is locked (flock) for as long as the jailer lives: a second jailer with
 * the same parent refuses to start, so the sweep of leftovers can't hit living jails.
 */
#ifndef JAILER_CGROUP_H
#define JAILER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

#define CGROUP_NAME_MAX 64
#define CGROUP_PATH_MAX 100 /* of a group that was delegated to us */

/* What the VMM may use beyond guest memory: its own code, tables and page tables. */
#define CGROUP_MEMORY_ALLOWANCE (UINT64_C(64) << 20)
#define CGROUP_PIDS_MAX		64

/* The hierarchies, in the order of the descriptors below. */
enum cgroup_tree {
	CGROUP_V2,
	CGROUP_V1_MEMORY,
	CGROUP_V1_PIDS,
	CGROUP_V1_CPU,
	CGROUP_V1_DEVICES,
	CGROUP_V1_BLKIO,
	CGROUP_TREE_COUNT
};

/* Of one jail, on the disk that holds the store; 0 = no limit. */
struct cgroup_io {
	uint64_t bytes_per_s; /* each direction */
	uint64_t ops_per_s;
};

struct cgroup_config {
	const char *parent;
	bool delegated;			 /* below the group that we are in, not below the root */
	unsigned disk_major, disk_minor; /* whole disk of the store; 0, 0 = none (a tmpfs, ...) */
	struct cgroup_io io;
	unsigned lock_ms; /* how long to wait for another jailer to give the parent up */
};

struct cgroup_host {
	unsigned version; /* 1 or 2: where the controllers are */
	bool io;	  /* is there a controller for it? */
	bool cpuset;	  /* the same */
	char parent[CGROUP_NAME_MAX + 1];
	char above[CGROUP_PATH_MAX + 2]; /* path of what the parent is below, with a slash; or "" */
	unsigned disk_major, disk_minor;
	struct cgroup_io limit;
	int dir[CGROUP_TREE_COUNT]; /* the parent group in each hierarchy; -1 = not used */
};

struct cgroup {
	char name[CGROUP_NAME_MAX + 1]; /* "" = none */
	int dir[CGROUP_TREE_COUNT];	/* this jail's groups; -1 = not used */
};

struct cgroup_limits {
	uint64_t memory_bytes; /* of the guest; the allowance comes on top */
	unsigned vcpus;
	const char *cpus, *mems; /* lists for cpuset; "" = all */
};

/* Finds the hierarchies, makes and locks the parent. -EBUSY: another jailer has it. */
MUST_USE int cgroup_host_open(struct cgroup_host *h, const struct cgroup_config *cfg,
			      struct err *err);
/* Removes the parent if it is empty. */
void cgroup_host_close(struct cgroup_host *h);

/* Kills and removes every group below the parent: the leftovers of an earlier jailer. Waits a few
 * seconds at most; -EBUSY if something stays. *ret_swept: how many there were. -EEXIST, and nothing
 * is done: there is a group whose name no jail can have, so the parent isn't only ours. */
MUST_USE int cgroup_sweep(const struct cgroup_host *h, unsigned *ret_swept, struct err *err);

/* Once, while there is no group below the parent (v1 wants that): devices are closed to all that
 * will be. */
MUST_USE int cgroup_close_devices(const struct cgroup_host *h, struct err *err);

/* Sets *c to "none"; cgroup_close is then harmless. */
void cgroup_clear(struct cgroup *c);
/* Makes the group of a slot, with the limits that all have. On failure nothing is left. */
MUST_USE int cgroup_create(const struct cgroup_host *h, uint32_t slot, struct cgroup *ret,
			   struct err *err);
/* What depends on the request. -ENOTSUP: a cpuset is asked for and this host has none. */
MUST_USE int cgroup_limit(const struct cgroup_host *h, const struct cgroup *c,
			  const struct cgroup_limits *l, struct err *err);
/* Another limit of guest memory, alone, while the jail runs. */
MUST_USE int cgroup_limit_memory(const struct cgroup_host *h, const struct cgroup *c,
				 uint64_t memory_bytes, struct err *err);
/* SIGKILL to all in it. */
void cgroup_kill(const struct cgroup *c);
/* Removes the group: 0, or -EBUSY while something is in it (call again). */
MUST_USE int cgroup_remove(const struct cgroup_host *h, struct cgroup *c);
/* A descriptor for EPOLLPRI that is raised when the group becomes empty; owned by the caller.
 * -ENOTSUP on v1. */
MUST_USE int cgroup_open_events(const struct cgroup_host *h, const struct cgroup *c);
/* What a group has used so far, and uses. */
struct cgroup_usage {
	uint64_t cpu_us;
	uint64_t memory_bytes;
	uint64_t memory_peak_bytes; /* 0 = this kernel doesn't keep it */
};
/* pid: its only process, not reaped. A v1 host's cpuacct may be a hierarchy that no jail joins, so
 * there the time is the process's. 0 or -errno. */
MUST_USE int cgroup_usage(const struct cgroup *c, pid_t pid, struct cgroup_usage *ret);
/* Has its memory limit killed something? */
bool cgroup_was_oom(const struct cgroup *c);

/* In the new process: joins the v1 groups (no-op for v2, where it was born inside). */
MUST_USE int cgroup_join_v1(const int dir[CGROUP_TREE_COUNT]);

#endif
