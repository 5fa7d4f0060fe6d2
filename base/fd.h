/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fd.h - ownership of file descriptors, whole reads and writes, and passing fds over unix sockets.
 *
 * A variable that owns a descriptor is declared `CLEANUP(fd_closep) int fd = -1;` and handed on
 * with `return fd_steal(&fd);`. Everything is close-on-exec from birth. Any thread.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

#define FD_PASS_MAX 16 /* descriptors in one message */

/* Closes *fd if it is >= 0 and sets it to -1. Never retried on EINTR: Linux has released it. */
void fd_closep(int *fd);

/* Gives *fd up: returns it and leaves -1. */
int fd_steal(int *fd);

/* Duplicate, close-on-exec, lowest number >= min: the new fd or -errno. */
MUST_USE int fd_dup(int fd, int min);
/* fd itself where its number is min or more; else such a duplicate (-errno: none), and fd is
 * closed in any case. */
MUST_USE int fd_lift(int fd, int min);

MUST_USE int fd_set_nonblock(int fd, bool on);

/* All len bytes (blocking fd; EINTR retried): 0 or -errno. fd_read_full: -EPIPE on early end.
 * fd_write_full on a pipe or socket without a reader raises SIGPIPE unless it is ignored. */
MUST_USE int fd_write_full(int fd, const void *data, size_t len);
MUST_USE int fd_read_full(int fd, void *data, size_t len);

/* The same at an offset, which only files have; the descriptor's own is neither used nor moved.
 * -EIO: the file ends before (read), or takes nothing more (write). */
MUST_USE int fd_pread_full(int fd, void *data, size_t len, uint64_t at);
MUST_USE int fd_pwrite_full(int fd, const void *data, size_t len, uint64_t at);

/* A whole small file into buf as a string (NUL added): length or -errno; -EFBIG if >= cap. */
MUST_USE ssize_t fd_read_file(int dirfd, const char *path, char *buf, size_t cap);

/* A socketpair (AF_UNIX, SOCK_STREAM, close-on-exec): sv[0], sv[1]. */
MUST_USE int fd_socketpair(int sv[2], bool nonblock);

/*
 * sendmsg/recvmsg of bytes with up to FD_PASS_MAX descriptors, one call, no retry except EINTR.
 * Return bytes moved (>= 0, 0 = end of file on receive) or -errno.
 * fd_recv: *nfds in = capacity of fds, out = received (close-on-exec, owned by the caller).
 * More descriptors than the capacity, or truncated control data (also for want of free
 * descriptors here): everything received is closed and -EPROTO returned.
 */
MUST_USE ssize_t fd_send(int sock, const void *data, size_t len, const int *fds, size_t nfds);
MUST_USE ssize_t fd_recv(int sock, void *data, size_t len, int *fds, size_t *nfds);

/* Closes every descriptor >= first; aborts when the kernel can't (before 5.9). */
void fd_close_from(unsigned first);

/* One send of a and then b, as far as the socket takes them now: how many bytes, or -errno;
 * -EAGAIN: none. A length of 0 leaves its pointer unread. */
MUST_USE ssize_t fd_send_pair(int fd, const void *a, size_t a_len, const void *b, size_t b_len);

#endif
