/* SPDX-License-Identifier: Apache-2.0 */
/* consts.h - the symbolic constants that a policy may use. */
#ifndef POLICIES_SECCOMP_CONSTS_H
#define POLICIES_SECCOMP_CONSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of a name of len bytes (not terminated). */
bool const_find(const char *name, size_t len, uint64_t *ret);

#endif
