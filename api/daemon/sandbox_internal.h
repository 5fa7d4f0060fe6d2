/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_internal.h - what sandbox.c (life and end) and boot.c (making) share. */
#ifndef API_DAEMON_SANDBOX_INTERNAL_H
#define API_DAEMON_SANDBOX_INTERNAL_H

#include <jailer.pb-c.h>

#include "api/daemon/memory.h"
#include "api/daemon/sandbox.h"
#include "api/daemon/usage.h"
#include "api/daemon/vmlog.h"
#include "api/proto/contract.h"
#include "api/rpc/rpc.h"

#define SANDBOX_DESTROY_MS 30000U /* for one Destroy */

struct guest_link;
struct network;
struct pool;
struct snapshot;
struct snapshots;

enum sandbox_kind {
	SANDBOX_KIND_TENANT,
	SANDBOX_KIND_SPARE, /* a tenant's, when it is claimed */
	SANDBOX_KIND_MOULD, /* boots to become a template */
	SANDBOX_KIND_SCOUT, /* the first that comes from one: which pages does it write? */
	SANDBOX_KIND_COUNT
};

#define SANDBOX_BUCKETS 1024U

struct sandboxes {
	struct sandboxes_config cfg;
	struct pool *pool;	     /* NULL: none */
	struct snapshots *snapshots; /* NULL: none; ours */
	struct sandbox *first;	     /* newest first */
	/* What a request looks for, without a walk over all that live. */
	struct sandbox *by_id[SANDBOX_BUCKETS];
	unsigned count[SANDBOX_KIND_COUNT][SANDBOX_STATE_COUNT];
	struct sandbox *record_first, *record_last; /* by their end */
	size_t live;				    /* tenants' that have not ended or failed */
	size_t parked;	/* tenants' that are paused on the disk; not in live */
	size_t others;	/* the pool's own */
	size_t records; /* ended or failed */
	size_t adopting;
	struct memory memory;
	struct usage_queue usage;
	bool stopping;
	bool leaving; /* stopped is called when nothing ends any more, else when nothing is left */
	void (*stopped)(void *arg);
	void *stopped_arg;
};

#define SANDBOX_TOKEN_BYTES 32U
#define SANDBOX_SEAL_MAX    256U
#define SANDBOX_IMAGE_BYTES 32U

struct origin;

enum sandbox_time {
	SANDBOX_T_BEGIN,
	SANDBOX_T_JAILED,
	SANDBOX_T_CONFIGURED,
	SANDBOX_T_STARTED,
	SANDBOX_T_RUNNING,
	SANDBOX_T_COUNT
};

struct sandbox {
	struct sandbox *prev, *next;
	struct sandbox *bucket_next; /* sandboxes.by_id */
	struct sandbox *record_next; /* of one that has ended */
	struct sandboxes *table;
	char id[SANDBOX_ID_LEN + 1];
	enum sandbox_state state;
	enum sandbox_kind kind;
	enum sandbox_path path;
	struct spec spec;
	struct profile *profile; /* profile.h; NULL = none */
	enum sandbox_rest { SANDBOX_AWAKE, SANDBOX_FALLING, SANDBOX_RESTING, SANDBOX_RISING } rest;
	bool overdue;	       /* its time is over, and it is being paused for that */
	unsigned rest_status;  /* why the last pause or resume failed; 0 = it didn't */
	const char *rest_code; /* literal */
	char rest_msg[2 * ERR_MSG_MAX];

