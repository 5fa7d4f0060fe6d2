/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward.h - the way from the host to any TCP port of the guest, without a network.
 *
 * A connection begins with two bytes, the port, little-endian. The agent connects to it on
 * 127.0.0.1, then on ::1, and answers one byte: 0, or the errno of the last attempt and the end of
 * the connection. From then on bytes go both ways, each direction with its own end. One thread.
 *
 * A port that nobody listens on is tried again for a second, as E2B's proxy does: who has just
 * started a server there needn't ask when it is up.
 */
#ifndef AGENT_FORWARD_H
#define AGENT_FORWARD_H

#include "base/compiler.h"
#include "base/loop.h"

#define FORWARDS_MAX	   256
#define FORWARD_CONNECT_MS 10000 /* for the port to come and for the connection to be made */
#define FORWARD_TRIES	   5	 /* at a port that refuses */
#define FORWARD_AGAIN_MS   100	 /* before the second; twice that before the third, and so on */

struct forward_table;

MUST_USE int forward_table_new(struct loop *l, struct forward_table **ret);
/* Ends all. NULL is fine. */
void forward_table_free(struct forward_table *t);
/* Serves fd, which it owns in every case: 0, -EAGAIN (too many), -errno. */
MUST_USE int forward_serve(struct forward_table *t, int fd);

#endif
