/* SPDX-License-Identifier: Apache-2.0 */
/* rows_peer.c - attacks on other processes, a neighbour's among them. */
#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe/attack.h"

static int trace(const struct scene *s)
{
	return attack_result(ptrace(PTRACE_SEIZE, s->victim, NULL, NULL));
}

static int read_memory(const struct scene *s)
{
	char text[sizeof(CANARY)] = "";
	struct iovec to = { text, sizeof(text) - 1 };
	struct iovec from = { (void *)(uintptr_t)s->victim_canary, sizeof(text) - 1 };

	if (process_vm_readv(s->victim, &to, 1, &from, 1, 0) < 0)
		return -errno;
	return strcmp(text, CANARY) == 0 ? 0 : -ENODATA;
}

static int open_proc(const struct scene *s, const char *file)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)s->victim, file);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int proc_mem(const struct scene *s)
{
	char text[sizeof(CANARY)] = "";
	int fd = open_proc(s, "mem");

	if (fd < 0 || pread(fd, text, sizeof(text) - 1, (off_t)s->victim_canary) < 0)
		return -errno;
	return strcmp(text, CANARY) == 0 ? 0 : -ENODATA;
}

static int proc_environ(const struct scene *s)
{
	char text[16];
	int fd = open_proc(s, "environ");
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	return n > 0 ? 0 : n == 0 ? -ENODATA : -errno;
}

/* A signal that a process ignores unless it asked for it. */
static int send_signal(const struct scene *s)
{
	return attack_result(kill(s->victim, SIGURG));
}

static int steal_fd(const struct scene *s)
{
	int pidfd = (int)syscall(SYS_pidfd_open, s->victim, 0);
	int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, 3, 0);

	return fd < 0 ? -errno : attack_reads_canary(fd);
}

static int sysv_segment(const struct scene *s)
{
	int id = shmget(s->shm_key, sizeof(CANARY), 0);
	const char *p = id < 0 ? (void *)-1 : shmat(id, NULL, SHM_RDONLY);

	if (p == (void *)-1)
		return -errno;
	return strcmp(p, CANARY) == 0 ? 0 : -ENODATA;
}

static int posix_segment(const struct scene *s)
{
	return attack_opens_canary(AT_FDCWD, s->shm);
}

static int abstract_socket(const struct scene *s)
{
	int fd = attack_connect_abstract(s->abstract);

	return fd < 0 ? fd : 0;
}

static int control_socket(const struct scene *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", s->socket);
	return attack_result(connect(fd, (const struct sockaddr *)&a, sizeof(a)));
}

/* An accomplice outside hands over what it has opened. */
static int receive_fd(const struct scene *s)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	int fd = attack_connect_abstract(s->giver), got;
	const struct cmsghdr *c;

	if (fd < 0)
		return fd;
	if (recvmsg(fd, &m, MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&m);
	if (c == NULL || c->cmsg_type != SCM_RIGHTS)
		return -ENODATA;
	memcpy(&got, CMSG_DATA(c), sizeof(got));
	return attack_reads_canary(got);
}

static int add_key(const struct scene *s)
{
	(void)s;
	return attack_result(
		syscall(SYS_add_key, "user", "casemate-attack", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

static int read_key(const struct scene *s)
{
	char text[sizeof(CANARY)] = "";

	if (syscall(SYS_keyctl, KEYCTL_READ, s->key, text, sizeof(text) - 1) < 0)
		return -errno;
	return strcmp(text, CANARY) == 0 ? 0 : -ENODATA;
}

const struct attack attacks_peer[] = {
	{ "V23", "ptrace a neighbour", trace, ATTACK_ANYWHERE },
	{ "V24", "process_vm_readv of a neighbour", read_memory, ATTACK_ANYWHERE },
	{ "V25", "/proc/N/mem of a neighbour", proc_mem, ATTACK_ANYWHERE },
	{ "V26", "/proc/N/environ of a neighbour", proc_environ, ATTACK_ANYWHERE },
	{ "V27", "send a signal to a neighbour", send_signal, ATTACK_ANYWHERE },
	{ "V29", "pidfd_getfd from a neighbour", steal_fd, 0 },
	{ "V30", "System V memory of a neighbour", sysv_segment, 0 },
	{ "V31", "/dev/shm of a neighbour", posix_segment, 0 },
	{ "V32", "an abstract socket of the host", abstract_socket, 0 },
	{ "V33", "a control socket of the host", control_socket, 0 },
	{ "V48", "add_key", add_key, ATTACK_NEEDS_X | ATTACK_ANYWHERE },
	{ "V68", "receive a descriptor from an accomplice", receive_fd, 0 },
	{ "V79", "read a key of the host's session", read_key, 0 },
	{ NULL, NULL, NULL, 0 },
};
