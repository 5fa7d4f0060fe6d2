/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine.h - what casemate-import takes away from itself before it reads a byte of its input:
 * privilege, every way to a file, process or network, memory and time. Each step that fails is an
 * error: the input is then not read.
 */
#ifndef IMPORT_CONFINE_H
#define IMPORT_CONFINE_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

struct confine_limits {
	uint64_t memory_bytes; /* address space */
	uint64_t cpu_seconds;
	uint64_t file_bytes; /* of what it writes */
};

/* After all descriptors are open. Root becomes nobody. */
MUST_USE int confine(const struct confine_limits *limits, struct err *err);

#endif
