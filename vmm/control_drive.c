/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/control_internal.h"

/* The disk of that number, or NULL and the call is answered. */
static struct virtio_dev *find_drive(struct control *c, struct rpc_call *call, uint32_t n)
{
	if (n >= c->vm.drives_count) {
		rpc_fail(call, RPC_NOT_FOUND, "the VM has no drive %u", n);
		return NULL;
	}
	if (c->vm.drives[n]->ops->id != VIRTIO_DEV_BLK) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "drive %u is memory, not a disk", n);
		return NULL;
	}
	return c->vm.drives[n];
}

void control_set_drive_limits(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
			      void *arg)
{
	const Casemate__Vmm__V1__SetDriveLimitsRequest *q = (const void *)in;
	const Casemate__Vmm__V1__SetDriveLimitsResponse out =
		CASEMATE__VMM__V1__SET_DRIVE_LIMITS_RESPONSE__INIT;
	const struct limits limits = control_limits(q->limits);
	struct virtio_dev *dev = find_drive(arg, call, q->drive);

	(void)fds;
	if (dev == NULL)
		return;
	virtio_blk_set_limits(dev, &limits);
	rpc_reply(call, &out.base, NULL);
}

void control_resize_drive(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__ResizeDriveRequest *q = (const void *)in;
	Casemate__Vmm__V1__ResizeDriveResponse out = CASEMATE__VMM__V1__RESIZE_DRIVE_RESPONSE__INIT;
	struct virtio_dev *dev = find_drive(arg, call, q->drive);
	int r;

	(void)fds;
	if (dev == NULL)
		return;
	r = virtio_blk_resize(dev, &out.bytes);
	if (r < 0) {
		struct err err;
		(void)err_sys(&err, r, "drive %u", q->drive);
		rpc_fail_err(call, &err);
		return;
	}
	rpc_reply(call, &out.base, NULL);
}
