/* SPDX-License-Identifier: Apache-2.0 */
/* The real casemated, with no jailer to talk to, and the real casemate against it. */
#include <criterion/criterion.h>
#include <errno.h>
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

#include "base/fd.h"

static char dir[] = "/tmp/casemate-serve.XXXXXX";
static char sock[64], jailer[64], state[64];
static pid_t daemon_pid;

static void exec_daemon(void)
{
	int null = open("/dev/null", O_RDWR);

	(void)dup2(null, 1);
	(void)dup2(null, 2);
	if (geteuid() == 0)
		execl(DAEMON_BINARY, "casemated", "--state", state, "--socket", sock, "--jailer",
		      jailer, "--cors-origin", "https://good.example", "--cors-origin",
		      "http://[::1]:8080", "--user", "nobody", (char *)NULL);
	else
		execl(DAEMON_BINARY, "casemated", "--state", state, "--socket", sock, "--jailer",
		      jailer, "--cors-origin", "https://good.example", "--cors-origin",
		      "http://[::1]:8080", (char *)NULL);
	_exit(127);
}

static int open_conn(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, sock, sizeof(sock));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static void sleep_ms(long ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static void start_daemon(void)
{
	daemon_pid = fork();
	if (daemon_pid == 0)
		exec_daemon();
	for (int i = 0; i < 500; i++) {
		int fd = open_conn();
		if (fd >= 0) {
			close(fd);
			return;
		}
		sleep_ms(10);
	}
	cr_assert_fail("the daemon does not listen");
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0777), 0);
	snprintf(sock, sizeof(sock), "%s/d.sock", dir);
	snprintf(state, sizeof(state), "%s/state/state.db", dir);
	snprintf(jailer, sizeof(jailer), "%s/none.sock", dir);
	start_daemon();
}

static void stop_daemon(int signo, int want)
{
	int status;

	cr_assert_eq(kill(daemon_pid, signo), 0);
	cr_assert_eq(waitpid(daemon_pid, &status, 0), daemon_pid);
	if (WIFEXITED(status))
		cr_assert_eq(WEXITSTATUS(status), want);
	else
		cr_assert_eq(WTERMSIG(status), signo == SIGKILL ? SIGKILL : 0);
}

static void clean_up(void)
{
	static const char *const ends[] = { "", "-wal", "-journal" };
	char name[80];

	unlink(sock);
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", state, ends[i]);
		unlink(name);
	}
	*strrchr(name, '/') = '\0';
	cr_assert_eq(rmdir(name), 0, "something was left in %s", name);
	cr_assert_eq(rmdir(dir), 0, "something was left in %s", dir);
}

static void tear_down(void)
{
	stop_daemon(SIGTERM, 0);
	clean_up();
}

