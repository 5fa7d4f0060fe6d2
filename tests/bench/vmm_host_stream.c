/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/vmm_host.h"
#include "tests/bench/vmm_machine.h"

#define STREAM_PORT 1024U
#define CHUNK	    (256U * 1024U)

enum { OP_ECHO = 1, OP_SINK, OP_SOURCE };

static uint8_t chunk[CHUNK];

/* Reads and drops, or sends back, len bytes. */
static int take(int fd, uint64_t len, bool echo)
{
	while (len > 0) {
		ssize_t n = read(fd, chunk, MIN(len, sizeof(chunk)));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		if (echo && fd_write_full(fd, chunk, (size_t)n) < 0)
			return -EPIPE;
		len -= (uint64_t)n;
	}
	return 0;
}

static int give(int fd, uint64_t len)
{
	int r = 0;

	for (; len > 0 && r == 0; len -= MIN(len, sizeof(chunk)))
		r = fd_write_full(fd, chunk, MIN(len, sizeof(chunk)));
	return r;
}

static void serve(int fd)
{
	uint32_t cmd[2];
	int r;

	while (fd_read_full(fd, cmd, sizeof(cmd)) == 0) {
		if (cmd[0] == OP_ECHO) {
			r = take(fd, cmd[1], true);
		} else if (cmd[0] == OP_SINK) {
			r = take(fd, cmd[1], false);
			if (r == 0)
				r = fd_write_full(fd, "", 1);
		} else {
			r = cmd[0] == OP_SOURCE ? give(fd, cmd[1]) : -EPROTO;
		}
		if (r < 0)
			return;
	}
}

pid_t host_stream(int fd, bool listening)
{
	pid_t pid = fork();

	if (pid < 0)
		bench_die("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (listening)
			fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		serve(fd);
		_exit(0);
	}
	fd_closep(&fd);
	return pid;
}

void host_end(pid_t pid)
{
	if (pid <= 0)
		return;
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0)
		if (errno != EINTR)
			bench_die("waitpid");
}

int host_vsock_listen(void)
{
	const struct sockaddr_vm addr = { .svm_family = AF_VSOCK,
					  .svm_port = STREAM_PORT,
					  .svm_cid = VMADDR_CID_ANY };
	CLEANUP(fd_closep) int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || access("/dev/vhost-vsock", R_OK | W_OK) != 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0)
		return -1;
	return fd_steal(&fd);
}
