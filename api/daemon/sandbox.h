/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - the sandboxes of this daemon: one table of them, one state machine each.
 *
 * A sandbox is made by jailer Create -> VMM Configure, Listen, Start -> agent Identify (boot.c),
 * lives, and is unmade by jailer Destroy (sandbox.c). Every step is asynchronous; whoever waits
 * for one adds a watch. A sandbox that has ended stays as a record without resources until
 * SANDBOX_RECORDS_MAX newer ones have ended, so that its last words can be asked for.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_SANDBOX_H
#define API_DAEMON_SANDBOX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/daemon/spec.h"
#include "api/daemon/template_ref.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

#define SANDBOX_ID_LEN	    20U
#define SANDBOX_RECORDS_MAX 64U
#define SANDBOX_TAIL_MAX    4096U

enum sandbox_state {
	SANDBOX_CREATING, /* not yet to be used */
	SANDBOX_SPARE,	  /* a VM of the pool, ready to run */
	SANDBOX_RUNNING,  /* the agent has answered */
	SANDBOX_PARKING,  /* it is on the disk; its jail is being destroyed */
	SANDBOX_PAUSED,	  /* nothing is left of it but the record and a file of the jailer's */
	SANDBOX_STOPPING, /* the jail is being destroyed */
	SANDBOX_ENDED,	  /* nothing is left of it but the record */
	SANDBOX_FAILED,	  /* the same, and it never ran */
	SANDBOX_STATE_COUNT
};

enum sandbox_event {
	SANDBOX_EV_READY,  /* restored: it could run, and is to wait */
	SANDBOX_EV_CLAIM,  /* somebody wants it */
	SANDBOX_EV_BOOTED, /* the agent identified itself */
	SANDBOX_EV_FAULT,  /* a step of making it failed */
	SANDBOX_EV_PARK,   /* the jailer has it on the disk */
	SANDBOX_EV_RESUME, /* it is to go on from there */
	SANDBOX_EV_UNDONE, /* it couldn't; the file is still there */
	SANDBOX_EV_STOP,   /* somebody wants it gone */
	SANDBOX_EV_EXIT,   /* its VMM ended by itself */
	SANDBOX_EV_GONE,   /* the jail is destroyed; it had run */
	SANDBOX_EV_VOID,   /* the jail is destroyed; it never ran */
	SANDBOX_EVENT_COUNT
};

/* How it came to run. */
enum sandbox_path {
	SANDBOX_PATH_COLD,
	SANDBOX_PATH_RESTORE,
	SANDBOX_PATH_POOL,
	SANDBOX_PATH_FORK,
	SANDBOX_PATH_DISK,
	SANDBOX_PATH_SNAPSHOT,
	SANDBOX_PATH_REBOOT,
	SANDBOX_PATH_COUNT
};

const char *sandbox_state_name(enum sandbox_state s);
/* cold, restore, pool, ... */
const char *sandbox_path_name(enum sandbox_path p);
/* The state after an event: the one transition table. -EINVAL for a pair that can't happen. */
MUST_USE int sandbox_next(enum sandbox_state s, enum sandbox_event ev);
/* A fresh random id: 'i' and 19 of [a-z0-9]. */
void sandbox_id_make(char id[SANDBOX_ID_LEN + 1]);
/* Has s the form of an id? */
bool sandbox_id_valid(const char *s);

struct network_operator;
struct profile;
struct sandbox;
struct sandboxes;
struct jailer;

struct sandboxes_config {
	struct loop *loop;
	struct jailer *jailer;
	size_t max;				/* sandboxes at a time */
	uint64_t boot_timeout_ms;		/* from Create to Identify */
	const struct network_operator *network; /* network.h; outlives the table */
	unsigned pool_depth;			/* spares for each shape; 0 = no pool (pool.h) */
	/* A tenant's sandbox is in another state: called before any watch. NULL is fine. */
	void (*changed)(struct sandbox *s, void *arg);
	/* Of one that runs or is paused, what record.h has is another. NULL is fine. */
	void (*touched)(struct sandbox *s, void *arg);
	/* What was recalled is adopted, or has ended: once. NULL is fine. */
	void (*settled)(void *arg);
	void *changed_arg; /* for all of them */
};

