/* SPDX-License-Identifier: Apache-2.0 */
/* victim.h - who and what the attacks are after: processes and objects outside the jail. */
#ifndef TESTS_ATTACKS_VICTIM_H
#define TESTS_ATTACKS_VICTIM_H

#include "probe/attack.h"

#define VICTIM_UID 65533

struct victims {
	pid_t neighbour;
	pid_t server;
};

/* Makes everything that the scene names, in the world's namespaces, and fills the scene. */
void victims_start(struct victims *v, struct scene *s);
void victims_stop(struct victims *v);

#endif
