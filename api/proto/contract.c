/* SPDX-License-Identifier: Apache-2.0 */
#include "api/proto/contract.h"

#include <agent.pb-c.h>
#include <jailer.pb-c.h>
#include <vmm.pb-c.h>

#define SMALL 4096U
#define CHUNK (80U * 1024U) /* a 64 KiB data chunk and its frame */
#define LARGE (2048U * 1024U)
#define PATHS (4U * SMALL)    /* two paths and what is around them */
#define HUGE  (4000U * 1024U) /* nearly all that a frame may carry */

/* in_max and out_max: the largest encoded message in each direction. */
#define METHOD(svc, verb, type_in, type_out, k, fin, fout, in_max, out_max)                \
	{                                                                                  \
		.service = (svc), .name = (verb), .in = &(type_in), .out = &(type_out),    \
		.kind = (k), .fds_in = (fin), .fds_out = (fout), .in_bytes_max = (in_max), \
		.out_bytes_max = (out_max)                                                 \
	}

#define VMM_SERVICE "casemate.vmm.v1.Vmm"
#define VMM(verb, lower, fin, out_max)                                                      \
	METHOD(VMM_SERVICE, verb, casemate__vmm__v1__##lower##_request__descriptor,         \
	       casemate__vmm__v1__##lower##_response__descriptor, RPC_UNARY, fin, 0, SMALL, \
	       out_max)

const struct rpc_method vmm_methods[VMM_METHOD_COUNT] = {
	[VMM_CONFIGURE] =
		METHOD(VMM_SERVICE, "Configure", casemate__vmm__v1__configure_request__descriptor,
		       casemate__vmm__v1__configure_response__descriptor, RPC_UNARY, 0, 0,
		       4 * SMALL, SMALL), /* CPU templates are long */
	[VMM_START] = VMM("Start", start, 0, SMALL),
	[VMM_WAIT] = VMM("Wait", wait, 0, 2 * SMALL), /* 4 KiB of console and the rest */
	[VMM_STOP] = VMM("Stop", stop, 0, SMALL),
	[VMM_LISTEN] = VMM("Listen", listen, 1, SMALL),
	[VMM_CONNECT] = VMM("Connect", connect, 1, SMALL),
	[VMM_READ_CONSOLE] = VMM("ReadConsole", read_console, 0, CHUNK),
	[VMM_PAUSE] = VMM("Pause", pause, 0, SMALL),
	[VMM_RESUME] = VMM("Resume", resume, 0, SMALL),
	[VMM_SNAPSHOT] = VMM("Snapshot", snapshot, 2, SMALL),
	[VMM_SNAPSHOT_SPLIT] = VMM("SnapshotSplit", snapshot_split, 3, SMALL),
	[VMM_GET_METRICS] = VMM("GetMetrics", get_metrics, 0, CHUNK),
	[VMM_SET_DRIVE_LIMITS] = VMM("SetDriveLimits", set_drive_limits, 0, SMALL),
	[VMM_RESIZE_DRIVE] = VMM("ResizeDrive", resize_drive, 0, SMALL),
	[VMM_SET_NIC_LIMITS] = VMM("SetNicLimits", set_nic_limits, 0, SMALL),
	[VMM_SET_NIC_LINK] = VMM("SetNicLink", set_nic_link, 0, SMALL),
	[VMM_SET_BALLOON] = VMM("SetBalloon", set_balloon, 0, SMALL),
};

#define JAILER_SERVICE "casemate.jailer.v1.Jailer"
#define JAILER(verb, lower, fin, fout, out_max)                                                   \
	METHOD(JAILER_SERVICE, verb, casemate__jailer__v1__##lower##_request__descriptor,         \
	       casemate__jailer__v1__##lower##_response__descriptor, RPC_UNARY, fin, fout, SMALL, \
	       out_max)

const struct rpc_method jailer_methods[JAILER_METHOD_COUNT] = {
	[JAILER_CREATE] = JAILER("Create", create, 0, 2, SMALL),
	[JAILER_RESTORE] = JAILER("Restore", restore, 2, 2, SMALL),
	[JAILER_RESTORE_SPLIT] = JAILER("RestoreSplit", restore, 3, 2, SMALL),
	[JAILER_SEAL] = JAILER("Seal", seal, 2, 0, SMALL),
	[JAILER_SAVE] = JAILER("Save", save, 2, 0, SMALL),
	[JAILER_SAVE_DISK] = JAILER("SaveDisk", save_disk, 0, 0, SMALL),
	[JAILER_LOAD] = JAILER("Load", load, 2, 0, SMALL),
	[JAILER_DISCARD] = JAILER("Discard", discard, 0, 0, SMALL),
	[JAILER_STORE_IMAGE] = JAILER("StoreImage", store_image, 1, 0, SMALL),
	[JAILER_REMOVE_IMAGE] = JAILER("RemoveImage", remove_image, 0, 0, SMALL),
	[JAILER_LIST_IMAGES] = JAILER("ListImages", list_images, 0, 0, LARGE),
	[JAILER_RESERVE] = JAILER("Reserve", reserve, 0, 0, SMALL),
	[JAILER_OPEN_NETWORK] = JAILER("OpenNetwork", open_network, 0, 2, SMALL),
	[JAILER_DESTROY] = JAILER("Destroy", destroy, 0, 0, SMALL),
	[JAILER_WAIT] = JAILER("Wait", wait, 0, 0, SMALL),
	[JAILER_HOLD] = JAILER("Hold", hold, 0, 0, SMALL),
	[JAILER_ADOPT] = JAILER("Adopt", adopt, 0, 2, SMALL),
	[JAILER_EVENTS] =
		METHOD(JAILER_SERVICE, "Events", casemate__jailer__v1__events_request__descriptor,
		       casemate__jailer__v1__events_response__descriptor, RPC_SERVER_STREAM, 0, 0,
		       SMALL, SMALL),
	[JAILER_LIST] = JAILER("List", list, 0, 0, LARGE),
	[JAILER_INSPECT] = JAILER("Inspect", inspect, 0, 0, CHUNK),
	[JAILER_USAGE] = JAILER("Usage", usage, 0, 0, SMALL),
	[JAILER_STATUS] = JAILER("Status", status, 0, 0, CHUNK),
};

