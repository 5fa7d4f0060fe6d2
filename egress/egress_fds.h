/* SPDX-License-Identifier: Apache-2.0 */
/*
 * egress_fds.h - the ABI between the jailer and casemate-egress, the process through which one
 * sandbox reaches a network: descriptors at fixed numbers, and nothing else open.
 *
 * It has an empty root, so the program is a static one; no environment; a uid, a pid namespace and
 * SELinux categories of its own; and the host's network namespace, so that what it connects goes
 * the host's ways. 4 to 7 belong to the sandbox's network namespace, wherever they are used.
 * argv[1] and on are the operator's options, the jailer's --egress-option in their order.
 *
 * It starts before it is known for whom: until the first policy nothing is allowed. It ends when
 * its control socket is closed at the other end, and with the sandbox's VMM at the latest.
 */
#ifndef EGRESS_EGRESS_FDS_H
#define EGRESS_EGRESS_FDS_H

/* 0 and 1 are /dev/null, 2 is the write end of a log pipe, non-blocking. */

/* SOCK_SEQPACKET: a message is a policy (JSON, at most EGRESS_POLICY_MAX bytes, not terminated)
 * that takes the place of the one before as a whole, and is answered by one message, "ok" or the
 * reason why it was refused; then the one before stays in force. */
#define EGRESS_FD_CONTROL 3
#define EGRESS_POLICY_MAX (64U * 1024U)
#define EGRESS_ANSWER_MAX 512U
/* A listening TCP socket: every connection that the guest opens to any address and port, except to
 * port 53, can be accepted here. getsockname() of an accepted one is where the guest wanted to;
 * there is no address translation (no SO_ORIGINAL_DST). */
#define EGRESS_FD_TCP 4
/* The gateway's port 53, the only resolver that the guest can reach: a bound UDP socket, and a
 * listening TCP socket. */
#define EGRESS_FD_DNS_UDP 5
#define EGRESS_FD_DNS_TCP 6
/* What leads the guest's connections to EGRESS_FD_TCP: nothing does once it is closed. */
#define EGRESS_FD_STEER 7
/* Everything that is opened while running is numbered from here. */
#define EGRESS_FD_DYNAMIC 8

#endif
