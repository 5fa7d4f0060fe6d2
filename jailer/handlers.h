/* SPDX-License-Identifier: Apache-2.0 */
/* handlers.h - the methods of api/proto/jailer.proto. */
#ifndef JAILER_HANDLERS_H
#define JAILER_HANDLERS_H

#include <jailer.pb-c.h>

#include "api/rpc/rpc.h"
#include "jailer/host.h"
#include "jailer/jail.h"
#include "jailer/keeper.h"
#include "jailer/saves.h"
#include "jailer/sealer.h"

struct events;
struct hold;
struct holds;

/* What a connection's handlers work on: the arg of struct rpc_conn_config. */
struct session {
	const struct host *host;
	struct jails *jails;
	struct sealer *sealer;
	struct saves *saves; /* paused sandboxes */
	struct saves *snapshots;
	struct holds *holds;
	uid_t uid;	       /* of the client */
	struct hold *hold;     /* NULL: what it makes ends with its connection */
	struct events *events; /* handle_events.c; NULL = nobody is told */
	const struct blobs *blobs;
	struct keeper *keeper;
};

/* The owner of what it makes. */
static inline const void *session_owner(const struct session *s)
{
	return s->hold != NULL ? (const void *)s->hold : s;
}

extern const struct rpc_handler session_handlers[];
extern const size_t session_handlers_count;

/* Between the files of the handlers: what we say of a jail. The strings are the jail's own. */
void describe_jail(const struct jail *j, Casemate__Jailer__V1__JailInfo *ret);
/* Ends a call with an error that is worth a line in the log. */
void refuse_call(struct rpc_call *call, const struct err *err);
/* Restore, once its files are what they should be: q's descriptors stay the caller's. */
void create_restored(struct rpc_call *call, const struct request *q, struct session *s);
/* handle_events.c */
rpc_handler_fn handle_events;
/* handle_hold.c */
rpc_handler_fn handle_hold, handle_adopt;
/* handle_snapshot.c */
rpc_handler_fn handle_restore, handle_restore_split, handle_seal;
/* The jail of this id, the caller's and running: or NULL, and the call has been answered. */
const struct jail *running_jail(struct rpc_call *call, const char *id, struct session *s);
/* The same as q, with what it has written: or NULL, and the
 * call has been answered. */
const struct jail *snapshot_of_jail(struct rpc_call *call, const char *id, const int *fds,
				    struct session *s, struct request *q);
/* handle_save.c */
rpc_handler_fn handle_save, handle_save_disk, handle_load, handle_discard;
/* Which files a request is about, and whose they are; ret_name is the file's. False: answered. */
bool save_of(struct rpc_call *call, const char *id, const char *snapshot, struct session *s,
	     struct saves **ret, const void **ret_owner, const char **ret_name);
/* handle_image.c */
rpc_handler_fn handle_store_image, handle_remove_image, handle_list_images;
/* handle_inspect.c */
rpc_handler_fn handle_inspect, handle_usage;

#endif
