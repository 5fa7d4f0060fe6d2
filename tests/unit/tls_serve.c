/* SPDX-License-Identifier: Apache-2.0 */
/* The real casemate-tls between clients of OpenSSL's and a unix socket of the test's own. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
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

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define BULK (1U << 20)

static char dir[] = "/tmp/casemate-tlsd.XXXXXX";
static char to[64], state[64];
static struct sockaddr_in door = { .sin_family = AF_INET };
static int daemon_fd = -1, door_fd = -1;
static pid_t pid;

/* Port 0, and the program gets the socket: no port to guess. */
static int listening_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(door);

	door.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	door.sin_port = 0;
	cr_assert_eq(bind(fd, (struct sockaddr *)&door, sizeof(door)), 0);
	cr_assert_eq(listen(fd, 64), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&door, &len), 0);
	return fd;
}

static int listening_unix(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, to, strlen(to));
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	cr_assert_eq(chmod(to, 0666), 0);
	cr_assert_eq(listen(fd, 64), 0);
	return fd;
}

static void start(const char *const *more)
{
	const char *argv[24] = { "casemate-tls", "--state", state, "--to", to };
	size_t argc = 5;
	char text[16];

	pid = fork();
	if (pid != 0)
		return;
	if (geteuid() == 0) {
		argv[argc++] = "--user";
		argv[argc++] = "nobody";
	}
	for (; more != NULL && *more != NULL; more++)
		argv[argc++] = *more;
	if (dup2(door_fd, 3) < 0 || (door_fd == 3 && fcntl(3, F_SETFD, 0) < 0))
		_exit(126);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", "1", 1);
	(void)dup2(open("/dev/null", O_RDWR), 2);
	execv(TLS_BINARY, (char *const *)argv);
	_exit(127);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0777), 0);
	snprintf(to, sizeof(to), "%s/to", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	daemon_fd = listening_unix();
	door_fd = listening_tcp();
	(void)signal(SIGPIPE, SIG_IGN);
}

static void stop(int want)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	pid = 0;
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == want, "%x", status);
}

static void tear_down(void)
{
	char path[80];

	if (pid > 0) {
		(void)kill(pid, SIGTERM);
		(void)waitpid(pid, NULL, 0);
	}
	close(daemon_fd);
	close(door_fd);
	(void)unlink(to);
	snprintf(path, sizeof(path), "%s/tls.key", state);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/tls.crt", state);
	(void)unlink(path);
	(void)rmdir(state);
	cr_assert_eq(rmdir(dir), 0, "something was left in %s", dir);
}

static int dial(void)
{
	const struct timeval limit = { .tv_sec = 30 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	cr_assert_eq(connect(fd, (struct sockaddr *)&door, sizeof(door)), 0);
	return fd;
}

/* A client; alpn NULL = says nothing. NULL: the handshake failed. */
static SSL *client(int max_version, const char *alpn)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	int fd = dial();

	SSL_CTX_free(ctx);
	SSL_set_security_level(ssl, 0); /* old versions are the server's to refuse */
	cr_assert_eq(SSL_set_max_proto_version(ssl, max_version), 1);
	cr_assert_eq(SSL_set_min_proto_version(ssl, TLS1_VERSION), 1);
	if (alpn != NULL)
		cr_assert_eq(
			SSL_set_alpn_protos(ssl, (const uint8_t *)alpn, (unsigned)strlen(alpn)), 0);
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) == 1)
		return ssl;
	ERR_clear_error();
	close(fd);
	SSL_free(ssl);
	return NULL;
}

static SSL *good_client(void)
{
	SSL *ssl = client(TLS1_3_VERSION, NULL);

	cr_assert_not_null(ssl);
	return ssl;
}

static void hang_up(SSL *ssl)
{
	close(SSL_get_fd(ssl));
	SSL_free(ssl);
}

