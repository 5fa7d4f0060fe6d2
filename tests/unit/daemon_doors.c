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
static char answer[4096]; /* the last */

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

/* The answer to a request, whole, once somebody serves path: its status. */
static unsigned ask(const char *path, const char *line, const char *fields, const char *body)
{
	const struct timespec moment = { .tv_nsec = 10000000 };
	char text[1024];
	uint64_t code;
	size_t got = 0;
	ssize_t n;
	int fd = -1;

	for (int i = 0; i < 2000 && fd < 0; i++) {
		fd = try_connect(path);
		if (fd < 0)
			nanosleep(&moment, NULL);
	}
	cr_assert_geq(fd, 0, "nobody serves %s", path);
	n = snprintf(text, sizeof(text),
		     "%s HTTP/1.1\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", line,
		     fields, strlen(body), body);
	cr_assert_eq(write(fd, text, (size_t)n), n);
	while (got < sizeof(answer) - 1 &&
	       (n = read(fd, answer + got, sizeof(answer) - 1 - got)) > 0)
		got += (size_t)n;
	close(fd);
	answer[got] = '\0';
	cr_assert_geq(got, 12, "%s", path);
	snprintf(text, sizeof(text), "%.3s", answer + 9);
	cr_assert_eq(parse_u64(text, 100, 599, &code), 0, "%s", answer);
	return (unsigned)code;
}

static unsigned status_of(const char *path, const char *fields)
{
	return ask(path, "GET /v1/sandboxes", fields, "");
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

/* The value of a member of the last answer; good until the next. */
static const char *member(const char *name)
{
	static char value[512];
	char key[32];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\":\"", name);
	at = strstr(answer, key);
	cr_assert_not_null(at, "%s", answer);
	at += strlen(key);
	cr_assert_lt(strcspn(at, "\""), sizeof(value));
	memcpy(value, at, strcspn(at, "\""));
	value[strcspn(at, "\"")] = '\0';
	return value;
}

/* A client behind a TLS proxy is told to send its archives by https, and another by http. */
Test(doors, scheme_of_urls, .init = set_up, .fini = tear_down, .timeout = 60)
{
	static const char hash[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char *const ends[] = { "", "-wal", "-shm" };
	char fields[128], line[160], state[64], file[80];
	const char *const more[] = { "--listen", listen_net, "--state", state, NULL };

	snprintf(state, sizeof(state), "%s/state/state.db", dir);
	pid_t pid = start(more, NULL, 0, NULL);
	cr_assert_eq(ask(sock, "POST /v1/keys", "Host: x\r\n", "{\"tenant\":\"alice\"}"), 201, "%s",
		     answer);
	snprintf(fields, sizeof(fields), "Host: localhost:8443\r\nX-API-Key: %.80s\r\n",
		 member("key"));
	cr_assert_eq(ask(net, "POST /v3/templates", fields, "{\"name\":\"app\"}"), 202, "%s",
		     answer);
	snprintf(line, sizeof(line), "GET /templates/%.32s/files/%s", member("templateID"), hash);
	cr_assert_eq(ask(net, line, fields, ""), 201, "%s", answer);
	cr_expect_eq(strncmp(member("url"), "https://localhost:8443/templates/", 33), 0, "%s",
		     answer);
	cr_assert_eq(ask(sock, line, fields, ""), 201, "%s", answer);
	cr_expect_eq(strncmp(member("url"), "http://localhost:8443/templates/", 32), 0, "%s",
		     answer);
	stop(pid);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(file, sizeof(file), "%s%s", state, ends[i]);
		(void)unlink(file);
	}
	*strrchr(state, '/') = '\0';
	cr_assert_eq(rmdir(state), 0);
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
