/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - between the probe, which sits where casemate-vmm would be, and whoever drives it. One
 * order, one answer, over the control socket; both are of the same build, so structs go as they
 * are.
 */
#ifndef PROBE_WIRE_H
#define PROBE_WIRE_H

#include "base/compiler.h"
#include "probe/attack.h"

/* In place of a role: no filter at all, and all filters as they are before Configure. */
#define WIRE_ROLE_NONE UINT32_MAX

/* An order that always succeeds, with any filters. */
#define WIRE_HELLO "hello"
/* An order to look for the secret in whatever the jail was given: succeeds when it is there. */
#define WIRE_LOOK "look"

/* With a number behind it: that row of the table, if it is ATTACK_ANYWHERE. For doctor, which knows
 * no row by its name. */
#define WIRE_ROW      "#"
#define WIRE_ROWS_MAX 128

struct wire_order {
	char id[8];
	uint32_t role; /* enum seccomp_role, or WIRE_ROLE_NONE */
	uint32_t off;  /* mask of enum off: what the probe itself leaves out */
	/* In the probe's own process, which can then only end: in a jail of the product there are
	 * no others, for the filter that the jailer hands down knows threads only. */
	uint32_t here;
	struct scene scene;
};

enum wire_kind {
	WIRE_NONE,    /* the attack has not come to an end */
	WIRE_RETURN,  /* value: what it returned */
	WIRE_EXIT,    /* value: exit status */
	WIRE_SIGNAL,  /* value: what killed it */
	WIRE_LATE,    /* it went on and on */
	WIRE_GONE,    /* jail and probe are gone */
	WIRE_HARNESS, /* value: the harness could not set the attack up */
	WIRE_SKIPPED, /* a row by its number that is not for everywhere, or not for this role */
	WIRE_END,     /* there is no row of that number */
	WIRE_KIND_COUNT
};

struct wire_answer {
	uint32_t kind;
	int32_t value;
	/* Of a row that was ordered by its number: */
	char id[8];
	uint32_t flags; /* mask of enum attack_flag */
};

/* Has the attacker got what he wanted? */
bool wire_succeeded(const struct wire_answer *a);
/* "EPERM", "seccomp", "signal 9"... */
void wire_describe(const struct wire_answer *a, char *ret, size_t cap);

/*
 * Sends the order and waits for the answer; WIRE_GONE when nobody answers any more. pidfd: of the
 * probe, whose end is noticed even if others hold its end of the socket; -1 = not known.
 */
void wire_run(int fd, int pidfd, const struct wire_order *o, struct wire_answer *ret);

#endif
