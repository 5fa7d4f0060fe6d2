/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert(d != NULL);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

static bool is_cloexec(int fd)
{
	return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

Test(base_fd, ownership)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy;

	errno = 77;
	{
		CLEANUP(fd_closep) int held = fd;
		int stolen = fd_steal(&held);
		cr_assert_eq(held, -1);
		cr_assert_eq(stolen, fd);
	}
	cr_assert_neq(fcntl(fd, F_GETFD), -1);
	copy = fd_dup(fd, 100);
	cr_assert_geq(copy, 100);
	cr_assert(is_cloexec(copy));
	fd_closep(&copy);
	cr_assert_eq(copy, -1);
	fd_closep(&copy);
	fd_closep(&fd);
	cr_assert_eq(fd_dup(fd, 0), -EBADF);
	cr_assert_eq(fd_set_nonblock(-1, true), -EBADF);
}

Test(fd, lift_keeps_what_is_high_enough)
{
	int low = eventfd(0, EFD_CLOEXEC), high;

	cr_assert_geq(low, 0);
	cr_assert_eq(fd_lift(low, low), low);
	high = fd_lift(low, low + 100);
	cr_assert_eq(high, low + 100);
	cr_assert_eq(fcntl(low, F_GETFD), -1, "the low one is closed");
	cr_assert_eq(fcntl(high, F_GETFD), FD_CLOEXEC);
	cr_assert_lt(fd_lift(high, 1 << 30), 0, "there is no such number");
	cr_assert_eq(fcntl(high, F_GETFD), -1, "closed all the same");
}

Test(base_fd, whole_reads_and_writes)
{
	char in[100000], out[sizeof(in)];
	int sv[2], status;
	pid_t pid;

	memset(out, 'w', sizeof(out));
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert(is_cloexec(sv[0]) && is_cloexec(sv[1]));
	pid = fork();
	if (pid == 0) {
		/* In many small steps, so that the reader sees short reads. */
		for (size_t off = 0; off < sizeof(out); off += 1000)
			if (fd_write_full(sv[1], out + off, 1000) != 0)
				_exit(1);
		_exit(0);
	}
	fd_closep(&sv[1]);
	cr_assert_eq(fd_read_full(sv[0], in, sizeof(in)), 0);
	cr_assert_eq(memcmp(in, out, sizeof(in)), 0);
	cr_assert_eq(fd_read_full(sv[0], in, 1), -EPIPE);
	cr_assert_eq(fd_read_full(sv[0], in, 0), 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(fd_write_full(sv[0], out, 1), -EPIPE);
	fd_closep(&sv[0]);
}

Test(base_fd, whole_reads_and_writes_at_an_offset)
{
	CLEANUP(fd_closep) int fd = memfd_create("at", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char text[8] = "";

	cr_assert_geq(fd, 0);
	cr_expect_eq(fd_pwrite_full(fd, "behind", 6, 4), 0);
	cr_expect_eq(fd_pread_full(fd, text, 6, 4), 0);
	cr_expect_str_eq(text, "behind");
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), 0, "the descriptor's own place has moved");
	/* Ten bytes: the eleventh isn't there. */
	cr_expect_eq(fd_pread_full(fd, text, 6, 5), -EIO);
	cr_expect_eq(fd_pread_full(fd, text, 0, 99), 0);
	cr_expect_eq(fd_pread_full(-1, text, 1, 0), -EBADF);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	cr_expect_eq(fd_pwrite_full(fd, "x", 1, 0), -EPERM);
}

Test(base_fd, read_file)
{
	char path[] = "/tmp/base-fd-XXXXXX", buf[16];
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_read_file(AT_FDCWD, path, buf, sizeof(buf)), 0);
	cr_assert_str_eq(buf, "");
	cr_assert_eq(fd_write_full(fd, "123456789012345", 15), 0);
	cr_assert_eq(fd_read_file(AT_FDCWD, path, buf, sizeof(buf)), 15);
	cr_assert_str_eq(buf, "123456789012345");
	cr_assert_eq(fd_read_file(AT_FDCWD, path, buf, 15), -EFBIG); /* no room for the NUL */
	cr_assert_eq(fd_write_full(fd, "6", 1), 0);
	cr_assert_eq(fd_read_file(AT_FDCWD, path, buf, sizeof(buf)), -EFBIG);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(fd_read_file(AT_FDCWD, path, buf, sizeof(buf)), -ENOENT);
	cr_assert_eq(fd_read_file(AT_FDCWD, "/tmp", buf, sizeof(buf)), -EISDIR);
	fd_closep(&fd);
}

Test(base_fd, pass)
{
	unsigned before = fds_open();
	int sv[2], p[2], fds[FD_PASS_MAX], got[FD_PASS_MAX];
	char data[64];
	size_t n;

	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(pipe(p), 0);
	for (size_t i = 0; i < FD_PASS_MAX; i++)
		fds[i] = p[1];
	for (size_t count = 0; count <= FD_PASS_MAX; count++) {
		cr_assert_eq(fd_send(sv[0], "abc", 3, fds, count), 3);
		n = FD_PASS_MAX;
		cr_assert_eq(fd_recv(sv[1], data, sizeof(data), got, &n), 3);
		cr_assert_eq(n, count);
		for (size_t i = 0; i < n; i++) {
			cr_assert(is_cloexec(got[i]));
			cr_assert_eq(fd_write_full(got[i], "x", 1), 0);
			fd_closep(&got[i]);
		}
	}
	n = FD_PASS_MAX;
	cr_assert_eq(fd_recv(sv[1], data, sizeof(data), got, &n), -EAGAIN);
	cr_assert_eq(n, 0);
	fd_closep(&sv[0]);
	n = FD_PASS_MAX;
	cr_assert_eq(fd_recv(sv[1], data, sizeof(data), got, &n), 0);
	fd_closep(&sv[1]);
	fd_closep(&p[0]);
	fd_closep(&p[1]);
	cr_assert_eq(fds_open(), before);
}

