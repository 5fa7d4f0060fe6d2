/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leftovers.h - control groups of a battery that was killed before it could remove them. A group's
 * owner holds a lock on it (flock) for as long as it lives, jailers do so too: who gets the lock
 * has found a group that is nobody's.
 */
#ifndef TESTS_ATTACKS_LEFTOVERS_H
#define TESTS_ATTACKS_LEFTOVERS_H

#define LEFTOVERS_PREFIX "casemate-attacks-"

/* Removes them directly below root, or below what is directly below it (version 1's hierarchies). A
 * group that has members stays: rmdir doesn't take it. */
void leftovers_remove(const char *root);

#endif
