/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - WriteFile and ReadFile. Both act with the rights of the user they are done for, so a
 * link that a hostile program planted leads nowhere that it couldn't go itself. At most
 * AGENT_FILES_MAX transfers at once. One thread.
 */
#ifndef AGENT_FILE_H
#define AGENT_FILE_H

#include "api/rpc/rpc.h"
#include "base/compiler.h"
#include "base/loop.h"

struct file_table;

MUST_USE int file_table_new(struct loop *l, struct file_table **ret);
/* Gives up what is under way; no temporary file stays. NULL is fine. */
void file_table_free(struct file_table *t);

/*
 * Handlers of the two methods; they end the call. fallback_user: whom "" means.
 * A file being written is a temporary one beside its destination until it is complete.
 */
void file_write(struct file_table *t, struct rpc_call *call, const ProtobufCMessage *in,
		const char *fallback_user);
void file_read(struct file_table *t, struct rpc_call *call, const ProtobufCMessage *in,
	       const char *fallback_user);

#endif
