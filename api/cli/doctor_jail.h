/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_jail.h - doctor's live probe: a jail as sandboxes get it, from this host's
 * casemate-jailer, with casemate-probe in the place of the VMM. The probe puts on what the VMM puts
 * on itself and then tries those attacks of the battery (probe/) that do no harm wherever they
 * succeed.
 *
 * The jailer is a second one, with a socket and control group of its own that end with it, so the
 * one that serves casemated is not disturbed and learns no new trick.
 */
#ifndef API_CLI_DOCTOR_JAIL_H
#define API_CLI_DOCTOR_JAIL_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

struct doctor_jail_config {
	const char *libexec; /* where casemate-jailer and casemate-probe are */
	const char *store;   /* the jailer's: any kernel and image of it are given to the jail */
};

/* Attacks, each from a jail of its own, because most cost the attacker his life. */
struct doctor_jail_tally {
	unsigned tried, succeeded;
	unsigned need_selinux; /* of those that succeeded: what nothing but SELinux would stop */
	char ids[100];	       /* of those that succeeded, as far as they fit */
};

struct doctor_jail_result {
	struct doctor_jail_tally full;	/* all layers */
	struct doctor_jail_tally alone; /* the jail without what the VMM puts on itself */
};

/* Needs root. 0, or -errno and why no jail could be tried. Waits by running the loop. */
MUST_USE int doctor_jail_try(struct loop *l, const struct doctor_jail_config *cfg,
			     struct doctor_jail_result *ret, struct err *err);

#endif
