/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_rig.h - jailer, casemated and the bare-metal guest, which stands for a guest with an agent
 * (tests/guest/agent_http.c), and an HTTP client that sends bytes as they are. What can't be done
 * fails the test.
 */
#ifndef TESTS_NATIVE_DAEMON_RIG_H
#define TESTS_NATIVE_DAEMON_RIG_H

#include <jansson.h>
#include <sys/types.h>

#include "tests/native/jail_rig.h"

struct daemon_rig {
	struct rig jail;
	pid_t daemon;
	unsigned port; /* of 127.0.0.1 */
	char socket[100];
	const char *hold;   /* --hold; NULL = the default */
	const char *layers; /* --build-layers; NULL = the default */
	unsigned max;	    /* --max-sandboxes; 0 = the default */
	unsigned pool;	    /* --pool */
	bool networks;	    /* --networks */
	unsigned available; /* MiB of memory that it finds available; 0 = what there is */
};

/* Skips the test where it can't be. *d is zero but for max, pool, hold, layers, networks and
 * available, and for the jailer's max, test_option, test_value and before_exec. */
void daemon_rig_open(struct daemon_rig *d);
void daemon_rig_close(struct daemon_rig *d);
/* The daemon alone; spawn doesn't wait until it has a jailer, as await does. */
void daemon_rig_spawn(struct daemon_rig *d);
void daemon_rig_start(struct daemon_rig *d);
void daemon_rig_await(const struct daemon_rig *d);
/* SIGTERM: it must end with 0. SIGKILL: it does. */
void daemon_rig_stop(struct daemon_rig *d, int signo);

/* From now on it finds so many MiB available; not where d->available was 0. */
void daemon_rig_available(const struct daemon_rig *d, unsigned mib);

/* A connection to the unix socket (net = false) or to the port. */
int daemon_rig_dial(const struct daemon_rig *d, bool net);

struct answer {
	unsigned status;
	char head[8192];
	char body[65536];
	bool whole; /* it ended as it said that it would */
};

/* Reads one answer. status 0: the connection ended before. */
void daemon_rig_read(int fd, struct answer *ret);
/* One request on a connection of its own. fields: lines with CRLF, "" = none; body NULL = none. */
void daemon_rig_ask(const struct daemon_rig *d, bool net, const char *method, const char *target,
		    const char *fields, const char *body, struct answer *ret);
/* The body, which must be JSON; new reference. */
json_t *answer_json(const struct answer *a);
/* A string of it, copied to one of a few static places. */
const char *answer_text(const struct answer *a, const char *name);

/* The scratch disk of a sandbox that runs, as its VMM has it; to be closed. */
int daemon_rig_disk(const struct daemon_rig *d, const char *id);

#endif
