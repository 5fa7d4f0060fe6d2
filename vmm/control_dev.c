/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "vmm/control_internal.h"

#define CONSOLE_READ_BYTES (64U * 1024U)

void control_listen(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__ListenRequest *q = (const void *)in;
	const Casemate__Vmm__V1__ListenResponse out = CASEMATE__VMM__V1__LISTEN_RESPONSE__INIT;
	struct control *c = arg;
	int r;

	if (c->vm.vsock == NULL) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the VM has no vsock device");
		return;
	}
	r = virtio_vsock_listen(c->vm.vsock, q->port, fds[0]);
	if (r < 0) {
		struct err err;
		(void)err_sys(&err, r, "vsock port %u", q->port);
		rpc_fail_err(call, &err);
		return;
	}
	(void)fd_steal(&fds[0]);
	rpc_reply(call, &out.base, NULL);
}

static void on_connected(int result, void *arg)
{
	const Casemate__Vmm__V1__ConnectResponse out = CASEMATE__VMM__V1__CONNECT_RESPONSE__INIT;
	struct rpc_call *call = arg;

	if (result == 0)
		rpc_reply(call, &out.base, NULL);
	else
		rpc_fail(call, RPC_UNAVAILABLE, "the guest doesn't accept: %s",
			 strerrorname_np(-result));
}

void control_connect(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__ConnectRequest *q = (const void *)in;
	struct control *c = arg;
	int r;

	if (c->vm.vsock == NULL) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the VM has no vsock device");
		return;
	}
	r = virtio_vsock_connect(c->vm.vsock, q->port, fds[0], on_connected, call);
	if (r < 0) {
		struct err err;
		(void)err_sys(&err, r, "vsock port %u", q->port);
		rpc_fail_err(call, &err);
		return;
	}
	(void)fd_steal(&fds[0]);
}

void control_read_console(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__ReadConsoleRequest *q = (const void *)in;
	Casemate__Vmm__V1__ReadConsoleResponse out = CASEMATE__VMM__V1__READ_CONSOLE_RESPONSE__INIT;
	static uint8_t bytes[CONSOLE_READ_BYTES]; /* one control thread */
	struct control *c = arg;

	(void)fds;
	if (c->vm.console == NULL) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the VM has no console");
		return;
	}
	out.from = q->from;
	out.data.data = bytes;
	out.data.len = virtio_console_read(c->vm.console, &out.from, bytes, sizeof(bytes));
	rpc_reply(call, &out.base, NULL);
}

void control_set_balloon(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__SetBalloonRequest *q = (const void *)in;
	const Casemate__Vmm__V1__SetBalloonResponse out =
		CASEMATE__VMM__V1__SET_BALLOON_RESPONSE__INIT;
	struct control *c = arg;
	int r;

	(void)fds;
	if (c->vm.balloon == NULL) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the VM has no balloon");
		return;
	}
	r = virtio_balloon_set(c->vm.balloon, q->bytes);
	if (r < 0) {
		struct err err;
		(void)err_sys(&err, r, "balloon: %" PRIu64 " bytes", q->bytes);
		rpc_fail_err(call, &err);
		return;
	}
	rpc_reply(call, &out.base, NULL);
}
