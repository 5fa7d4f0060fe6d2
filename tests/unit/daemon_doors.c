/* SPDX-License-Identifier: Apache-2.0 */
/* The real casemated's unix sockets: whose requests need a key at which, and who made them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

static char dir[] = "/tmp/casemate-doors.XXXXXX";
static char sock[64], net[64], jailer[64], listen_net[72];
static pid_t running;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0777), 0);
	snprintf(sock, sizeof(sock), "%s/local", dir);
	snprintf(net, sizeof(net), "%s/net", dir);
	snprintf(jailer, sizeof(jailer), "%s/none", dir);
	snprintf(listen_net, sizeof(listen_net), "unix:%s", net);
}

static void tear_down(void)
{
	if (running > 0) { /* a test has failed */
		(void)kill(running, SIGKILL);
		(void)waitpid(running, NULL, 0);
	}
	(void)unlink(sock);
	(void)unlink(net);
	cr_assert_eq(rmdir(dir), 0, "something was left in %s", dir);
}

/* casemated with more arguments, and fds as its descriptors from 3 on, named so. */
static pid_t start(const char *const *more, const int *fds, size_t n, const char *names)
{
	const char *argv[16] = { "casemated", "--state",  "none", "--socket",
				 sock,	      "--jailer", jailer };
	size_t argc = 7;
	pid_t pid = fork();
	char text[32];

	if (pid != 0) {
		running = pid;
		return pid;
	}
	if (geteuid() == 0) {
		argv[argc++] = "--user";
		argv[argc++] = "nobody";
	}
	for (; more != NULL && *more != NULL; more++)
		argv[argc++] = *more;
	for (size_t i = 0; i < n; i++)
		if (fcntl(fds[i], F_DUPFD, 20) != 20 + (int)i)
			_exit(125);
	for (size_t i = 0; i < n; i++)
		if (dup2(20 + (int)i, 3 + (int)i) < 0)
			_exit(126);
	if (n > 0) {
		snprintf(text, sizeof(text), "%d", (int)getpid());
		setenv("LISTEN_PID", text, 1);
		snprintf(text, sizeof(text), "%zu", n);
		setenv("LISTEN_FDS", text, 1);
		if (names != NULL)
			setenv("LISTEN_FDNAMES", names, 1);
	}
	(void)dup2(open("/dev/null", O_RDWR), 2);
	execv(DAEMON_BINARY, (char *const *)argv);
	_exit(127);
}

static void stop(pid_t pid)
{
	int status;

	cr_assert_eq(kill(pid, SIGTERM), 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	running = 0;
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
}

static int try_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, path, strlen(path));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The status that is answered to a request with these fields, once somebody serves path. */
static unsigned status_of(const char *path, const char *fields)
{
	const struct timespec moment = { .tv_nsec = 10000000 };
	char text[512];
	size_t got = 0;
	uint64_t code;
	ssize_t n;
	int fd = -1;

	for (int i = 0; i < 2000 && fd < 0; i++) {
		fd = try_connect(path);
		if (fd < 0)
			nanosleep(&moment, NULL);
	}
	cr_assert_geq(fd, 0, "nobody serves %s", path);
	n = snprintf(text, sizeof(text),
		     "GET /v1/sandboxes HTTP/1.1\r\nConnection: close\r\n%s\r\n", fields);
	cr_assert_eq(write(fd, text, (size_t)n), n);
	while (got < 12 && (n = read(fd, text + got, sizeof(text) - 1 - got)) > 0)
		got += (size_t)n;
	close(fd);
	cr_assert_geq(got, 12, "%s", path);
	text[12] = '\0';
	cr_assert_eq(parse_u64(text + 9, 100, 599, &code), 0, "%s", text);
	return (unsigned)code;
}

/* A request without a key is the operator's at the one door and nobody's at the other. */
static void expect_doors(void)
{
	cr_assert_eq(status_of(sock, "Host: evil.example\r\n"), 200);
	cr_assert_eq(status_of(net, "Host: localhost\r\n"), 401);
	cr_assert_eq(status_of(net, "Host: localhost\r\nX-API-Key: cm_0\r\n"), 401);
	cr_assert_eq(status_of(net, "Host: evil.example\r\n"), 421);
	cr_assert_eq(status_of(net, "Host: localhost.evil.example\r\n"), 421);
}

Test(doors, listen_unix, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const char *const more[] = { "--listen", listen_net, NULL };
	struct stat st;
	pid_t pid = start(more, NULL, 0, NULL);

	expect_doors();
	cr_assert_eq(stat(sock, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0660);
	cr_assert_eq(stat(net, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0666);
	stop(pid);
	cr_assert_neq(access(sock, F_OK), 0);
	cr_assert_neq(access(net, F_OK), 0, "it was ours");
}

static int listening(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, path, strlen(path));
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	cr_assert_eq(listen(fd, 8), 0);
	return fd;
}

Test(doors, passed, .init = set_up, .fini = tear_down, .timeout = 60)
{
	int fds[2] = { listening(net), listening(sock) };
	pid_t pid = start(NULL, fds, 2, "net:casemated.socket");

	expect_doors();
	stop(pid);
	cr_assert_eq(access(net, F_OK), 0, "it was the manager's");
	/* The one alone: the other is made. */
	close(fds[1]);
	pid = start(NULL, fds, 1, "net");
	expect_doors();
	stop(pid);
	close(fds[0]);
}

/* A wrong guess would make everybody the operator. */
Test(doors, passed_unknown, .init = set_up, .fini = tear_down, .timeout = 60)
{
	static const char *const names[] = { NULL,    "",
					     "net",   "net:net",
					     "net:x", "casemated.socket:casemated.socket",
					     ":net",  "casemated.socket:nett" };
	int fds[2] = { listening(net), listening(sock) };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int status;
		pid_t pid = start(NULL, fds, 2, names[i]);

		cr_assert_eq(waitpid(pid, &status, 0), pid);
		running = 0;
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%s: %x", names[i],
			  status);
	}
	close(fds[0]);
	close(fds[1]);
}

Test(doors, too_many, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const char *const more[] = { "--listen", listen_net, "--listen", listen_net,
				     "--listen", listen_net, NULL };
	int status;
	pid_t pid = start(more, NULL, 0, NULL);

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%x", status);
}
