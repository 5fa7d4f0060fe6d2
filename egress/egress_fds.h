/* SPDX-License-Identifier: Apache-2.0 */
/*
 * egress_fds.h - the ABI between the jailer and casemate-egress, the process through which one
 * sandbox reaches a network: descriptors at fixed numbers, and nothing else open.
 *
 * It has an empty root, so the program is a static one; no environment; a uid, a pid namespace and
 * SELinux categories of its own; and the host's network namespace, so that what it connects goes
 * the host's ways. 4 to 7 belong to the sandbox's network namespace, wherever they are used. Its
 * arguments say what they are.
 *
 * It starts before it is known for whom: until the first policy nothing is allowed. It ends with
 * the sandbox's VMM, and when no other end of its control socket is left.
 */
#ifndef EGRESS_EGRESS_FDS_H
#define EGRESS_EGRESS_FDS_H

#include <stdint.h>

/* 0 and 1 are /dev/null, 2 is the write end of a log pipe, non-blocking. */

/* SOCK_SEQPACKET, non-blocking: a message of at most EGRESS_POLICY_MAX bytes of JSON, say
 * {"policy": {...}}, is answered by one of at most EGRESS_ANSWER_MAX (casemate-egress(8)). A policy
 * takes the place of the one before as a whole, or is refused and the one before stays. With it may
 * come one descriptor, open for reading: the host's certificate authorities (control.h). */
#define EGRESS_FD_CONTROL 3
#define EGRESS_POLICY_MAX (64U * 1024U)
#define EGRESS_ANSWER_MAX 4096U
/* A listening TCP socket: every connection that the guest opens to any address and port, except to
 * port 53, can be accepted here. getsockname() of an accepted one is where the guest wanted to:
 * there is no address translation. */
#define EGRESS_FD_TCP 4
/* The gateway's port 53, the only resolver that the guest can reach: a bound UDP socket, and a
 * listening TCP socket. */
#define EGRESS_FD_DNS_UDP 5
#define EGRESS_FD_DNS_TCP 6
/* What leads the guest's connections to EGRESS_FD_TCP: nothing does once it is closed. */
#define EGRESS_FD_STEER 7
/* Everything that is opened while running is numbered from here... */
#define EGRESS_FD_DYNAMIC 8
/* ...to here: its RLIMIT_NOFILE. */
#define EGRESS_FD_END 1024
/* Its RLIMIT_AS, and it has one thread. */
#define EGRESS_ADDRESS_MAX (UINT64_C(256) << 20)

#endif
