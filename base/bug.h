/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bug.h - assertions about our own code. They stay on in release builds.
 *
 * Never used for anything that a guest, a client, a file or the network can cause: those
 * are errors with a path of their own. libc's assert() is not used because under a tight
 * seccomp filter it dies by SIGSYS before it has printed anything.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include "base/compiler.h"

/* Writes "bug: FILE:LINE: WHAT" to fd 2 with one write(2), then aborts. Any thread. */
NORETURN void bug(const char *file, int line, const char *what);

#define BUG_ON(cond) ((cond) ? bug(__FILE__, __LINE__, #cond) : (void)0)
#define BUG(what)    bug(__FILE__, __LINE__, what)

#endif
