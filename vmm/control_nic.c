/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "vmm/control_internal.h"

int control_decode_nics(const Casemate__Vmm__V1__ConfigureRequest *q, struct vm_config *cfg,
			struct err *err)
{
	if (q->n_nics > VM_NICS_MAX)
		return err_set(err, -EINVAL, "nics: %zu, at most %u", q->n_nics, VM_NICS_MAX);
	cfg->nics_count = (unsigned)q->n_nics;
	for (unsigned i = 0; i < cfg->nics_count; i++) {
		const Casemate__Vmm__V1__Nic *nic = q->nics[i];
		struct vm_nic *n = &cfg->nics[i];
		if (nic->mac.len != sizeof(n->mac))
			return err_set(err, -EINVAL, "nic %u: mac has %zu bytes, not %zu", i,
				       nic->mac.len, sizeof(n->mac));
		memcpy(n->mac, nic->mac.data, sizeof(n->mac));
		n->mtu = nic->mtu;
		n->pairs = nic->queue_pairs == 0 ? 1 : nic->queue_pairs;
		n->receive = control_limits(nic->receive);
		n->send = control_limits(nic->send);
	}
	return 0;
}

/* The nic of that number, or NULL and the call is answered. */
static struct virtio_dev *find_nic(struct control *c, struct rpc_call *call, uint32_t nic)
{
	if (nic < c->vm.nics_count)
		return c->vm.nics[nic];
	rpc_fail(call, RPC_NOT_FOUND, "nic %u: the VM has %u", nic, c->vm.nics_count);
	return NULL;
}

void control_set_nic_limits(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__SetNicLimitsRequest *q = (const void *)in;
	const Casemate__Vmm__V1__SetNicLimitsResponse out =
		CASEMATE__VMM__V1__SET_NIC_LIMITS_RESPONSE__INIT;
	struct virtio_dev *dev = find_nic(arg, call, q->nic);
	const struct limits receive = control_limits(q->receive), send = control_limits(q->send);

	(void)fds;
	if (dev == NULL)
		return;
	virtio_net_set_limits(dev, &receive, &send);
	rpc_reply(call, &out.base, NULL);
}

void control_set_nic_link(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__SetNicLinkRequest *q = (const void *)in;
	const Casemate__Vmm__V1__SetNicLinkResponse out =
		CASEMATE__VMM__V1__SET_NIC_LINK_RESPONSE__INIT;
	struct virtio_dev *dev = find_nic(arg, call, q->nic);

	(void)fds;
	if (dev == NULL)
		return;
	virtio_net_set_link(dev, q->up);
	rpc_reply(call, &out.base, NULL);
}