/* Sends raw bytes, reads until the answer's end (or the connection's), returns the answer. */
static const char *ask(const char *request, size_t len)
{
	static char answer[65536];
	size_t got = 0;
	int fd = open_conn();

	cr_assert_geq(fd, 0);
	cr_assert_eq(send(fd, request, len, MSG_NOSIGNAL), (ssize_t)len);
	(void)shutdown(fd, SHUT_WR);
	while (got < sizeof(answer) - 1) {
		ssize_t n = recv(fd, answer + got, sizeof(answer) - 1 - got, 0);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	answer[got] = '\0';
	close(fd);
	return answer;
}

static void expect(const char *request, const char *status, const char *part)
{
	const char *a = ask(request, strlen(request));

	cr_assert_eq(strncmp(a, "HTTP/1.1 ", 9), 0, "%s: \"%s\"", request, a);
	cr_assert_eq(strncmp(a + 9, status, 3), 0, "%s: \"%s\"", request, a);
	cr_assert_not_null(strstr(a, part), "%s: \"%s\"", request, a);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST(path, body, len) \
	"POST " path " HTTP/1.1\r\nHost: x\r\nContent-Length: " len "\r\n\r\n" body

Test(serve, resources, .init = set_up, .fini = tear_down, .timeout = 60)
{
	expect(GET("/v1/sandboxes"), "200", "{\"sandboxes\":[]}");
	expect(GET("/v1/status"), "200", "\"reachable\":false");
	expect(GET("/v1/status?checks=true"), "200", "\"code\":\"kvm\"");
	expect(GET("/nothing"), "404", "\"code\":404,\"error\":\"not_found\"");
	expect(GET("/v1/sandboxes/../../etc/passwd"), "404", "not_found");
	expect(GET("/v1/sandboxes/iaaaaaaaaaaaaaaaaaaa"), "404", "no such sandbox");
	expect(GET("/v1/sandboxes/iaaaaaaaaaaaaaaaaaaa/logs"), "404", "no such sandbox");
	expect(GET("/v1/sandboxes/iaaaaaaaaaaaaaaaaaaa/metrics"), "404", "no such sandbox");
	expect(GET("/v1/sandboxes/iaaaaaaaaaaaaaaaaaaa/agent"), "404", "no such sandbox");
	expect("DELETE /v1/sandboxes HTTP/1.1\r\nHost: x\r\n\r\n", "405", "method_not_allowed");
	expect(POST("/v1/sandboxes", "{\"vcpus\":99}", "12"), "400", "vcpus");
	/* The jailer is away: said at once, not after a wait. */
	expect(POST("/v1/sandboxes", "{}", "2"), "503", "cannot connect to");
}

/* Bad and oversized input: an answer or a closed connection, and the daemon lives on. */
Test(serve, hostile_clients, .init = set_up, .fini = tear_down, .timeout = 60)
{
	static char big[200000];
	int n;

	n = snprintf(big, sizeof(big),
		     "POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
	memset(big + n, ' ', 100000);
	cr_assert_not_null(strstr(ask(big, (size_t)n + 100000), " 413 "));
	n = snprintf(big, sizeof(big), "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ");
	memset(big + n, 'a', 100000);
	(void)strstr(ask(big, (size_t)n + 100000), "200");
	(void)ask("\0\0\0\0", 4);
	(void)ask("GET / HTTP/9.9\r\n\r\n", 18);
	(void)ask("POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 61);
	/* Clients that connect and say nothing. */
	int idle[50];
	for (size_t i = 0; i < 50; i++)
		idle[i] = open_conn();
	expect(GET("/v1/sandboxes"), "200", "[]");
	for (size_t i = 0; i < 50; i++)
		close(idle[i]);
	expect(GET("/v1/sandboxes"), "200", "[]");
}

static void read_status(const char *field, char *value, size_t cap)
{
	char path[64], text[8192];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)daemon_pid);
	cr_assert_gt(fd_read_file(AT_FDCWD, path, text, sizeof(text)), 0);
	const char *p = strstr(text, field);
	cr_assert_not_null(p);
	p += strlen(field);
	p += strspn(p, ":\t ");
	size_t len = strcspn(p, "\n");
	cr_assert_lt(len, cap);
	memcpy(value, p, len);
	value[len] = '\0';
}

Test(serve, has_no_privilege, .init = set_up, .fini = tear_down, .timeout = 60)
{
	static const char *const caps[] = { "CapInh", "CapPrm", "CapEff", "CapAmb" };
	char value[128];
	struct stat st;

	for (size_t i = 0; i < 4; i++) {
		read_status(caps[i], value, sizeof(value));
		cr_assert_str_eq(value, "0000000000000000", "%s %s", caps[i], value);
	}
	read_status("NoNewPrivs", value, sizeof(value));
	cr_assert_str_eq(value, "1");
#ifndef CASEMATE_NO_FILTERS
	read_status("\nSeccomp", value, sizeof(value));
	cr_assert_str_eq(value, "2");
#endif
	read_status("\nUid", value, sizeof(value));
	cr_assert_neq(value[0], '0');
	if (geteuid() == 0) {
		read_status("CapBnd", value, sizeof(value));
		cr_assert_str_eq(value, "0000000000000000");
	}
	cr_assert_eq(stat(sock, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0660);
}

/* A second daemon doesn't take the socket of a living one; a dead one's is replaced. */
Test(serve, socket_of_another, .init = set_up, .timeout = 60)
{
	const pid_t first = daemon_pid;
	int status;
	pid_t second = fork();

	if (second == 0)
		exec_daemon();
	cr_assert_eq(waitpid(second, &status, 0), second);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	daemon_pid = first;
	expect(GET("/v1/sandboxes"), "200", "[]");
	stop_daemon(SIGKILL, 0);
	start_daemon();
	expect(GET("/v1/sandboxes"), "200", "[]");
	tear_down();
}

#define FROM(method, origin, more)                      \
	method " /v1/sandboxes HTTP/1.1\r\nHost: x\r\n" \
	       "Origin: " origin "\r\n" more "\r\n"
#define PREFLIGHT "Access-Control-Request-Method: POST\r\n"
#define ALLOW	  "Access-Control-Allow-Origin: "

static void expect_closed(const char *request, const char *status)
{
	const char *a = ask(request, strlen(request));

	cr_assert(strncmp(a + 9, status, 3) == 0, "%s: %s", request, a);
	cr_assert_null(strcasestr(a, "Access-Control-"), "%s: %s", request, a);
}

Test(serve, web_pages, .init = set_up, .fini = tear_down, .timeout = 60)
{
	expect(FROM("GET", "https://good.example", ""), "200", ALLOW "https://good.example\r\n");
	expect(FROM("GET", "http://[::1]:8080", ""), "200", ALLOW "http://[::1]:8080\r\n");
	expect(FROM("GET", "https://good.example", ""), "200", "Vary: Origin\r\n");
	expect(GET("/v1/sandboxes"), "200", "Vary: Origin\r\n");
	expect(FROM("OPTIONS", "https://good.example", PREFLIGHT), "204",
	       ALLOW "https://good.example\r\n");
	expect(FROM("OPTIONS", "https://good.example", PREFLIGHT), "204",
	       "Access-Control-Allow-Methods: ");
	/* No preflight: a method that the resource hasn't. */
	expect(FROM("OPTIONS", "https://good.example", ""), "405", ALLOW);
	/* An error is for the page to read, too. */
	expect(FROM("DELETE", "https://good.example", ""), "405", ALLOW);

	static const char *const hostile[] = {
		FROM("OPTIONS", "https://evil.example", PREFLIGHT),
		FROM("OPTIONS", "null", PREFLIGHT),
		FROM("OPTIONS", "*", PREFLIGHT),
		FROM("OPTIONS", "", PREFLIGHT),
		FROM("OPTIONS", "http://good.example", PREFLIGHT),
		FROM("OPTIONS", "https://good.example:8443", PREFLIGHT),
		FROM("OPTIONS", "https://good.example.evil.example", PREFLIGHT),
		FROM("OPTIONS", "https://evil.good.example", PREFLIGHT),
		FROM("OPTIONS", "https://good.exampl", PREFLIGHT),
		FROM("OPTIONS", "https://good.example/", PREFLIGHT),
		FROM("OPTIONS", "HTTPS://GOOD.EXAMPLE", PREFLIGHT),
		FROM("OPTIONS", "https://evil.example, https://good.example", PREFLIGHT),
	};
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
		expect_closed(hostile[i], "403");
	expect_closed(FROM("GET", "https://evil.example", ""), "200");
}

/* What a service manager does: fd becomes 3, and the environment tells of `count` descriptors. */
static pid_t start_with(int fd, const char *count, bool for_another)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	char text[16];
	snprintf(text, sizeof(text), "%d", for_another ? 1 : (int)getpid());
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", count, 1);
	if (fd == 3 ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, 3) < 0)
		_exit(126);
	exec_daemon();
	_exit(127);
}

static int bound_socket(int domain, int type, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(domain, type | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, path, strlen(path));
	if (domain == AF_UNIX)
		cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

Test(serve, socket_of_a_service_manager, .init = set_up, .timeout = 60)
{
	struct stat before, after;
	int fd;

	stop_daemon(SIGTERM, 0);
	unlink(sock);
	fd = bound_socket(AF_UNIX, SOCK_STREAM, sock);
	cr_assert_eq(listen(fd, 8), 0);
	cr_assert_eq(stat(sock, &before), 0);
	for (int i = 0; i < 2; i++) {
		/* The second connects before its daemon is there. */
		int early = open_conn();
		cr_assert_geq(early, 0);
		daemon_pid = start_with(fd, "1", false);
		expect(GET("/v1/sandboxes"), "200", "[]");
		close(early);
		stop_daemon(SIGTERM, 0);
		/* It is the manager's: still there, and the same. */
		cr_assert_eq(stat(sock, &after), 0);
		cr_assert_eq(before.st_ino, after.st_ino);
	}
	close(fd);
	/* What is meant for another process is none: it makes its own. */
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	daemon_pid = start_with(fd, "1", true);
	for (int i = 0, c = -1; i < 500 && c < 0; i++) {
		sleep_ms(10);
		c = open_conn();
		if (c >= 0)
			close(c);
	}
	expect(GET("/v1/sandboxes"), "200", "[]");
	close(fd);
	tear_down();
}

Test(serve, what_is_no_socket_to_serve, .init = set_up, .timeout = 60)
{
	char path[80];
	const int fds[] = { open("/dev/null", O_RDWR | O_CLOEXEC),
			    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), /* doesn't listen */
			    (snprintf(path, sizeof(path), "%s/gram", dir),
			     bound_socket(AF_UNIX, SOCK_DGRAM, path)) };
	int status;

	stop_daemon(SIGTERM, 0);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]) + 1; i++) {
		const bool two = i == sizeof(fds) / sizeof(fds[0]);
		pid_t pid = start_with(fds[two ? 0 : i], two ? "2" : "1", false);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "descriptor %zu", i);
	}
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	unlink(path);
	start_daemon();
	tear_down();
}

