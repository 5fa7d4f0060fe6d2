/* SPDX-License-Identifier: Apache-2.0 */
/* range.h - the Range field of a request (RFC 9110, 14.2). Pure; fuzzed by fuzz/agent_connect.c. */
#ifndef AGENT_RANGE_H
#define AGENT_RANGE_H

#include <stdint.h>

#include "base/compiler.h"

struct range {
	uint64_t first, length;
};

/* For a file of size > 0 bytes. 1 (one range, *ret is set), 0 (the whole: no range that we know, or
 * several), -ERANGE (beyond the end). */
MUST_USE int range_parse(const char *field, uint64_t size, struct range *ret);

#endif
