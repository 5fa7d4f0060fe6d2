/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - what another casemated needs to have a sandbox of this one (recall.h), as JSON. It is
 * written and read by casemated alone, in its store; reading it is as strict as if it weren't.
 * Pure. Any thread.
 */
#ifndef API_DAEMON_RECORD_H
#define API_DAEMON_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "api/daemon/profile.h"
#include "api/daemon/sandbox.h"
#include "api/daemon/spec.h"
#include "base/compiler.h"
#include "base/err.h"

#define RECORD_TOKEN_BYTES 32U
#define RECORD_IMAGE_BYTES 32U
#define RECORD_PATH_MAX	   15U

struct record {
	struct spec spec;	 /* without tenant, lease and CPU template */
	struct profile *profile; /* NULL = none */
	bool parked;		 /* on the disk: token is that of the agent in the file */
	bool files_only;	 /* parked without its memory */
	bool resting;		 /* paused in memory */
	char path[RECORD_PATH_MAX + 1];
	char parent[SANDBOX_ID_LEN + 1]; /* "" = none */
	uint64_t origin;		 /* which fork of its parent; 0 = none that matters */
	int64_t end_unix_ms;		 /* 0 = never */
	uint8_t token[RECORD_TOKEN_BYTES];
	uint8_t image[RECORD_IMAGE_BYTES]; /* the jailer's name for the content of its image */
	char kernel_release[96];
	char agent_version[64];
};

/* One that has no text: what it is can't be written down (a lease, a CPU template). Then, and
 * without memory, NULL. free() it. */
MUST_USE char *record_write(const struct record *r);
/* 0 and *ret (record_done), -EINVAL or -ENOMEM with err. */
MUST_USE int record_read(const char *text, struct record *ret, struct err *err);
/* What of it is still there: spec and profile may have been taken. */
void record_done(struct record *r);

#endif
