/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux_init - /init of the Linux guest of ./dev bench vmm: what fio and iperf3 would do, in one
 * static program, so that no image has to hold them. It prints as tests/guest/bench.c does: the
 * time of its first instruction, then a line of samples for each row, then `end`, and stays.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define DISK	    "/dev/vda"
#define STREAM_PORT 1024U
#define HOST_ADDR   0x0a4d0001U /* 10.77.0.1 */
#define GUEST_ADDR  0x0a4d0002U

#define THREADS	     4U
#define THREAD_DEPTH 8U
#define SAMPLES	     8U
#define LATENCIES    200U
#define PING_BYTES   64U
#define BULK_BYTES   (4U << 20)
#define BULKS	     5U

enum { OP_ECHO = 1, OP_SINK, OP_SOURCE };

static int out = -1;

PRINTF(1, 2) NORETURN static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)dprintf(out, "fail ");
	(void)vdprintf(out, fmt, ap);
	(void)dprintf(out, ": %s\n", strerror(errno));
	va_end(ap);
	for (;;)
		(void)pause();
}

static void emit(const char *name, const uint64_t *ns, unsigned n)
{
	(void)dprintf(out, "s %s", name);
	for (unsigned i = 0; i < n; i++)
		(void)dprintf(out, " %llu", (unsigned long long)ns[i]);
	(void)dprintf(out, "\n");
}

/* ---- Disk: Linux AIO with O_DIRECT --------------------------------------------------------- */

static struct job {
	bool write, random;
	uint32_t bytes;
	uint64_t disk_bytes;
	unsigned window;
	uint64_t done;	  /* atomic: requests of all threads */
	uint64_t last_ns; /* atomic: when the last window ended */
	uint64_t ns[SAMPLES + 1];
} job;

struct worker {
	pthread_t thread;
	uint64_t state; /* of its random numbers */
	uint64_t next;	/* of its own part of the disk, when not random */
	struct iocb cb[THREAD_DEPTH];
	void *buf[THREAD_DEPTH];
};

static uint64_t pick(struct worker *w)
{
	uint64_t blocks = job.disk_bytes / job.bytes;

	if (!job.random)
		return w->next++ % blocks * job.bytes;
	w->state ^= w->state << 13;
	w->state ^= w->state >> 7;
	w->state ^= w->state << 17;
	return w->state % blocks * job.bytes;
}

static void submit(struct worker *w, aio_context_t ctx, int fd, unsigned slot)
{
	struct iocb *cb = &w->cb[slot];

	*cb = (struct iocb){ .aio_data = slot,
			     .aio_lio_opcode = job.write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
			     .aio_fildes = (uint32_t)fd,
			     .aio_buf = (uintptr_t)w->buf[slot],
			     .aio_nbytes = job.bytes,
			     .aio_offset = (int64_t)pick(w) };
	if (syscall(SYS_io_submit, ctx, 1L, &cb) != 1)
		fail("io_submit");
}

/* A request is done; false: that was enough. */
static bool count_one(void)
{
	uint64_t done = __atomic_add_fetch(&job.done, 1, __ATOMIC_RELAXED);
	uint64_t i = done / job.window, now, last;

	if (done % job.window != 0 || i > SAMPLES + 1)
		return i <= SAMPLES;
	now = now_ns();
	last = __atomic_exchange_n(&job.last_ns, now, __ATOMIC_RELAXED);
	job.ns[i - 1] = now > last ? now - last : 1;
	return i <= SAMPLES;
}

static void *disk_worker(void *arg)
{
	CLEANUP(fd_closep) int fd = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	struct io_event ev[THREAD_DEPTH];
	struct worker *w = arg;
	aio_context_t ctx = 0;
	bool more = true;

	if (fd < 0 || syscall(SYS_io_setup, THREAD_DEPTH, &ctx) < 0)
		fail("%s", DISK);
	for (unsigned i = 0; i < THREAD_DEPTH; i++) {
		if (posix_memalign(&w->buf[i], 4096, job.bytes) != 0)
			fail("memory");
		submit(w, ctx, fd, i);
	}
	while (more) {
		long n = syscall(SYS_io_getevents, ctx, 1L, (long)THREAD_DEPTH, ev, NULL);
		for (long i = 0; i < n; i++) {
			if (ev[i].res != job.bytes)
				fail("a request ended with %lld", (long long)ev[i].res);
			more = count_one() && more;
			if (more)
				submit(w, ctx, fd, (unsigned)ev[i].data);
		}
	}
	(void)syscall(SYS_io_destroy, ctx);
	for (unsigned i = 0; i < THREAD_DEPTH; i++)
		free(w->buf[i]);
	return NULL;
}

/* All threads for SAMPLES times `window` requests: what each of these windows took. The threads
 * themselves take the time, because a sleeper is woken late by a busy host. */
static void disk_rate(const char *name, struct job j, unsigned window)
{
	static struct worker workers[THREADS];

	j.disk_bytes = job.disk_bytes;
	j.window = window;
	j.last_ns = now_ns();
	job = j;
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .state = 88172645463325252U + i,
					      .next = i * (job.disk_bytes / job.bytes / THREADS) };
		if (pthread_create(&workers[i].thread, NULL, disk_worker, &workers[i]) != 0)
			fail("pthread_create");
	}
	for (unsigned i = 0; i < THREADS; i++)
		(void)pthread_join(workers[i].thread, NULL);
	emit(name, job.ns + 1, SAMPLES); /* the first one is the start */
}