	/* On the disk (sandbox_disk.c). */
	bool saved;		     /* there may be a file of the jailer's */
	bool parked;		     /* counted so, in the table and for the tenant */
	bool vm_paused;		     /* on the way there */
	enum sandbox_keep keep;	     /* what was asked for */
	bool files_only;	     /* what is kept of it, or was, is its scratch disk alone */
	struct guest_link *quiet;    /* on the way there without its memory (sandbox_files.c) */
	struct rpc_conn *quiet_conn; /* quiet's, once there is one */
	uint64_t quiet_ns;	     /* monotonic: its disk stands still since */
	uint8_t disk_seal[SANDBOX_SEAL_MAX];
	size_t disk_seal_len;
	uint8_t token_saved[SANDBOX_TOKEN_BYTES]; /* of the agent in the file, or in its snapshot */
	unsigned streams;			  /* requests of clients under way in its guest */
	int64_t end_unix_ms;			  /* its timeout; 0 = none */
	const void *lease;
	char build[BUILD_ID_LEN + 1]; /* "" = a client's */
	struct sandbox_watch *watches;
	struct loop_timer *boot_timer;
	struct loop_timer *life_timer;
	struct loop_timer *retry_timer; /* the next try of Destroy */
	bool expect_end;
	struct loop_timer *rest_timer; /* boot_template.c */
	int template_fds[2]; /* the same, a scout's, and on the way to the disk; -1 = none */
	uint64_t promised;   /* on the way from the disk: memory.h */
	struct rpc_pending *seal_call; /* the same: a call to the jailer */
	bool cast;		       /* a mould: the pool has its template; a scout: its pages */

	/* Forks: of what it is one (NULL = of none), and how many of its own live (origin.h). */
	struct origin *origin;
	char parent[SANDBOX_ID_LEN + 1];
	uint64_t origin_number; /* of one that was recalled, until that has its origin again */
	unsigned origins;
	bool forking;		   /* one, or a snapshot, is under way */
	struct snapshot *snapshot; /* that it came from (snapshot_give); NULL = none, or long ago */
	uint8_t token[SANDBOX_TOKEN_BYTES]; /* its agent's: identity once more, in a child */
	struct loop_timer *end_timer;	    /* VMM gone: how long to wait for the jailer's reason */

	/* The jail. jailed: one may exist; only Destroy or the jailer's List clears it. */
	bool jailed;
	bool ran; /* has been RUNNING */

	/* Of an earlier casemated (recall.c). */
	bool recalled;
	bool adopting; /* counted so: it runs, and isn't ours yet */
	bool recorded; /* its record is kept up to date */
	struct rpc_pending *create_call;
	struct rpc_pending *destroy_call;
	int32_t pid;
	uint32_t uid;
	char cgroup[192];
	char label[128];
	uint8_t image_id[SANDBOX_IMAGE_BYTES]; /* what goes on from it wants the same image */

	/* The VM. */
	struct rpc_conn *vmm;
	struct rpc_conn *agent;
	struct vmlog *log;
	bool initrd;
	int agent_fd; /* our end of the agent's connection until it is an rpc_conn; or -1 */
	char kernel_release[96];
	char agent_version[64];

	/* Its way to networks (boot_network.c); NULL = none. */
	struct network *network;
	struct rpc_pending *network_call;
	char *network_next;		 /* a policy that is to replace the spec's; NULL = none */
	bool network_queued;		 /* it is sent when the answer to the one before has come */
	bool network_in_force;		 /* the spec's is */
	bool identified;		 /* the agent is; only the network is waited for */
	struct rpc_pending *trust_call;	 /* the agent is told what to trust */
	bool trusts;			 /* it knows the network's certificate */
	char network_fault[ERR_MSG_MAX]; /* why the last change failed; "" = it didn't */

	struct usage_meter usage;

	/* How it went. */
	uint64_t time_ns[SANDBOX_T_COUNT]; /* monotonic; 0 = not reached */
	int64_t created_unix_ms;
	unsigned fault_status;
	const char *fault_code; /* literal */
	char fault[2 * ERR_MSG_MAX];
	char reason[24]; /* why it ended, one word; "" = not known yet */
	char detail[ERR_MSG_MAX];
	char tail[SANDBOX_TAIL_MAX];
	size_t tail_len;
};

/* Has it a VM, or will it have one? */
static inline bool sandbox_lives(const struct sandbox *s)
{
	return s->state == SANDBOX_CREATING || s->state == SANDBOX_SPARE ||
	       s->state == SANDBOX_RUNNING;
}
/* Does it boot, or go on from a snapshot of some kind? */
static inline bool sandbox_boots(const struct sandbox *s)
{
	return s->path == SANDBOX_PATH_COLD || s->path == SANDBOX_PATH_REBOOT;
}
/* Was it paused on the disk? */
static inline bool sandbox_from_disk(const struct sandbox *s)
{
	return s->path == SANDBOX_PATH_DISK || s->path == SANDBOX_PATH_REBOOT;
}
static inline bool sandbox_has_ended(const struct sandbox *s)
{
	return s->state == SANDBOX_ENDED || s->state == SANDBOX_FAILED;
}

