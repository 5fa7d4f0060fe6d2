/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contract.h - every method of every internal boundary, as one table for both sides: names,
 * message types, kind, descriptors carried, and the largest request. The server's handler table
 * (struct rpc_handler) points into it; a client call names an entry of it.
 */
#ifndef API_PROTO_CONTRACT_H
#define API_PROTO_CONTRACT_H

#include "api/rpc/rpc.h"

/* The agent's port on both sides of the vsock (see agent.proto). */
#define AGENT_PORT 1024
/* Its HTTP side, and its forwarder to TCP ports of the guest; guest ports of the vsock only. */
#define AGENT_HTTP_PORT	   49983
#define AGENT_FORWARD_PORT 49984

enum vmm_method {
	VMM_CONFIGURE,
	VMM_START,
	VMM_WAIT,
	VMM_STOP,
	VMM_LISTEN,
	VMM_CONNECT,
	VMM_READ_CONSOLE,
	VMM_PAUSE,
	VMM_RESUME,
	VMM_SNAPSHOT,
	VMM_SNAPSHOT_SPLIT,
	VMM_GET_METRICS,
	VMM_SET_DRIVE_LIMITS,
	VMM_RESIZE_DRIVE,
	VMM_SET_NIC_LIMITS,
	VMM_SET_NIC_LINK,
	VMM_SET_BALLOON,
	VMM_METHOD_COUNT
};
extern const struct rpc_method vmm_methods[VMM_METHOD_COUNT];

enum jailer_method {
	JAILER_CREATE,
	JAILER_RESTORE,
	JAILER_RESTORE_SPLIT,
	JAILER_SEAL,
	JAILER_SAVE,
	JAILER_SAVE_DISK,
	JAILER_LOAD,
	JAILER_DISCARD,
	JAILER_STORE_IMAGE,
	JAILER_REMOVE_IMAGE,
	JAILER_LIST_IMAGES,
	JAILER_RESERVE,
	JAILER_OPEN_NETWORK,
	JAILER_DESTROY,
	JAILER_WAIT,
	JAILER_HOLD,
	JAILER_ADOPT,
	JAILER_EVENTS,
	JAILER_LIST,
	JAILER_INSPECT,
	JAILER_USAGE,
	JAILER_STATUS,
	JAILER_METHOD_COUNT
};
extern const struct rpc_method jailer_methods[JAILER_METHOD_COUNT];

enum agent_method {
	AGENT_IDENTIFY,
	AGENT_HEALTH,
	AGENT_WRITE_FILE,
	AGENT_READ_FILE,
	AGENT_SHUTDOWN,
	AGENT_FREEZE,
	AGENT_TRUST,
	AGENT_PROCESS_START,
	AGENT_PROCESS_LIST,
	AGENT_PROCESS_UPDATE,
	AGENT_PROCESS_SEND_INPUT,
	AGENT_PROCESS_SEND_SIGNAL,
	AGENT_PROCESS_CLOSE_STDIN,
	AGENT_PROCESS_CONNECT,
	AGENT_PROCESS_STREAM_INPUT,
	AGENT_FS_STAT,
	AGENT_FS_MAKE_DIR,
	AGENT_FS_MOVE,
	AGENT_FS_LIST_DIR,
	AGENT_FS_REMOVE,
	AGENT_FS_WATCH_DIR,
	AGENT_FS_CREATE_WATCHER,
	AGENT_FS_GET_WATCHER_EVENTS,
	AGENT_FS_REMOVE_WATCHER,
	AGENT_METHOD_COUNT
};
extern const struct rpc_method agent_methods[AGENT_METHOD_COUNT];

#endif