static void disk_latency(const char *name, bool write_too)
{
	CLEANUP(fd_closep) int fd = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	struct worker w = { .state = 88172645463325252U };
	static uint64_t ns[LATENCIES];
	void *buf;

	if (fd < 0 || posix_memalign(&buf, 4096, 4096) != 0)
		fail("%s", DISK);
	job.random = true;
	job.bytes = 4096;
	for (unsigned i = 0; i < LATENCIES; i++) {
		off_t at = (off_t)pick(&w);
		uint64_t t0 = now_ns();
		ssize_t n = write_too ? pwrite(fd, buf, 4096, at) : pread(fd, buf, 4096, at);
		if (n != 4096)
			fail("%s: %zd", DISK, n);
		ns[i] = now_ns() - t0;
	}
	free(buf);
	emit(name, ns, LATENCIES);
}

static void disk(void)
{
	int fd = open(DISK, O_RDWR | O_CLOEXEC);
	off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;

	if (end <= 0)
		fail("%s", DISK);
	job.disk_bytes = (uint64_t)end;
	fd_closep(&fd);
	disk_latency("linux_randread_4k", false);
	disk_latency("linux_randwrite_4k", true);
	disk_rate("linux_randread_4k_4x8", (struct job){ .random = true, .bytes = 4096 }, 256);
	disk_rate("linux_randwrite_4k_4x8",
		  (struct job){ .write = true, .random = true, .bytes = 4096 }, 256);
	disk_rate("linux_read_1m_4x8", (struct job){ .bytes = 1 << 20 }, 64);
	disk_rate("linux_write_1m_4x8", (struct job){ .write = true, .bytes = 1 << 20 }, 64);
}

/* ---- Streams: the commands of vmm_host_stream.c ---------------------------------------------- */

static uint8_t chunk[256 * 1024];

static void command(int fd, uint32_t op, uint32_t len)
{
	const uint32_t cmd[2] = { op, len };

	if (fd_write_full(fd, cmd, sizeof(cmd)) < 0)
		fail("command");
}

static void stream_bulk(const char *name, int fd, uint32_t op)
{
	uint64_t ns[BULKS];

	for (unsigned i = 0; i < BULKS; i++) {
		uint64_t t0 = now_ns();
		int r = 0;

		command(fd, op, BULK_BYTES);
		for (size_t at = 0; at < BULK_BYTES && r == 0; at += sizeof(chunk))
			r = op == OP_SINK ? fd_write_full(fd, chunk, sizeof(chunk))
					  : fd_read_full(fd, chunk, sizeof(chunk));
		if (r == 0 && op == OP_SINK)
			r = fd_read_full(fd, chunk, 1);
		if (r < 0)
			fail("%s", name);
		ns[i] = now_ns() - t0;
	}
	emit(name, ns, BULKS);
}

static void stream_ping(const char *name, int fd)
{
	static uint64_t ns[LATENCIES];

	command(fd, OP_ECHO, LATENCIES * PING_BYTES);
	for (unsigned i = 0; i < LATENCIES; i++) {
		uint64_t t0 = now_ns();
		if (fd_write_full(fd, chunk, PING_BYTES) < 0 ||
		    fd_read_full(fd, chunk, PING_BYTES) < 0)
			fail("%s", name);
		ns[i] = now_ns() - t0;
	}
	emit(name, ns, LATENCIES);
}

static void set_addr(struct sockaddr *sa, uint32_t addr)
{
	const struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(addr) };

	memcpy(sa, &in, sizeof(in));
}

static void net(void)
{
	const struct sockaddr_in host = { .sin_family = AF_INET,
					  .sin_port = htons(STREAM_PORT),
					  .sin_addr.s_addr = htonl(HOST_ADDR) };
	CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_name = "eth0" };
	const int one = 1;

	set_addr(&ifr.ifr_addr, GUEST_ADDR);
	if (fd < 0 || ioctl(fd, SIOCSIFADDR, &ifr) < 0)
		fail("eth0: address");
	set_addr(&ifr.ifr_addr, 0xffffff00U);
	if (ioctl(fd, SIOCSIFNETMASK, &ifr) < 0)
		fail("eth0: netmask");
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		fail("eth0: up");
	if (connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0)
		fail("connecting to the host");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	stream_ping("linux_net_rr", fd);
	stream_bulk("linux_net_tx", fd, OP_SINK);
	stream_bulk("linux_net_rx", fd, OP_SOURCE);
}

static void vsock(void)
{
	const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
					  .svm_port = STREAM_PORT,
					  .svm_cid = VMADDR_CID_HOST };
	CLEANUP(fd_closep) int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0)
		fail("vsock");
	stream_ping("linux_vsock_ping", fd);
	stream_bulk("linux_vsock_tx", fd, OP_SINK);
	stream_bulk("linux_vsock_rx", fd, OP_SOURCE);
}

/* Line ends as they are written. */
static void open_console(void)
{
	struct termios t;

	out = open("/dev/hvc0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (out < 0 || tcgetattr(out, &t) < 0)
		_exit(1);
	cfmakeraw(&t);
	if (tcsetattr(out, TCSANOW, &t) < 0)
		_exit(1);
}

static bool is_asked(const char *what, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], what) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	uint64_t first = clock_ns(CLOCK_REALTIME);

	if (mount("dev", "/dev", "devtmpfs", 0, NULL) < 0 && errno != EBUSY)
		return 1;
	open_console();
	(void)dprintf(out, "first %llu\n", (unsigned long long)first);
	disk();
	if (is_asked("net", argc, argv))
		net();
	if (is_asked("vsock", argc, argv))
		vsock();
	(void)dprintf(out, "end\n");
	for (;;)
		(void)pause();
}