/* sandbox_view.c */
MUST_USE int sandbox_path_find(const char *name, enum sandbox_path *ret); /* 0 or -EINVAL */

/* sandbox_table.c */
void sandboxes_link(struct sandboxes *t, struct sandbox *s);
void sandboxes_unlink(struct sandboxes *t, struct sandbox *s);
/* Kind and state of one that is linked change nowhere else. */
void sandbox_become(struct sandbox *s, enum sandbox_kind kind, enum sandbox_state state);
/* s has become a record: older ones may go, and a stop of all may be complete. The pool's own leave
 * no record: s is gone. */
void sandboxes_after_end(struct sandboxes *t, struct sandbox *s);

/* Out of the table, with all that it holds. */
void sandbox_free(struct sandbox *s);
/* The jailer says so. */
void sandbox_jail_gone(struct sandbox *s);

/* sandbox_create for the pool too. */
MUST_USE int sandbox_create_kind(struct sandboxes *t, struct spec *spec, enum sandbox_kind kind,
				 struct sandbox **ret, struct err *err);

/* One that goes on from origin. */
MUST_USE int sandbox_create_child(struct sandboxes *t, struct spec *spec, struct origin *origin,
				  struct sandbox **ret, struct err *err);

/* snapshot.c: the jailer is back. NULL is fine, for all of these. */
void snapshots_settle(struct snapshots *ss);
/* Before the sandboxes go: ends what is under way. */
void snapshots_stop(struct snapshots *ss);
void snapshots_free(struct snapshots *ss);
/* snapshot_boot.c: s, which was just made, is to go on from p, with what its agent has to be told;
 * and doesn't use it any more, which may be p's end. */
void snapshot_give(struct snapshot *p, struct sandbox *s);
void snapshot_unuse(struct snapshot *p);
/* Lets s, which was just made, begin: at once or when its files are there. 0 or -errno with err. */
MUST_USE int snapshot_begin(struct sandbox *s, struct err *err);
/* Its state and memory, which are there, and their seal. */
const int *snapshot_files(const struct snapshot *p, ProtobufCBinaryData *ret_seal);

/* sandbox_disk.c: begins to pause it to the disk; the checks are made. 0 or -errno with err. */
MUST_USE int sandbox_park(struct sandbox *s, enum sandbox_keep keep, struct err *err);
/* Can it be? 0 or -errno with err, as sandbox_pause. */
MUST_USE int sandbox_may_park(const struct sandbox *s, struct err *err);
MUST_USE int sandbox_unpark(struct sandbox *s, struct err *err);
/* Its way there begins: its time stands still. */
void sandbox_fall(struct sandbox *s, enum sandbox_keep keep);
/* Steps of it: an answer that counts and is good; else it stays. */
MUST_USE bool sandbox_step_ok(struct sandbox *s, const struct rpc_status *st, const char *step);
/* The VMM's answers: when it is gone, its end is on its way and has the better reason. */
MUST_USE bool sandbox_vmm_step_ok(struct sandbox *s, const struct rpc_status *st, const char *step);
void sandbox_step_failed(struct sandbox *s, const char *step, int r);
/* It stays where it is, for the reason in rest_msg. */
void sandbox_stay(struct sandbox *s);
/* s->seal_call is the call. 0 or -errno. */
MUST_USE int sandbox_ask_jailer(struct sandbox *s, enum jailer_method m, const ProtobufCMessage *in,
				const int *fds, uint64_t ms, const struct rpc_pending_ops *ops);
/* sandbox_files.c: as sandbox_may_park and sandbox_park, with the scratch disk alone. */
MUST_USE int sandbox_may_keep_files(const struct sandbox *s, struct err *err);
MUST_USE int sandbox_park_files(struct sandbox *s, struct err *err);
/* It goes on after all. */
void sandbox_thaw(struct sandbox *s);
void sandbox_quiet_end(struct sandbox *s);
/* The file isn't needed any more. */
void sandbox_discard(struct sandbox *s);
/* PAUSED begins: it isn't charged for any more; what went wrong is kept for who waits. */
void sandbox_parked(struct sandbox *s);
/* Sets why a pause or resume failed. */
void sandbox_rest_failed(struct sandbox *s, unsigned status, const char *code, const char *fmt, ...)
	PRINTF(4, 5);