/* What casemated would have accepted. */
static int accepted(void)
{
	struct pollfd p = { .fd = daemon_fd, .events = POLLIN };
	const struct timeval limit = { .tv_sec = 30 };
	int fd;

	cr_assert_eq(poll(&p, 1, 30000), 1, "nobody connects");
	fd = accept4(daemon_fd, NULL, NULL, SOCK_CLOEXEC);
	cr_assert_geq(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* Is there nothing behind a connection any more: end of file or a reset? */
static bool is_over(int fd)
{
	char c;
	ssize_t n;

	while ((n = recv(fd, &c, 1, 0)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

Test(tls_serve, versions_and_protocols, .init = set_up, .fini = tear_down, .timeout = 60)
{
	static const struct {
		int version;
		const char *alpn;
		bool good;
	} all[] = {
		{ TLS1_3_VERSION, NULL, true },
		{ TLS1_2_VERSION, NULL, true },
		{ TLS1_1_VERSION, NULL, false },
		{ TLS1_VERSION, NULL, false },
		{ TLS1_3_VERSION, "\x08http/1.1", true },
		{ TLS1_3_VERSION, "\x02h2\x08http/1.1", true },
		{ TLS1_3_VERSION, "\x02h2", false },
		{ TLS1_2_VERSION, "\x02h2", false },
	};

	start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		SSL *ssl = client(all[i].version, all[i].alpn);
		const uint8_t *chosen;
		unsigned len;
		char c;

		/* In TLS 1.3 the client is done before the server has looked. */
		if (ssl != NULL && !all[i].good) {
			cr_assert_leq(SSL_read(ssl, &c, 1), 0, "%zu", i);
			hang_up(ssl);
			continue;
		}
		cr_assert_eq(ssl != NULL, all[i].good, "%zu", i);
		if (ssl == NULL)
			continue;
		SSL_get0_alpn_selected(ssl, &chosen, &len);
		cr_assert_eq(len, all[i].alpn == NULL ? 0 : 8, "%zu", i);
		cr_assert_eq(SSL_session_reused(ssl), 0);
		close(accepted());
		hang_up(ssl);
	}
	/* And what is no TLS at all: answered with an alert at most, and never passed on. */
	int fd = dial();
	cr_assert_eq(fd_write_full(fd, "GET / HTTP/1.1\r\n\r\n", 18), 0);
	cr_assert(is_over(fd));
	close(fd);
	struct pollfd p = { .fd = daemon_fd, .events = POLLIN };
	cr_assert_eq(poll(&p, 1, 0), 0,
		     "somebody who has not finished a handshake was let through");
}

/* Both ways at once, more than all the buffers hold. */
Test(tls_serve, bulk, .init = set_up, .fini = tear_down, .timeout = 60)
{
	static uint8_t sent[BULK], got[BULK];
	SSL *ssl;
	int fd;
	pid_t echo;

	start(NULL);
	ssl = good_client();
	fd = accepted();
	echo = fork();
	if (echo == 0) {
		/* Takes all, says all, and closes. */
		if (fd_read_full(fd, got, BULK) < 0 || fd_write_full(fd, got, BULK) < 0)
			_exit(1);
		_exit(0);
	}
	close(fd);
	for (size_t i = 0; i < BULK; i++)
		sent[i] = (uint8_t)(i * 2654435761U >> 13);
	cr_assert_eq(SSL_write(ssl, sent, BULK), BULK);
	for (size_t at = 0; at < BULK;) {
		int n = SSL_read(ssl, got + at, (int)(BULK - at));
		cr_assert_gt(n, 0, "after %zu", at);
		at += (size_t)n;
	}
	cr_assert_arr_eq(got, sent, BULK);
	/* The daemon has closed: TLS says so, and it is no truncation. */
	cr_assert_eq(SSL_read(ssl, got, 1), 0);
	cr_assert_eq(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN);
	hang_up(ssl);
	waitpid(echo, NULL, 0);
}

Test(tls_serve, ends_are_passed_on, .init = set_up, .fini = tear_down, .timeout = 60)
{
	SSL *ssl;
	char text[8];
	int fd;

	start(NULL);
	ssl = good_client();
	fd = accepted();
	/* The client says that it has said all; the daemon still answers. */
	cr_assert_eq(SSL_write(ssl, "ask", 3), 3);
	cr_assert_eq(SSL_shutdown(ssl), 0);
	cr_assert_eq(fd_read_full(fd, text, 3), 0);
	cr_assert_eq(read(fd, text, 1), 0);
	cr_assert_eq(fd_write_full(fd, "answer", 6), 0);
	close(fd);
	cr_assert_eq(SSL_read(ssl, text, sizeof(text)), 6);
	hang_up(ssl);
	/* One that breaks off is gone. */
	ssl = good_client();
	fd = accepted();
	hang_up(ssl);
	cr_assert(is_over(fd));
	close(fd);
	/* Nobody serves there: the client is told by an end, not left alone. */
	close(daemon_fd);
	ssl = good_client();
	cr_assert_leq(SSL_read(ssl, text, 1), 0);
	hang_up(ssl);
}

/* Clients that don't finish their handshakes keep nobody out, and end by time. */
Test(tls_serve, slow_handshakes, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const char *const more[] = { "--connections", "8", "--handshake-timeout", "1s", NULL };
	int slow[32], fd;
	uint64_t before;
	SSL *ssl;

	start(more);
	hang_up(good_client()); /* it serves */
	close(accepted());
	before = now_ms();
	for (size_t i = 0; i < ARRAY_SIZE(slow); i++)
		slow[i] = dial();
	ssl = good_client();
	fd = accepted();
	for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
		cr_assert(is_over(slow[i]));
		close(slow[i]);
	}
	cr_assert_geq(now_ms() - before, 1000, "the last ones' time had not come");
	cr_assert_eq(fd_write_full(fd, "x", 1), 0);
	char c;
	cr_assert_eq(SSL_read(ssl, &c, 1), 1, "who has finished stays");
	hang_up(ssl);
	close(fd);
}

Test(tls_serve, limits, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const char *const more[] = { "--per-source", "3", NULL };
	SSL *three[3];
	int fds[3], fd;

	start(more);
	for (int i = 0; i < 3; i++) {
		three[i] = good_client();
		fds[i] = accepted();
	}
	fd = dial();
	cr_assert(is_over(fd), "the fourth");
	close(fd);
	hang_up(three[0]);
	cr_assert(is_over(fds[0]));
	close(fds[0]);
	three[0] = good_client();
	fds[0] = accepted();
	for (int i = 0; i < 3; i++) {
		hang_up(three[i]);
		close(fds[i]);
	}
}

Test(tls_serve, idle, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const char *const more[] = { "--idle-timeout", "1s", NULL };
	SSL *ssl;
	char c;
	int fd;

	start(more);
	ssl = good_client();
	fd = accepted();
	cr_assert(is_over(fd));
	cr_assert_leq(SSL_read(ssl, &c, 1), 0);
	hang_up(ssl);
	close(fd);
}

static X509 *certificate(void)
{
	SSL *ssl = good_client();
	X509 *x = SSL_get1_peer_certificate(ssl);

	hang_up(ssl);
	close(accepted());
	return x;
}

/* Connections go on while the certificate changes, and one that can't be loaded changes nothing. */
Test(tls_serve, reload, .init = set_up, .fini = tear_down, .timeout = 60)
{
	char path[80], c;
	X509 *before, *after = NULL;
	SSL *ssl;
	int fd;

	start(NULL);
	ssl = good_client();
	fd = accepted();
	before = certificate();
	snprintf(path, sizeof(path), "%s/tls.crt", state);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(kill(pid, SIGHUP), 0);
	do {
		X509_free(after);
		after = certificate();
	} while (X509_cmp(before, after) == 0); /* the test's limit ends this */
	cr_assert_eq(SSL_write(ssl, "x", 1), 1);
	cr_assert_eq(fd_read_full(fd, &c, 1), 0);
	/* It can't write: who asks goes on being served. */
	if (geteuid() == 0) {
		cr_assert_eq(unlink(path), 0);
		cr_assert_eq(chown(state, 0, 0), 0);
		cr_assert_eq(kill(pid, SIGHUP), 0);
		cr_assert_eq(SSL_write(ssl, "y", 1), 1);
		cr_assert_eq(fd_read_full(fd, &c, 1), 0);
		X509_free(before);
		before = certificate();
		cr_assert_eq(X509_cmp(before, after), 0);
	}
	X509_free(before);
	X509_free(after);
	hang_up(ssl);
	close(fd);
}

Test(tls_serve, graceful_stop, .init = set_up, .fini = tear_down, .timeout = 60)
{
	SSL *ssl;
	char c;
	int fd;

	start(NULL);
	ssl = good_client();
	fd = accepted();
	cr_assert_eq(kill(pid, SIGTERM), 0);
	/* What is under way goes on; what is new stays in the manager's socket. */
	for (int i = 0; i < 8; i++) {
		cr_assert_eq(SSL_write(ssl, "x", 1), 1);
		cr_assert_eq(fd_read_full(fd, &c, 1), 0);
		cr_assert_eq(fd_write_full(fd, "y", 1), 0);
		cr_assert_eq(SSL_read(ssl, &c, 1), 1);
	}
	hang_up(ssl);
	close(fd);
	stop(0);
}

Test(tls_serve, stop_in_spite_of_clients, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const char *const more[] = { "--grace", "200ms", NULL };
	SSL *ssl;
	int fd;

	start(more);
	ssl = good_client();
	fd = accepted();
	cr_assert_eq(kill(pid, SIGTERM), 0);
	stop(0);
	cr_assert(is_over(fd));
	hang_up(ssl);
	close(fd);
}

Test(tls_serve, does_not_start, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const char *const no_file[] = { "--certificate", "/nonexistent", "--key", "/nonexistent",
					NULL };
	const char *const no_option[] = { "--key", "/nonexistent", NULL };

	start(no_file);
	stop(1);
	start(no_option);
	stop(1);
}
