/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_host.h - the host's side of the rows that need one: processes of their own that end with the
 * harness. The guest's side is tests/guest/bench_net.c and bench_stream.c.
 */
#ifndef TESTS_BENCH_VMM_HOST_H
#define TESTS_BENCH_VMM_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/native/tap.h"

/* Obeys the guest's commands on a stream; takes fd. listening: on the first connection to it. */
pid_t host_stream(int fd, bool listening);
/* Echoes datagrams to port 7 and answers one to port 8 with as many large frames as it says. */
pid_t host_net(const struct tap *tap, const uint8_t guest_mac[6]);
void host_end(pid_t pid);

/* A TCP socket on the tap's host address, at the port that the Linux guest connects to. */
int host_tcp_listen(void);
/* A vsock socket that listens on the port that the guest connects to; -1: none on this host. */
int host_vsock_listen(void);

#endif
