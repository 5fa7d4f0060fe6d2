/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_guest - /init of the benchmark's guest: connects to the host and does what it is told. */
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/bench/vsock_bench.h"

static char buf[VSOCK_BENCH_CHUNK];

/* All of it; the benchmark ends with the connection. */
static void take(int fd, void *dst, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = read(fd, (char *)dst + got, len - got);
		if (n <= 0)
			_exit(1);
		got += (size_t)n;
	}
}

static void give(int fd, const char *src, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, src + done, len - done);
		if (n <= 0)
			_exit(1);
		done += (size_t)n;
	}
}

static void run(int fd, const struct vsock_bench_cmd *c)
{
	uint64_t left = c->count;

	switch (c->op) {
	case VSOCK_BENCH_ECHO:
		for (; left > 0; left--) {
			take(fd, buf, c->size);
			give(fd, buf, c->size);
		}
		break;
	case VSOCK_BENCH_SEND:
		for (; left > 0; left -= MIN(left, sizeof(buf)))
			give(fd, buf, (size_t)MIN(left, sizeof(buf)));
		break;
	case VSOCK_BENCH_TAKE:
		while (left > 0) {
			ssize_t n = read(fd, buf, (size_t)MIN(left, sizeof(buf)));
			if (n <= 0)
				_exit(1);
			left -= (uint64_t)n;
		}
		give(fd, buf, 1);
		break;
	default:
		_exit(1);
	}
}

int main(void)
{
	const struct sockaddr_vm addr = { .svm_family = AF_VSOCK,
					  .svm_cid = VMADDR_CID_HOST,
					  .svm_port = VSOCK_BENCH_PORT };
	struct vsock_bench_cmd c;
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return 1; /* the kernel panics, and the host sees no connection */
	give(fd, buf, 1);
	for (;;) {
		take(fd, &c, sizeof(c));
		if (c.size > sizeof(buf))
			return 1;
		run(fd, &c);
	}
}
