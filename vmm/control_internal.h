/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_internal.h - private to the control server's files:
 *
 *     control.c           the VM's states, its end, the method table, the server
 *     control_configure.c what a ConfigureRequest says, checked
 *     control_handover.c  another control connection
 *     control_dev.c       requests that are about a device
 *     control_drive.c     the same for drives
 *     control_nic.c       the same for network devices
 *     control_metrics.c   GetMetrics
 *
 * Everything runs on the control thread.
 */
#ifndef VMM_CONTROL_INTERNAL_H
#define VMM_CONTROL_INTERNAL_H

#include <vmm.pb-c.h>

#include "api/rpc/rpc.h"
#include "base/loop.h"
#include "vmm/result.h"
#include "vmm/snapshot/live.h"
#include "vmm/vm.h"

#define CONTROL_WAITERS_MAX 8U

enum state { STATE_NEW, STATE_READY, STATE_RUNNING, STATE_PAUSED, STATE_ENDED, STATE_COUNT };

struct control {
	struct loop *loop;
	struct rpc_conn *conn;	  /* NULL: closed, and perhaps another will come */
	struct loop_io *handover; /* control_handover.c; NULL: none will */
	enum state state;
	struct vm vm;
	struct result result;
	struct rpc_call *waiters[CONTROL_WAITERS_MAX];
	unsigned waiters_count;
	/* A live snapshot that is under way, or NULL: its request and its files. */
	struct live *live;
	struct rpc_call *live_call;
	int live_fds[3];
	bool live_split; /* which request it is */
	char id[VM_ID_MAX + 1];
};

/* control.c: serves VMM_FD_CONTROL; is it non-blocking? 0 or -errno, and it is closed. */
MUST_USE int control_connect_peer(struct control *c, bool nonblocking);

/* control_handover.c */
MUST_USE int control_handover_begin(struct control *c);
/* Does the VM go on without a control connection? */
bool control_outlives(const struct control *c);

/* control_configure.c */
/* Pure. The request's strings are borrowed: cfg lives as long as the request. 0, or -EINVAL with
 * err. */
MUST_USE int control_decode(const Casemate__Vmm__V1__ConfigureRequest *q, struct vm_config *cfg,
			    struct err *err);
/* Pure; NULL = no limits. */
struct limits control_limits(const Casemate__Vmm__V1__Limits *l);

/* control_dev.c: handlers, arg is the struct control. */
rpc_handler_fn control_listen;
rpc_handler_fn control_connect;
rpc_handler_fn control_read_console;
rpc_handler_fn control_set_balloon;

/* control_drive.c: handlers. */
rpc_handler_fn control_set_drive_limits;
rpc_handler_fn control_resize_drive;

/* control_metrics.c: handler. */
rpc_handler_fn control_get_metrics;
/* control_nic.c */
/* Pure, part of control_decode: 0, or -EINVAL with err. */
MUST_USE int control_decode_nics(const Casemate__Vmm__V1__ConfigureRequest *q,
				 struct vm_config *cfg, struct err *err);
rpc_handler_fn control_set_nic_limits;
rpc_handler_fn control_set_nic_link;

#endif
