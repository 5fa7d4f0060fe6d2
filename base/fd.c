/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bug.h"

void fd_closep(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		(void)close(*fd);
		errno = saved;
	}
	*fd = -1;
}

int fd_steal(int *fd)
{
	int n = *fd;

	*fd = -1;
	return n;
}

int fd_dup(int fd, int min)
{
	int n = fcntl(fd, F_DUPFD_CLOEXEC, min);

	return n < 0 ? -errno : n;
}

int fd_lift(int fd, int min)
{
	CLEANUP(fd_closep) int low = fd;

	return fd < 0 || fd >= min ? fd_steal(&low) : fd_dup(low, min);
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int fd_write_full(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_read_full(int fd, void *data, size_t len)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = read(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* By preadv, the call that loading a kernel needs anyway: one call less in the filters. */
int fd_pread_full(int fd, void *data, size_t len, uint64_t at)
{
	uint8_t *p = data;

	while (len > 0) {
		const struct iovec v = { p, len };
		ssize_t n = preadv(fd, &v, 1, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_pwrite_full(int fd, const void *data, size_t len, uint64_t at)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t fd_read_file(int dirfd, const char *path, char *buf, size_t cap)
{
	CLEANUP(fd_closep) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t used = 0;

	BUG_ON(cap == 0);
	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n = read(fd, buf + used, cap - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
		if (used == cap)
			return -EFBIG;
	}
	buf[used] = '\0';
	return (ssize_t)used;
}

int fd_socketpair(int sv[2], bool nonblock)
{
	int type = SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0);

	return socketpair(AF_UNIX, type, 0, sv) < 0 ? -errno : 0;
}

ssize_t fd_send(int sock, const void *data, size_t len, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
	} ctl;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	BUG_ON(nfds > FD_PASS_MAX);
	/* sendmsg does not write through iov_base; the type just lacks the const. */
	memcpy(&iov.iov_base, &data, sizeof(data));
	iov.iov_len = len;
	if (nfds > 0) {
		memset(&ctl, 0, sizeof(ctl));
		msg.msg_control = ctl.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t fd_recv(int sock, void *data, size_t len, int *fds, size_t *nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
	} ctl;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = ctl.space,
			      .msg_controllen = sizeof(ctl.space) };
	size_t cap = *nfds, got = 0;
	bool bad;
	ssize_t n;

	*nfds = 0;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	bad = (msg.msg_flags & MSG_CTRUNC) != 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (got < cap) {
				fds[got++] = fd;
			} else {
				(void)close(fd);
				bad = true;
			}
		}
	}
	if (bad) {
		while (got > 0)
			fd_closep(&fds[--got]);
		return -EPROTO;
	}
	*nfds = got;
	return n;
}

void fd_close_from(unsigned first)
{
	/* Fails on kernels before 5.9 only; what is left open there could leak into a jail. */
	BUG_ON(close_range(first, UINT_MAX, 0) < 0);
}

ssize_t fd_send_pair(int fd, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct iovec iov[2] = { { .iov_len = a_len }, { .iov_len = b_len } };
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	/* sendmsg does not write through iov_base; the type just lacks the const. */
	memcpy(&iov[0].iov_base, &a, sizeof(a));
	memcpy(&iov[1].iov_base, &b, sizeof(b));
	do
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
