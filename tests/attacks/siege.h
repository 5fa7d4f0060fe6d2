/* SPDX-License-Identifier: Apache-2.0 */
/*
 * siege.h - the other side of the battery: attacks on casemate-jailer from the host while it makes
 * jails, by a local user, by a casemated that was taken over, and by root's own carelessness. The
 * jails have all layers.
 *
 * A row is a function that returns 0 when the attacker has what he wanted, or a negative errno when
 * not; and a control, the same attack on something careless, which must return 0. Both run as root
 * of the world (world.h) and leave it as they found it. README.md tells how to add one.
 */
#ifndef TESTS_ATTACKS_SIEGE_H
#define TESTS_ATTACKS_SIEGE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/compiler.h"
#include "tests/attacks/stand.h"

struct ground {
	const struct scene *scene;
	struct stand stand; /* a jailer with all layers */
	unsigned rounds;    /* jails that a race makes */
};

struct siege {
	const char *id;
	const char *what;
	int (*run)(struct ground *g);
	int (*control)(struct ground *g);
};

extern const struct siege sieges_race[];
extern const struct siege sieges_file[];
extern const struct siege sieges_peer[];

struct siege_verdict {
	unsigned rows, succeeded, controls;
	bool good; /* none succeeded, and each control did */
};

/* All rows, or the one of this id. */
void siege_run(const struct scene *scene, const char *only, struct siege_verdict *ret);
bool siege_exists(const char *id);
/* A table, and the line `attacks: on the jailer 0/N, controls N/N`. */
void siege_write_markdown(FILE *f);
/* `"jailer":{...}`: a member of an object. */
void siege_write_json(FILE *f);

/* Runs fn in a child as the uid of a local user: what fn returns. */
MUST_USE int siege_as_user(int (*fn)(void *arg), void *arg);

#endif