MUST_USE int sandboxes_new(const struct sandboxes_config *cfg, struct sandboxes **ret);
/* Drops all records; what lives is not destroyed (see sandboxes_stop_all). NULL is fine. */
void sandboxes_free(struct sandboxes *t);
struct sandbox *sandboxes_find(const struct sandboxes *t, const char *id);
size_t sandboxes_live(const struct sandboxes *t);
size_t sandboxes_parked(const struct sandboxes *t); /* paused on the disk */
/* The pool's shapes (pool_json). New reference, NULL = no memory. */
json_t *sandboxes_pool_json(const struct sandboxes *t);
/* Refuses new ones, stops every sandbox, and calls fn once when none is left. */
void sandboxes_stop_all(struct sandboxes *t, void (*fn)(void *arg), void *arg);
/* The same, but what another casemated can recall stays as it is. */
void sandboxes_leave(struct sandboxes *t, void (*fn)(void *arg), void *arg);
/* The connection that leased sandboxes is gone: stops them. */
void sandboxes_lease_ended(struct sandboxes *t, const void *lease);

struct record; /* record.h */

/* One of an earlier casemated, which it has had when it ended: it is there at once, and found with
 * the jailer when that is. Takes what it needs of rec. 0, -EINVAL or -ENOMEM. */
MUST_USE int sandbox_recall(struct sandboxes *t, const char *id, struct tenant *tenant,
			    int64_t created_unix_ms, struct record *rec);
/* All of them are there. */
void sandboxes_recalled(struct sandboxes *t);
/* How many aren't adopted yet. */
size_t sandboxes_adopting(const struct sandboxes *t);
/* What sandbox_recall will want: NULL when it can't be recalled, or no memory. free() it. */
MUST_USE char *sandbox_record(const struct sandbox *s);

/*
 * Begins to make a sandbox; takes spec over (also on failure). Watch it to learn how it went.
 * -ENOTCONN: the jailer is away; -EBUSY: too many; -EDQUOT, -EAGAIN: more than its tenant may
 * have (tenant.h); -ESHUTDOWN: the daemon is stopping.
 */
MUST_USE int sandbox_create(struct sandboxes *t, struct spec *spec, struct sandbox **ret,
			    struct err *err);
/* reason: a literal such as "deleted". Does nothing to one that is stopping or has ended. */
void sandbox_stop(struct sandbox *s, const char *reason);
/* Forgets the record of one that has ended. */
void sandbox_forget(struct sandbox *s);
/* Ties the sandbox's life to lease (compared by address only); NULL unties. */
void sandbox_set_lease(struct sandbox *s, const void *lease);

/* A template's build has it made, not a client; "" = a client. */
void sandbox_set_build(struct sandbox *s, const char build[BUILD_ID_LEN + 1]);
const char *sandbox_build(const struct sandbox *s);

/* The guest's side has dropped a connection: if the sandbox is dying, the reason is on its way,
 * and the end of a lease that comes with it waits a moment for that. */
void sandbox_expect_end(struct sandbox *s);

const char *sandbox_id(const struct sandbox *s);
enum sandbox_state sandbox_state(const struct sandbox *s);
struct tenant *sandbox_tenant(const struct sandbox *s);
enum sandbox_path sandbox_path(const struct sandbox *s);
/* What it was asked for. */
const struct spec *sandbox_spec(const struct sandbox *s);
int64_t sandbox_created_unix_ms(const struct sandbox *s);
/* One word; "" while it lives. */
const char *sandbox_reason(const struct sandbox *s);
/* A line about it; "" = none. */
const char *sandbox_detail(const struct sandbox *s);
/* Its group, as a path; "" = none. */
const char *sandbox_cgroup(const struct sandbox *s);
/* One more stream into its guest, for a request of a client's: false when there are max already. */
bool sandbox_stream_begin(struct sandbox *s, unsigned max);
void sandbox_stream_end(struct sandbox *s);
/* Profile.h: taken over. NULL when it has none, or has ended. */
void sandbox_set_profile(struct sandbox *s, struct profile *p);
const struct profile *sandbox_profile(const struct sandbox *s);
/* Ends what the pool has made of this image (pool_forget). */
void sandboxes_forget_image(struct sandboxes *t, const char *digest);
/*
 * Replaces what a running sandbox may reach by a policy of network_policy's, which is taken over
 * (also on failure). 0: done when the watches hear of it and sandbox_network_pending is false;
 * sandbox_network_fault then says why it isn't ("" = it is). -ESTALE: it has no network, or a
 * change is under way; or -errno.
 */
