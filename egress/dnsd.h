/* SPDX-License-Identifier: Apache-2.0 */
/* dnsd.h - the guest's name server: one listening socket, UDP or TCP. The loop's thread. */
#ifndef EGRESS_DNSD_H
#define EGRESS_DNSD_H

#include "base/compiler.h"
#include "egress/egress.h"

struct dnsd_udp;
struct dnsd_tcp;

/* fd: bound, non-blocking, not owned. At most EGRESS_DNS_PENDING_MAX questions wait at a time; one
 * more is answered SERVFAIL. Answers come from the address that was asked. */
MUST_USE int dnsd_udp_new(struct egress *e, int fd, struct dnsd_udp **ret);
void dnsd_udp_free(struct dnsd_udp *d);

/* fd: listening, non-blocking, not owned. At most EGRESS_DNS_CONNS_MAX connections at a time, each
 * with one question at a time, closed after EGRESS_DNS_IDLE_MS without a whole one. */
MUST_USE int dnsd_tcp_new(struct egress *e, int fd, struct dnsd_tcp **ret);
void dnsd_tcp_free(struct dnsd_tcp *d);

#endif