/* sandbox_rest.c: the VM of one that is FALLING to the disk goes on after all. */
void sandbox_rise(struct sandbox *s);
/* The same: where it is. */
MUST_USE int sandbox_pause_here(struct sandbox *s);
/* origin.c: tells the jailer how many snapshots of its VM there are now. */
void origin_settle(const struct sandbox *parent);

/* Starts the chain of boot.c. 0, or -errno and no callback will come. */
MUST_USE int boot_begin(struct sandbox *s, struct rpc_conn *jailer);
/* A spare was claimed: lets it run. */
void boot_claimed(struct sandbox *s);
/* A call to the VMM; one that can't be made ends the sandbox. */
void boot_vmm_call(struct sandbox *s, enum vmm_method m, const ProtobufCMessage *in, const int *fds,
		   uint64_t timeout_ms, const struct rpc_pending_ops *ops);
/* Its jail exists: takes its VMM's control socket and log (fds). 0 or -errno. */
MUST_USE int boot_attach(struct sandbox *s, const Casemate__Jailer__V1__JailInfo *jail, int *fds);
/* Has the VMM tell of the VM's end. */
void boot_watch_vm(struct sandbox *s);
/* A mould's agent is connected: the rest of its way (boot_template.c). 0 or -errno. */
MUST_USE int boot_template_begin(struct sandbox *s);
/* A scout's agent has its identity: the rest of its way (boot_scout.c). */
void boot_scout_identified(struct sandbox *s);
/* The VM runs: identifies it over s->agent_fd (boot_agent.c). */
void boot_identify(struct sandbox *s);

/* The agent has its identity: the sandbox runs, once its network does. */
void boot_identified(struct sandbox *s);
/* boot_network.c: opens it, beside the steps of the chain; a spare that was claimed gets its
 * tenant's policy; all of it goes with the VM. */
void boot_network(struct sandbox *s);
void network_begin(struct sandbox *s);
/* Is all of it done that "runs" waits for? Has the agent told what is missing; boot_identified
 * then. */
MUST_USE bool sandbox_network_ready(struct sandbox *s);
void sandbox_network_close(struct sandbox *s);

/* Calls the watches. */
void sandbox_notify(struct sandbox *s);
/* The one place that changes a state; notifies the watches. */
void sandbox_event(struct sandbox *s, enum sandbox_event ev);
/* Fault: fills in why (only the first counts) and raises SANDBOX_EV_FAULT. */
void sandbox_fail(struct sandbox *s, unsigned status, const char *code, const char *fmt, ...)
	PRINTF(4, 5);
/* The VMM ended by itself: fills in why (only the first counts) and raises SANDBOX_EV_EXIT. */
void sandbox_exit(struct sandbox *s, const char *reason, const char *detail);
void sandbox_keep_tail(struct sandbox *s, const uint8_t *data, size_t len);
/* While stopping, once no Create is under way: gets rid of the jail. */
void sandbox_destroy_jail(struct sandbox *s);
/* The jailer is back and says which jails exist; resumed: with all that it had of ours. */
void sandboxes_reconcile(struct sandboxes *t, struct rpc_conn *jailer, bool resumed,
			 Casemate__Jailer__V1__JailInfo *const *jails, size_t count);
/* recall.c: takes its jail over, which is there. */
void recall_adopt(struct sandbox *s, struct rpc_conn *jailer);
/* recall.c: RUNNING begins for one that has been RUNNING. */
void recall_entered(struct sandbox *s);
/* What another casemated would need to know of it has changed. */
void sandbox_touch(struct sandbox *s);
/* What is copied (fork.c, snapshot_make.c) runs, is awake, and isn't being copied already: 0, or
 * -ESHUTDOWN, -ESTALE, -EALREADY with err. */
MUST_USE int sandbox_may_copy(const struct sandbox *s, struct err *err);

#endif