#define AGENT(svc, verb, lower, k, in_max, out_max)                           \
	METHOD(svc, verb, casemate__agent__v1__##lower##_request__descriptor, \
	       casemate__agent__v1__##lower##_response__descriptor, k, 0, 0, in_max, out_max)
#define SANDBOX "casemate.agent.v1.Sandbox"
#define PROCESS "process.Process"
#define FS(verb, lower, k, in_max, out_max) \
	AGENT("filesystem.Filesystem", verb, lower, k, in_max, out_max)

const struct rpc_method agent_methods[AGENT_METHOD_COUNT] = {
	[AGENT_IDENTIFY] = AGENT(SANDBOX, "Identify", identify, RPC_UNARY, 256U * 1024U, SMALL),
	[AGENT_HEALTH] = AGENT(SANDBOX, "Health", health, RPC_UNARY, SMALL, SMALL),
	[AGENT_WRITE_FILE] =
		AGENT(SANDBOX, "WriteFile", write_file, RPC_CLIENT_STREAM, CHUNK, SMALL),
	[AGENT_READ_FILE] =
		AGENT(SANDBOX, "ReadFile", read_file, RPC_SERVER_STREAM, 2 * SMALL, CHUNK),
	[AGENT_SHUTDOWN] = AGENT(SANDBOX, "Shutdown", shutdown, RPC_UNARY, SMALL, SMALL),
	[AGENT_FREEZE] = AGENT(SANDBOX, "Freeze", freeze, RPC_UNARY, SMALL, SMALL),
	[AGENT_TRUST] = AGENT(SANDBOX, "Trust", trust, RPC_UNARY, 2 * SMALL, SMALL),
	[AGENT_PROCESS_START] = AGENT(PROCESS, "Start", start, RPC_SERVER_STREAM, LARGE, CHUNK),
	[AGENT_PROCESS_LIST] = AGENT(PROCESS, "List", list, RPC_UNARY, SMALL, LARGE),
	[AGENT_PROCESS_UPDATE] = AGENT(PROCESS, "Update", update, RPC_UNARY, SMALL, SMALL),
	[AGENT_PROCESS_SEND_INPUT] =
		AGENT(PROCESS, "SendInput", send_input, RPC_UNARY, LARGE, SMALL),
	[AGENT_PROCESS_SEND_SIGNAL] =
		AGENT(PROCESS, "SendSignal", send_signal, RPC_UNARY, SMALL, SMALL),
	[AGENT_PROCESS_CLOSE_STDIN] =
		AGENT(PROCESS, "CloseStdin", close_stdin, RPC_UNARY, SMALL, SMALL),
	[AGENT_PROCESS_CONNECT] =
		METHOD(PROCESS, "Connect", casemate__agent__v1__connect_request__descriptor,
		       casemate__agent__v1__start_response__descriptor, RPC_SERVER_STREAM, 0, 0,
		       SMALL, CHUNK),
	[AGENT_PROCESS_STREAM_INPUT] =
		AGENT(PROCESS, "StreamInput", stream_input, RPC_CLIENT_STREAM, CHUNK, SMALL),
	[AGENT_FS_STAT] = FS("Stat", stat, RPC_UNARY, PATHS, CHUNK),
	[AGENT_FS_MAKE_DIR] = FS("MakeDir", make_dir, RPC_UNARY, PATHS, CHUNK),
	[AGENT_FS_MOVE] = FS("Move", move, RPC_UNARY, PATHS, CHUNK),
	[AGENT_FS_LIST_DIR] = FS("ListDir", list_dir, RPC_UNARY, PATHS, HUGE),
	[AGENT_FS_REMOVE] = FS("Remove", remove, RPC_UNARY, PATHS, SMALL),
	[AGENT_FS_WATCH_DIR] = FS("WatchDir", watch_dir, RPC_SERVER_STREAM, PATHS, CHUNK),
	[AGENT_FS_CREATE_WATCHER] = FS("CreateWatcher", create_watcher, RPC_UNARY, PATHS, SMALL),
	[AGENT_FS_GET_WATCHER_EVENTS] =
		FS("GetWatcherEvents", get_watcher_events, RPC_UNARY, SMALL, HUGE),
	[AGENT_FS_REMOVE_WATCHER] = FS("RemoveWatcher", remove_watcher, RPC_UNARY, SMALL, SMALL),
};
