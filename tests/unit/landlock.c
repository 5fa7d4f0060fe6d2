/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock's deny-all: what it denies works before and fails after, in a child of each test. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/landlock.h"

static pid_t victim;
static struct sockaddr_un name; /* of an abstract socket */
static socklen_t name_len;
static char path[64]; /* of a file of ours */

static int try_open_read(void)
{
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : close(fd);
}

static int try_create(void)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : close(fd);
}

static int try_bind(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = bind(s, (const struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;

	close(s);
	return r;
}

static int try_abstract(void)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = connect(s, (const struct sockaddr *)&name, name_len) < 0 ? -errno : 0;

	close(s);
	return r;
}

static int try_signal(void)
{
	return kill(victim, 0) < 0 ? -errno : 0;
}

static int try_own_signal(void)
{
	return kill(getpid(), 0) < 0 ? -errno : 0;
}

static const struct {
	const char *what;
	int (*attempt)(void);
	int abi; /* denied from here on; 0: never */
	int err;
} attempts[] = {
	{ "read a file", try_open_read, 1, -EACCES },
	{ "create a file", try_create, 1, -EACCES },
	{ "bind a TCP port", try_bind, 4, -EACCES },
	{ "connect to an abstract socket", try_abstract, 6, -EPERM },
	{ "signal another process", try_signal, 6, -EPERM },
	{ "signal itself", try_own_signal, 0, 0 },
};

static int listen_abstract(void)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	name.sun_family = AF_UNIX;
	(void)snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "casemate-test-%d",
		       (int)getpid());
	name_len =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name.sun_path + 1));
	cr_assert_eq(bind(s, (const struct sockaddr *)&name, name_len), 0);
	cr_assert_eq(listen(s, 16), 0);
	return s;
}

/* In a child: 100 = as it should be, 101 = no Landlock here, else the number of the attempt. */
static int child(int pipe_fd)
{
	char byte = 0;
	int abi = -1;

	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		if (attempts[i].attempt() != 0)
			return (int)i;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_deny_all(&abi) < 0)
		return 102;
	if (abi == 0)
		return 101;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		bool denied = attempts[i].abi != 0 && abi >= attempts[i].abi;
		if (attempts[i].attempt() != (denied ? attempts[i].err : 0))
			return 50 + (int)i;
	}
	/* What is open stays usable. */
	return write(pipe_fd, &byte, 1) == 1 ? 100 : 103;
}

Test(landlock, denies_what_it_denies)
{
	int listener = listen_abstract();
	int ends[2], status;
	char byte;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "/tmp/casemate-landlock.%d", (int)getpid());
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	victim = getpid();
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0)
		_exit(child(ends[1]));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	(void)unlink(path);
	close(listener);
	cr_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == 101)
		cr_skip_test("this kernel has no Landlock");
	cr_assert_eq(WEXITSTATUS(status), 100, "code %d", WEXITSTATUS(status));
	cr_assert_eq(read(ends[0], &byte, 1), 1);
}

/* Without no_new_privs the kernel refuses: that must be told. */
Test(landlock, a_refusal_is_an_error)
{
	int abi = -1, r, status;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		/* Root's CAP_SYS_ADMIN would do instead. */
		if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		r = landlock_deny_all(&abi);
		_exit((r == -EPERM && abi == -1) || (r == 0 && abi == 0) ? 0 : 2);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}
