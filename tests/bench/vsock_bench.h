/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_bench.h - what bench_vsock asks of the guest (vsock_guest.c): one struct a command. Both
 * run on the same machine, so numbers are the machine's. */
#ifndef TESTS_BENCH_VSOCK_BENCH_H
#define TESTS_BENCH_VSOCK_BENCH_H

#include <stdint.h>

#define VSOCK_BENCH_PORT  1024U
#define VSOCK_BENCH_CHUNK 65536U

enum vsock_bench_op {
	VSOCK_BENCH_ECHO = 1, /* `count` times: read `size` bytes, send them back */
	VSOCK_BENCH_SEND,     /* send `count` bytes */
	VSOCK_BENCH_TAKE,     /* read `count` bytes, then send one */
};

struct vsock_bench_cmd {
	uint32_t op, size; /* size <= VSOCK_BENCH_CHUNK */
	uint64_t count;
};
_Static_assert(sizeof(struct vsock_bench_cmd) == 16, "no padding");

#endif
