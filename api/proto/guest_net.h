/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_net.h - the addresses of a sandbox's network, which jailer, casemated and agent agree on.
 * They are the same in every sandbox, because each is alone in a network namespace: so a snapshot
 * goes on with the addresses that it has, however many sandboxes are made from it.
 *
 * The guest has 10.213.0.3/31 and one route, by 10.213.0.2, which is also its resolver.
 */
#ifndef API_PROTO_GUEST_NET_H
#define API_PROTO_GUEST_NET_H

#define GUEST_NET_GATEWAY 0x0ad50002U /* 10.213.0.2, in host byte order */
#define GUEST_NET_ADDRESS 0x0ad50003U /* 10.213.0.3 */
#define GUEST_NET_PREFIX  31
#define GUEST_NET_DNS	  "10.213.0.2"

/* Locally administered, unicast. */
#define GUEST_NET_GATEWAY_MAC             \
	{                                 \
		2, 0xca, 0x5e, 0, 0, 0x02 \
	}
#define GUEST_NET_MAC                     \
	{                                 \
		2, 0xca, 0x5e, 0, 0, 0x03 \
	}

#endif
