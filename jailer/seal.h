/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal.h - a binary that nobody can change any more: a copy of it in a sealed memfd. What is run
 * from there is what was checked, and a process that reaches its own /proc/PID/exe finds no file of
 * the host behind it.
 */
#ifndef JAILER_SEAL_H
#define JAILER_SEAL_H

#include "base/compiler.h"
#include "base/err.h"

/* Copies all of from (read from its beginning) into a memfd and seals it. name: what ps shows.
 * context: its SELinux label; "" = what the policy gives. */
MUST_USE int seal_copy(int from, const char *name, const char *context, int *ret, struct err *err);

/* Runs this very program again from a sealed copy of itself, unless that has been done. Comes back
 * only then, or with an error. */
MUST_USE int seal_self(char **argv, char **envp, struct err *err);

#endif
