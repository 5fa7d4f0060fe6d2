/* SPDX-License-Identifier: Apache-2.0 */
/* harness.h - what the battery's own side shares. A harness that can't go on ends the run. */
#ifndef TESTS_ATTACKS_HARNESS_H
#define TESTS_ATTACKS_HARNESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"

/* "attacks: TEXT: errno's text", exit status 2. */
NORETURN void harness_die(const char *fmt, ...) PRINTF(1, 2);

/* Ends one process that we started and reaps it. pid <= 0 does nothing. */
void harness_end(pid_t pid, int signo);

/* Copies a file; mode and owner root. Dies when it can't. */
void harness_copy(const char *from, const char *to, mode_t mode);
void harness_write(const char *path, const void *data, size_t len, mode_t mode);
void harness_mkdir(const char *path, mode_t mode);

/* Is SELinux there and enforcing? */
bool harness_selinux(void);
/* Gives a file this context ("" or no SELinux: does nothing). */
void harness_label(const char *path, const char *context);

#endif
