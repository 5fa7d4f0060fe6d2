/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stand.h - where attacks take place: a jail of the real jailer (test build) with some layers off
 * and the probe in it, or the probe alone. The probe is started again when an attack has cost it
 * its life.
 */
#ifndef TESTS_ATTACKS_STAND_H
#define TESTS_ATTACKS_STAND_H

#include <stdbool.h>

#include "api/rpc/rpc.h"
#include "probe/wire.h"

struct Casemate__Jailer__V1__CreateRequest;

struct stand {
	unsigned off;
	bool outside;
	int control; /* of the probe; -1 = there is none */
	int log;
	int process; /* pidfd of the probe; -1 = not known */
	pid_t jailer;
	pid_t probe; /* as we see it; it is ours to reap outside only */
	struct loop *loop;
	struct rpc_conn *conn;
	unsigned jails;
	char id[16]; /* of the last jail */
	char cgroup[64];
};

/* off: mask of enum off. Dies when it can't. */
void stand_open(struct stand *s, unsigned off);
/* The probe alone, as root of this world. */
void stand_open_outside(struct stand *s);
void stand_close(struct stand *s);

/* One attack with the filters of one role (enum seccomp_role, or WIRE_ROLE_NONE). */
void stand_attack(struct stand *s, const struct attack *a, uint32_t role, const struct scene *scene,
		  struct wire_answer *ret);

/* A request for a jail that the jailer grants; its texts are s's, until the next. */
void stand_request(struct stand *s, struct Casemate__Jailer__V1__CreateRequest *ret);
/* Asks for one, with the probe in it when the answer is RPC_OK; there must be none yet. */
MUST_USE enum rpc_code stand_ask(struct stand *s,
				 const struct Casemate__Jailer__V1__CreateRequest *q);
/* Ends the jail, if there is one. */
void stand_stop(struct stand *s);
/* The probe, without its own filters, looks for the secret: 0 = it has it. */
MUST_USE int stand_look(struct stand *s, const struct scene *scene);

/* With the filters of this role an attack would be carried out and its end noticed; dies if not. */
void stand_check(struct stand *s, uint32_t role, const struct scene *scene);

#endif
