/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - is there memory for one more copy of a VM's? */
#ifndef API_DAEMON_MEMORY_H
#define API_DAEMON_MEMORY_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/* 0, or -ENOMEM with err: so many bytes more would leave the host less than 256 MiB. */
MUST_USE int memory_check(uint64_t bytes, struct err *err);

#endif