MUST_USE int sandbox_set_network(struct sandbox *s, char *policy, struct err *err);
bool sandbox_network_pending(const struct sandbox *s);
const char *sandbox_network_fault(const struct sandbox *s);
/* Calls fn for each that a tenant has or had, newest first, until it returns false. */
void sandboxes_each(const struct sandboxes *t, bool (*fn)(struct sandbox *s, void *arg), void *arg);
/* Ends it after so many ms from now, counted anew, or pauses it (spec.pause_on_timeout); 0 = now.
 * No effect unless it runs. */
void sandbox_set_timeout(struct sandbox *s, uint64_t ms);
/*
 * Pauses a running sandbox: its VM where it is, in memory, or to a file of the jailer's, which
 * gives back its memory and its jail. Asked for now, done when the watches hear of it and
 * sandbox_rest_pending is false; sandbox_rest_fault then says why it isn't paused. Its timeout
 * stands still; a resume gives it the time that its spec has. A pause to the disk that fails leaves
 * it running; with SANDBOX_KEEP_ANY, which prefers the disk, it is then paused in memory. With err:
 * -EBUSY: not in that state, or under way; -ENOTSUP: it can't be kept on the disk; -EDQUOT: too
 * many forks of it live; -ENOTCONN: no jailer.
 */
enum sandbox_keep {
	SANDBOX_KEEP_ANY,
	SANDBOX_KEEP_MEMORY,
	SANDBOX_KEEP_DISK,
	SANDBOX_KEEP_FILES /* its scratch disk on the disk and no memory: it goes on by booting */
};
MUST_USE int sandbox_pause(struct sandbox *s, enum sandbox_keep keep, struct err *err);
/* Lets it go on, the same way. From the disk: under the same id, in a new jail; when that fails it
 * is paused as before. Errors as sandbox_create has them, too. */
MUST_USE int sandbox_resume(struct sandbox *s, struct err *err);
bool sandbox_rests(
	const struct sandbox *s); /* it is paused: running in memory, or SANDBOX_PAUSED */
bool sandbox_rest_pending(const struct sandbox *s);
/* On its way to or from the disk, and only the jailer, which is away, knows how that ends. */
bool sandbox_stranded(const struct sandbox *s);
/* Either: nobody reaches its VM now. */
bool sandbox_away(const struct sandbox *s);
/* Has it run, and will it again? Running, paused, or on the way from one to the other. */
bool sandbox_present(const struct sandbox *s);
/* Why the last pause or resume failed, as sandbox_fault; 0 = it didn't. */
unsigned sandbox_rest_fault(const struct sandbox *s, const char **ret_code, const char **ret_msg);
/* Of one that rests: its memory isn't kept. */
bool sandbox_files_only(const struct sandbox *s);
/* It runs again, from the disk or from an earlier casemated: nothing that hasn't been there. */
bool sandbox_resumed(const struct sandbox *s);
/* When that will be; 0 = never. */
int64_t sandbox_end_unix_ms(const struct sandbox *s);
/* Appends what clients are shown of it, one object: 0, -ENOSPC (out's max), -ENOMEM. */
MUST_USE int sandbox_put_json(const struct sandbox *s, struct buf *out);
/* Why it failed, for the client that asked for it: an HTTP status, a short code and a line. */
unsigned sandbox_fault(const struct sandbox *s, const char **ret_code, const char **ret_msg);
/* The end of the guest's console as far as the daemon knows it (hostile bytes). */
const char *sandbox_console_tail(const struct sandbox *s, size_t *ret_len);
/* The VMM's own log lines, bounded; "" = none. Valid until the loop goes on. */
const char *sandbox_vmm_log(const struct sandbox *s, size_t *ret_len);
/* The VMM's connection while creating or running, else NULL. */
struct rpc_conn *sandbox_vmm(const struct sandbox *s);

/* Called after each change of state; may remove its own watch and no other. */
struct sandbox_watch {
	void (*fn)(struct sandbox *s, void *arg);
	void *arg;
	struct sandbox_watch *next;
};
void sandbox_watch(struct sandbox *s, struct sandbox_watch *w);
void sandbox_unwatch(struct sandbox *s, struct sandbox_watch *w);

#endif