/* Runs casemate; its output goes to text. */
static int run_cli(char *text, size_t cap, const char *const *args)
{
	const char *argv[16] = { "casemate", "--socket", sock };
	size_t n = 3, got = 0;
	int p[2], status;
	pid_t pid;

	while (*args != NULL)
		argv[n++] = *args++;
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(p[1], 1);
		(void)dup2(p[1], 2);
		execv(CLI_BINARY, (char **)argv);
		_exit(99);
	}
	close(p[1]);
	for (ssize_t r = 1; r > 0 && got<cap - 1; got += r> 0 ? (size_t)r : 0)
		r = read(p[0], text + got, cap - 1 - got);
	text[got] = '\0';
	close(p[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_cli(int status, const char *part, const char *const *args)
{
	static char text[65536];
	int got = run_cli(text, sizeof(text), args);

	cr_assert_eq(got, status, "%s: %d \"%s\"", args[0], got, text);
	cr_assert_not_null(strstr(text, part), "%s: \"%s\"", args[0], text);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

Test(serve, command_line, .init = set_up, .fini = tear_down, .timeout = 60)
{
	expect_cli(0, "ID ", ARGS("ps"));
	expect_cli(0, "{\"sandboxes\":[]}", ARGS("ps", "--json"));
	expect_cli(125, "casemate: jailer: cannot connect", ARGS("run", "--", "true"));
	expect_cli(125, "casemate: jailer: cannot connect", ARGS("create"));
	expect_cli(125, "more than this host has", ARGS("run", "--memory", "60T", "--", "true"));
	expect_cli(125, "no such sandbox", ARGS("rm", "iaaaaaaaaaaaaaaaaaaa"));
	expect_cli(125, "no such sandbox", ARGS("logs", "iaaaaaaaaaaaaaaaaaaa"));
	expect_cli(125, "no such sandbox", ARGS("metrics", "iaaaaaaaaaaaaaaaaaaa"));
	expect_cli(125, "no such sandbox", ARGS("exec", "iaaaaaaaaaaaaaaaaaaa", "--", "true"));
	expect_cli(1, "F   jailer", ARGS("doctor"));
	expect_cli(1, "\"code\":\"kvm\"", ARGS("doctor", "--json"));
	expect_cli(125, "--bogus", ARGS("run", "--bogus", "--", "true"));
	expect_cli(125, "no command", ARGS("run"));
	expect_cli(125, "unknown verb", ARGS("frobnicate"));
	expect_cli(0, "ID ", ARGS("key", "list"));
	expect_cli(0, "e2b_", ARGS("key", "create", "--tenant", "alice", "--max-memory", "2G"));
	expect_cli(0, "alice", ARGS("key", "list"));
	expect_cli(125, "a name is", ARGS("key", "create", "--tenant", "No One"));
	expect_cli(125, "--max-vcpus: \"x\" is not from",
		   ARGS("key", "create", "--max-vcpus", "x"));
	expect_cli(125, "no such key", ARGS("key", "revoke", "abcdef"));
	expect_cli(125, "not the id", ARGS("key", "revoke", "../x"));
	expect_cli(125, "key --help", ARGS("key"));
	expect_cli(0, "Usage", ARGS("help"));
	expect_cli(0, "--memory", ARGS("run", "--help"));
}

Test(serve, unreachable_daemon, .timeout = 60)
{
	snprintf(sock, sizeof(sock), "/nonexistent/casemated.sock");
	expect_cli(
		125,
		"casemate: daemon: cannot connect to /nonexistent/casemated.sock: No such file or "
		"directory; start casemated or pass --socket\n",
		ARGS("run", "--", "true"));
	expect_cli(125, "start casemated", ARGS("ps"));
	expect_cli(1, "F   daemon", ARGS("doctor"));
}
