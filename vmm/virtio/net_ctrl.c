/* SPDX-License-Identifier: Apache-2.0 */
/* net_ctrl.c - the control queue, which is there for one command: how many pairs are in use. */
#include <errno.h>

#include "vmm/virtio/net.h"

struct net_ctrl {
	uint8_t class, command;
	le16_t pairs;
};
_Static_assert(sizeof(struct net_ctrl) == 4, "virtio 1.2, section 5.1.6.5.5");

/* The control queue comes after all pairs, or after the first when the driver knows of no more. */
bool net_is_ctrl(const struct net *n, unsigned q)
{
	return virtio_dev_has(&n->dev, VIRTIO_NET_F_CTRL_VQ) &&
	       q == (virtio_dev_has(&n->dev, VIRTIO_NET_F_MQ) ? 2 * n->pairs : 2);
}

bool net_has_pairs(struct net *n, unsigned pairs)
{
	if (pairs < 1 || pairs > n->pairs || !virtio_dev_has(&n->dev, VIRTIO_NET_F_MQ))
		return false;
	for (unsigned i = 0; i < pairs; i++)
		if (!net_rx_queue(n, i)->ready || !net_tx_queue(n, i)->ready)
			return false;
	return true;
}

static uint8_t set_pairs(struct net *n, unsigned pairs)
{
	if (!net_has_pairs(n, pairs))
		return VIRTIO_NET_ERR;
	for (unsigned i = pairs; i < n->active; i++)
		net_rx_drop(n, i);
	n->active = pairs;
	net_kick_all(n); /* the taps have other owners */
	return VIRTIO_NET_OK;
}

/* Does the command in n->chain: 1, or negative: the guest broke the rules. */
static int serve(struct net *n, struct virtq *q)
{
	struct virtq_chain *c = &n->chain;
	uint8_t status = VIRTIO_NET_ERR;
	struct net_ctrl cmd;
	int r;

	if (c->read_bytes < 2 || c->write_bytes < sizeof(status))
		return -EBADMSG;
	if (c->read_bytes == sizeof(cmd)) {
		r = virtq_chain_read(q, c, 0, &cmd, sizeof(cmd));
		if (r < 0)
			return r;
		if (cmd.class == VIRTIO_NET_CTRL_MQ &&
		    cmd.command == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
			status = set_pairs(n, le16_get(cmd.pairs));
	}
	r = virtq_chain_write(q, c, 0, &status, sizeof(status));
	if (r == 0)
		r = virtq_push(q, c->head, sizeof(status));
	return r < 0 ? r : 1;
}

int net_ctrl_run(struct net *n, unsigned qi)
{
	struct virtq *q = &n->dev.queues[qi];
	unsigned budget = q->size;
	int r = 1;

	while (r > 0 && budget-- > 0) {
		r = virtq_pop(q, &n->chain);
		if (r > 0)
			r = serve(n, q);
	}
	if (r == 0)
		r = virtq_enable_notify(q);
	if (r < 0)
		return r;
	if (r > 0)
		virtio_dev_kick(&n->dev, qi);
	return virtio_dev_notify_used(&n->dev, q);
}
