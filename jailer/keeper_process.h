/* SPDX-License-Identifier: Apache-2.0 */
/* keeper_process.h - between keeper.c and the process that copies and hashes one image. */
#ifndef JAILER_KEEPER_PROCESS_H
#define JAILER_KEEPER_PROCESS_H

#include <stdint.h>

#include "base/compiler.h"
#include "jailer/blobs.h"

/* Its one message to the jailer. */
struct keeper_report {
	int32_t error; /* 0 or -errno */
	uint32_t verity;
	uint8_t digest[BLOB_DIGEST_BYTES];
};

struct keeper_task {
	int stream;
	int file; /* written to; closed in the middle: fs-verity wants no writer */
	int same; /* the same file, read only */
	int report;
	uint64_t bytes;
};

/* In the new process: gives up what it has, works, reports, ends. */
NORETURN void keeper_process(const struct keeper_task *t);

#endif
