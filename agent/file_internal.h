/* SPDX-License-Identifier: Apache-2.0 */
/* file_internal.h - what file_write.c and file_read.c share. */
#ifndef AGENT_FILE_INTERNAL_H
#define AGENT_FILE_INTERNAL_H

#include <agent.pb-c.h>
#include <limits.h>
#include <sys/types.h>

#include "agent/agent_limits.h"
#include "agent/file.h"
#include "agent/user.h"

struct file {
	struct file_table *table;
	struct file *prev, *next;
	struct rpc_call *call;
	int fd;
	/* Writing: the directory, the temporary name in it (empty = none), the final name. */
	int dir;
	char temp[32];
	char path[PATH_MAX];
	const char *name; /* into path; NULL until the first message */
	uint32_t mode;
	uint64_t size;
	struct user user;
	char fallback[PASSWD_NAME_MAX * 2];
	/* Reading. */
	struct loop_timer *again;
	bool told; /* the first message has been sent */
};

struct file_table {
	struct loop *loop;
	struct file *files;
	unsigned count;
	uint8_t scratch[FILE_CHUNK_BYTES];
};

/* A new transfer for call, or NULL after the call was refused. */
struct file *file_new(struct file_table *t, struct rpc_call *call);
/* Removes a temporary file that is left and frees everything; the call isn't touched. */
void file_free(struct file *f);
/* Ends the call with the error and frees the transfer. */
void file_fail(struct file *f, const struct err *err);

#endif
