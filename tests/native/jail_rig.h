/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail_rig.h - a store, a casemate-jailer over it and a client, for one test. The jailer has its
 * own socket and its own parent cgroup, so tests disturb neither each other nor the host.
 */
#ifndef TESTS_NATIVE_JAIL_RIG_H
#define TESTS_NATIVE_JAIL_RIG_H

#include <jailer.pb-c.h>
#include <stdbool.h>
#include <sys/types.h>

#include "api/proto/contract.h"
#include "api/rpc/rpc.h"

#define RIG_MEMORY  (UINT64_C(64) << 20)
#define RIG_SCRATCH (UINT64_C(1) << 20)

struct rig {
	char dir[64];
	char cgroup[64];
	pid_t jailer;
	struct loop *loop;
	struct rpc_conn *conn;
	int errors;	     /* the jailer's stderr */
	const char *vmm;     /* the real one, in the product; NULL = the probe, in the test build */
	unsigned pool;	     /* --pool */
	unsigned max;	     /* --max; 0 = 4 */
	unsigned nic_queues; /* of what rig_create makes */
	const char *test_option; /* of casemate-jailer-test, with its value; NULL = the product */
	const char *test_value;
	void (*before_exec)(void); /* what the jailer inherits; NULL = nothing special */
};

struct rig_jail {
	int control;
	int log;
	pid_t pid;
	uid_t uid;
	char cgroup[160];
};

/* Skips the test when this machine can't do it, and says why. */
void rig_require(void);

void rig_open(struct rig *g);
/* The same, but what is set in *g beforehand counts, and nothing is started. */
void rig_prepare(struct rig *g);
/* Stops the jailer (unless it is dead) and removes everything; the jailer must end with status 0.
 */
void rig_close(struct rig *g);
void rig_start_jailer(struct rig *g);
void rig_connect(struct rig *g);
/* SIGTERM; it must end with status 0 and leave nothing. */
void rig_stop_jailer(struct rig *g);
/* kill -9, and its connection is gone. */
void rig_kill_jailer(struct rig *g);

enum rpc_code rig_create(struct rig *g, const char *id, const char *kernel, const char *image,
			 uint64_t memory, struct rig_jail *ret, struct rpc_status *st);
/* As above with sane values; fails the test otherwise. */
void rig_create_ok(struct rig *g, const char *id, struct rig_jail *ret);
enum rpc_code rig_destroy(struct rig *g, const char *id);
enum rpc_code rig_wait(struct rig *g, const char *id, bool *exited, int *status, bool *oom);

/* The probe's report: the value of key, or fails the test. Reads the report when text is empty. */
struct rig_report {
	char text[8192];
};
void rig_report(const struct rig_jail *j, struct rig_report *ret);
long long rig_value(const struct rig_report *r, const char *key);

/* How many groups are below the rig's parent in all hierarchies; -1 when there is no parent. */
int rig_groups(const struct rig *g);
/* In how many hierarchies a jail has a group. */
int rig_trees(const struct rig *g);
/* How many jails lie ready, says the jailer. */
unsigned rig_ready(struct rig *g);
/* Until the pool is full and nothing is being cleaned up: false when that takes too long. */
bool rig_settle(struct rig *g);
/* The processes of jails that the jailer has: their number. */
int rig_children(const struct rig *g, pid_t *ret, size_t cap);
/* The process that makes them; 0 = there is none. */
pid_t rig_spawner(const struct rig *g);
/* The content of a jail's group's file, of whichever hierarchy has it. */
bool rig_group_file(const struct rig_jail *j, const char *file, char *ret, size_t cap);
/* How many files a directory of the store ("paused", "snapshots", "blobs") has, with a name that
 * isn't for what is only being made. */
int rig_kept(const struct rig *g, const char *directory);
bool rig_pid_gone(pid_t pid);
bool rig_has_selinux(void);

#endif
