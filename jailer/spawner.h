/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawner.h - the process that clones the processes of jails.
 *
 * Theory of operation. A clone copies the caller's table of descriptors and its page tables, and
 * the child closes again what it mustn't have: with the jailer as the caller that is work for each
 * jail that exists, in each jail that is made, and the jailer serves nobody meanwhile. So the
 * jailer has one child, forked from it, with a table of a handful of descriptors that all jails
 * begin with; it is sent what is this jail's own, clones (CLONE_PARENT: the new process is the
 * jailer's child and ends with the jailer), and sends pid and pidfd over that jail's own report
 * socket (REPORT_BORN). A jail's process so never has another jail's descriptors, not even before
 * its stages close what it was cloned with.
 *
 * It has the jailer's privileges, namespaces, filter and working directory, reads from nobody but
 * the jailer, and ends with it. When it dies, those report sockets that it had end without a word,
 * and the next clone starts another one.
 *
 * One thread: the jailer's.
 */
#ifndef JAILER_SPAWNER_H
#define JAILER_SPAWNER_H

#include "base/compiler.h"
#include "base/err.h"
#include "jailer/stage.h"

#define SPAWNER_NAME "casemate-spawn" /* what ps shows */

struct spawner {
	int sock;  /* -1: none runs */
	int pidfd; /* its process; to be reaped */
};

void spawner_init(struct spawner *s);
/* Asks for a process that runs env's stages; doesn't wait. env's descriptors stay the caller's. The
 * null, exec, root, egress and hostnet of all calls are those of the first. */
MUST_USE int spawner_clone(struct spawner *s, const struct stage_env *env, struct err *err);
/* Ends it and waits for its end. */
void spawner_stop(struct spawner *s);

#endif
