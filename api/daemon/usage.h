/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage.h - what a sandbox uses of its host, as the jailer reads it from the kernel's accounts:
 * never what the guest says.
 *
 * A sample is good for USAGE_FRESH_MS; who asks for a newer one waits for one call to the jailer
 * that all who ask share. There are USAGE_CALLS_MAX such calls at a time, the rest queue: somebody
 * who scrapes hundreds of sandboxes neither fills the connection nor keeps the jailer from making
 * jails.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_USAGE_H
#define API_DAEMON_USAGE_H

#include <stdbool.h>
#include <stdint.h>

struct rpc_pending;
struct sandbox;

#define USAGE_FRESH_MS	1000U
#define USAGE_CALLS_MAX 4U

struct usage {
	uint64_t cpu_us;	    /* since its jail was made */
	uint64_t memory_bytes;	    /* its group's, so the VMM's own and its files' too */
	uint64_t memory_peak_bytes; /* 0 = not known */
	double cpu_pct; /* of one processor: since the sample before, or since it began */
};

/* Somebody who asks; the caller's, with fn set. */
struct usage_wait {
	/* Once for each usage_ask. *w is the caller's again, and got is set when code is 0.
	 * -ENOENT: it isn't running; -ENOTCONN: the jailer is away; else what became of the call.
	 */
	void (*fn)(struct usage_wait *w);
	int code;
	struct usage got;
	struct usage_wait *next, **link; /* usage.c's; link NULL = doesn't wait */
};

/* Of each sandbox: zeroed. */
struct usage_meter {
	struct usage last;
	uint64_t at_ns; /* monotonic: last is of then; 0 = there is none */
	struct rpc_pending *call;
	struct usage_wait *waits;
	struct sandbox *next; /* in the queue */
	bool queued;
};

/* Of all sandboxes: zeroed. */
struct usage_queue {
	struct sandbox *first, *last;
	unsigned calls;
};

/* Asks for a sample no older than USAGE_FRESH_MS; fn may be called before this returns. */
void usage_ask(struct sandbox *s, struct usage_wait *w);
/* Doesn't wait any more: fn won't be called. Harmless when it doesn't wait. */
void usage_forget(struct usage_wait *w);
/* The sandbox goes: who waits gets -ECANCELED. */
void usage_done(struct sandbox *s);

/* The share of one processor that cpu_us microseconds of it are of a span. Pure. */
double usage_percent(uint64_t cpu_us, uint64_t span_ns);

#endif