/* More than was asked for: refused as a whole, and nothing stays open. */
Test(base_fd, pass_too_many)
{
	unsigned before = fds_open();

	for (size_t count = 1; count <= FD_PASS_MAX; count++) {
		for (size_t room = 0; room < count; room++) {
			int sv[2], fds[FD_PASS_MAX], got[FD_PASS_MAX];
			char data[8];
			size_t n = room;
			cr_assert_eq(fd_socketpair(sv, true), 0);
			for (size_t i = 0; i < count; i++)
				fds[i] = sv[0];
			cr_assert_eq(fd_send(sv[0], "abc", 3, fds, count), 3);
			cr_assert_eq(fd_recv(sv[1], data, sizeof(data), got, &n), -EPROTO);
			cr_assert_eq(n, 0);
			fd_closep(&sv[0]);
			fd_closep(&sv[1]);
			cr_assert_eq(fds_open(), before);
		}
	}
}

/* A peer that doesn't use our sender: 253 descriptors, what the kernel allows. */
Test(base_fd, pass_a_flood)
{
	unsigned before = fds_open();
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 253)];
	} ctl;
	struct iovec iov = { .iov_base = ctl.space, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = ctl.space,
			      .msg_controllen = sizeof(ctl.space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int sv[2], got[FD_PASS_MAX];
	size_t n = FD_PASS_MAX;
	char data[8];

	memset(&ctl, 0, sizeof(ctl));
	cr_assert_eq(fd_socketpair(sv, true), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * 253);
	for (size_t i = 0; i < 253; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &sv[0], sizeof(int));
	cr_assert_eq(sendmsg(sv[0], &msg, 0), 1);
	cr_assert_eq(fd_recv(sv[1], data, sizeof(data), got, &n), -EPROTO);
	cr_assert_eq(n, 0);
	fd_closep(&sv[0]);
	fd_closep(&sv[1]);
	cr_assert_eq(fds_open(), before);
}

/* Without free descriptors on the receiving side, a part of them must not pass for the whole. */
Test(base_fd, pass_to_a_full_table)
{
	struct rlimit lim;
	int sv[2], fds[4], got[4];
	size_t n = 4;
	char data[8];

	cr_assert_eq(fd_socketpair(sv, true), 0);
	for (size_t i = 0; i < 4; i++)
		fds[i] = sv[0];
	cr_assert_eq(fd_send(sv[0], "abc", 3, fds, 4), 3);
	int next = fd_dup(sv[0], 0);
	fd_closep(&next);
	next = fd_dup(sv[0], 0);
	int first_free = next;
	fd_closep(&next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
	lim.rlim_cur = (rlim_t)first_free + 2;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
	cr_assert_eq(fd_recv(sv[1], data, sizeof(data), got, &n), -EPROTO);
	cr_assert_eq(n, 0);
	next = fd_dup(sv[0], 0);
	cr_assert_eq(next, first_free); /* what had come is closed again */
}

Test(base_fd, not_a_socket)
{
	int p[2], got[1];
	size_t n = 1;
	char c;

	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(fd_send(p[1], "x", 1, NULL, 0), -ENOTSOCK);
	cr_assert_eq(fd_recv(p[0], &c, 1, got, &n), -ENOTSOCK);
	cr_assert_eq(n, 0);
}

/* No SIGPIPE from fd_send, whatever its disposition. */
Test(base_fd, send_to_nobody)
{
	int sv[2];

	(void)signal(SIGPIPE, SIG_DFL);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	fd_closep(&sv[1]);
	cr_assert_eq(fd_send(sv[0], "x", 1, NULL, 0), -EPIPE);
}

Test(base_fd, close_from)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int a = fd_dup(0, 100), b = fd_dup(0, 1000);
		fd_close_from(101);
		_exit(fcntl(a, F_GETFD) >= 0 && fcntl(b, F_GETFD) < 0 ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
}

Test(fd, a_pair_is_sent_in_order_as_far_as_there_is_room)
{
	static char big[1024 * 1024];
	char got[16];
	int sv[2];
	ssize_t n;

	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(fd_send_pair(sv[0], "head", 4, "body", 4), 8);
	cr_assert_eq(fd_send_pair(sv[0], NULL, 0, "!", 1), 1);
	cr_assert_eq(recv(sv[1], got, sizeof(got), 0), 9);
	cr_assert_eq(memcmp(got, "headbody!", 9), 0);
	n = fd_send_pair(sv[0], "head", 4, big, sizeof(big));
	cr_assert(n > 4 && n < (ssize_t)sizeof(big), "%zd bytes went", n);
	cr_assert_eq(fd_send_pair(sv[0], "head", 4, big, sizeof(big)), -EAGAIN);
	close(sv[1]);
	cr_assert_eq(fd_send_pair(sv[0], "x", 1, NULL, 0), -EPIPE);
	close(sv[0]);
}
