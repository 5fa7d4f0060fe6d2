/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of casemate that need no command in the guest, with VMs behind them. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/native/cli_rig.h"

static struct daemon_rig d;
static struct cli_run r;

static void set_up(void)
{
	daemon_rig_open(&d);
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

/* A sandbox by `casemate create`. */
static void create(char id[32])
{
	cr_assert_eq(CLI(&d, &r, "create", "--memory", "64M"), 0, "%s", r.err);
	cr_assert_eq(strlen(r.out), 21, "%s", r.out);
	(void)snprintf(id, 32, "%.20s", r.out);
}

/* What it has printed, which must be one JSON text; new reference. */
static json_t *printed(void)
{
	json_t *o = json_loads(r.out, JSON_REJECT_DUPLICATES, NULL);

	cr_assert_not_null(o, "%s%s", r.out, r.err);
	return o;
}

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	cr_assert_not_null(s, "%s", name);
	return s;
}

Test(daemon_cli, life, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], other[32];
	json_t *o;

	create(id);
	create(other);
	cr_assert_eq(CLI(&d, &r, "ps"), 0);
	cr_assert(strstr(r.out, id) != NULL && strstr(r.out, other) != NULL, "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "metrics", id), 0, "%s", r.err);
	cr_assert_not_null(strstr(r.out, "jail.cpu_us"), "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "inspect", "--json", id), 0, "%s", r.err);
	o = printed();
	cr_assert_gt(json_integer_value(json_object_get(o, "pid")), 1);
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "rm", "--json", id), 0, "%s", r.err);
	o = printed();
	cr_assert_str_eq(json_string_value(json_array_get(json_object_get(o, "removed"), 0)), id);
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "kill", id, other), 0, "one that has ended is as good as ended");
	cr_assert_eq(CLI(&d, &r, "ps"), 0);
	cr_assert_null(strstr(r.out, other), "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "ps", "--all", "--json"), 0);
	o = printed();
	cr_assert_eq(json_array_size(json_object_get(o, "sandboxes")), 2);
	json_decref(o);
}

Test(daemon_cli, pause_and_fork, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], first[32];
	json_t *o;

	create(id);
	cr_assert_eq(CLI(&d, &r, "fork", "-n", "2", id), 0, "%s", r.err);
	cr_assert_eq(strlen(r.out), 42, "%s", r.out);
	(void)snprintf(first, sizeof(first), "%.20s", r.out);
	cr_assert_eq(CLI(&d, &r, "pause", "--json", first), 0, "%s", r.err);
	o = printed();
	cr_assert_str_neq(text_of(o, "paused"), "");
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "pause", first), 125, "twice");
	cr_assert_eq(CLI(&d, &r, "resume", first), 0, "%s", r.err);
	cr_assert_str_eq(r.out, "");
	cr_assert_eq(CLI(&d, &r, "resume", first), 125, "it runs");
	cr_assert_eq(CLI(&d, &r, "pause", "--disk", "--memory", first), 125);
}

Test(daemon_cli, snapshots, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], snapshot[32];
	json_t *o;

	create(id);
	cr_assert_eq(CLI(&d, &r, "snapshot", "create", id), 0, "%s", r.err);
	cr_assert_eq(strlen(r.out), 21, "%s", r.out);
	(void)snprintf(snapshot, sizeof(snapshot), "%.20s", r.out);
	cr_assert_eq(CLI(&d, &r, "snapshot", "create", "--json", "--name", "x", id), 0, "%s",
		     r.err);
	o = printed();
	cr_assert_str_eq(text_of(o, "name"), "x");
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "snapshot", "create", "--name", "X", id), 125);
	cr_assert_eq(CLI(&d, &r, "create", "--json", "--snapshot", "x"), 0, "%s", r.err);
	o = printed();
	cr_assert_str_eq(text_of(o, "path"), "snapshot");
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "create", "--snapshot", "x", "--cpus", "2"), 125);
	cr_assert_eq(CLI(&d, &r, "snapshot", "ls"), 0, "%s", r.err);
	cr_assert_not_null(strstr(r.out, snapshot), "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "snapshot", "rm", "x", snapshot), 0, "%s", r.err);
	cr_assert_eq(CLI(&d, &r, "snapshot", "rm", snapshot), 125);
	cr_assert_eq(CLI(&d, &r, "snapshot", "rm", "../x"), 125);
	cr_assert_eq(CLI(&d, &r, "snapshot", "ls", "--json"), 0);
	o = printed();
	cr_assert_eq(json_array_size(json_object_get(o, "snapshots")), 0);
	json_decref(o);
}

/* Each line is an object, whatever the guest wrote. */
Test(daemon_cli, logs, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], *at, *end;

	create(id);
	cr_assert_eq(CLI(&d, &r, "logs", "--vmm", id), 0, "%s", r.err);
	cr_assert_str_neq(r.out, "", "a VMM that says nothing");
	cr_assert_eq(CLI(&d, &r, "logs", "--vmm", "--json", id), 0, "%s", r.err);
	for (at = r.out; *at != '\0'; at = end + 1) {
		end = strchr(at, '\n');
		json_t *o = json_loadb(at, (size_t)(end - at), 0, NULL);
		cr_assert_not_null(o, "%s", at);
		cr_assert_str_eq(text_of(o, "source"), "vmm");
		cr_assert_str_neq(text_of(o, "line"), "");
		json_decref(o);
	}
}

Test(daemon_cli, keys, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];
	json_t *o;

	cr_assert_eq(CLI(&d, &r, "key", "create", "--tenant", "alice", "--json"), 0, "%s", r.err);
	o = printed();
	(void)snprintf(id, sizeof(id), "%s", text_of(o, "id"));
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "key", "list"), 0);
	cr_assert(strstr(r.out, id) != NULL && strstr(r.out, "alice") != NULL, "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "key", "revoke", id), 0, "%s", r.err);
	cr_assert_eq(CLI(&d, &r, "key", "list"), 0);
	cr_assert_null(strstr(r.out, id), "%s", r.out);
}

/* 125 and one line on standard error, nothing on standard output. */
Test(daemon_cli, failures, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const char gone[] = "iaaaaaaaaaaaaaaaaaaa";
	static const char *const lines[][4] = {
		{ "rm", gone },	       { "metrics", gone },	     { "inspect", gone },
		{ "pause", gone },     { "resume", gone },	     { "fork", gone },
		{ "logs", gone },      { "exec", gone, "true" },     { "cp", "/etc/passwd", "x" },
		{ "rm", "../status" }, { "fork", "-n", "65", gone }, { "frob" },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *const args[] = { lines[i][0], lines[i][1], lines[i][2], lines[i][3],
					     NULL };
		cr_assert_eq(cli_rig_run(&d, &r, args), 125, "%s: %d", args[0], r.status);
		cr_assert_str_eq(r.out, "", "%s", args[0]);
		cr_assert_eq(strncmp(r.err, "casemate: ", 10), 0, "%s", r.err);
		cr_assert_eq(strchr(r.err, '\n') - r.err, (ptrdiff_t)strlen(r.err) - 1, "%s",
			     r.err);
	}
}

/* ---- What goes on until somebody ends it ---------------------------------------------------- */

/* Has it printed something? */
static int poll_out(const struct cli_run *run)
{
	struct pollfd p = { .fd = run->fds[0], .events = POLLIN };

	return poll(&p, 1, 0);
}

/* "127.0.0.1:PORT" and what may follow. */
static int dial(const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *at = strchr(address, ':') + 1;
	uint64_t n;

	cr_assert_eq(parse_u64_at(&at, 10, UINT16_MAX, &n), 0, "%s", address);
	in.sin_port = htons((uint16_t)n);
	cr_assert_eq(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0, "%s", address);
	return fd;
}

static size_t lines_of(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

Test(daemon_cli, stats, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], other[32];
	json_t *o, *one;

	create(id);
	create(other);
	cr_assert_eq(CLI(&d, &r, "stats", "--json", id), 0, "%s", r.err);
	o = printed();
	cr_assert_eq(json_array_size(json_object_get(o, "sandboxes")), 1);
	one = json_array_get(json_object_get(o, "sandboxes"), 0);
	cr_assert_str_eq(text_of(one, "id"), id);
	cr_assert_gt(json_integer_value(json_object_get(one, "cpu_us")), 0);
	cr_assert_gt(json_integer_value(json_object_get(one, "memory_bytes")), 100000);
	cr_assert_eq(json_integer_value(json_object_get(one, "guest_memory_bytes")), 64 << 20);
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "stats"), 0);
	cr_assert_eq(lines_of(r.out), 3, "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "top"), 0, "not a terminal: once");
	cr_assert(lines_of(r.out) == 3 && strchr(r.out, '\033') == NULL, "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "rm", other), 0);
	cr_assert_eq(CLI(&d, &r, "stats", id, other), 125, "%s", r.out);
	cr_assert_eq(lines_of(r.out), 2, "%s", r.out);
}

/* On a terminal: drawn, drawn anew when it gets smaller, and gone at q, the terminal as before. */
Test(daemon_cli, top, .init = set_up, .fini = tear_down, .timeout = 120)
{
	struct winsize size = { .ws_row = 24, .ws_col = 100 };
	struct cli_run *t = calloc(1, sizeof(*t));
	struct termios before, after;
	char id[32], other[32];
	int status;

	create(id);
	create(other);
	t->pid = forkpty(&t->fds[0], NULL, NULL, &size);
	cr_assert_geq(t->pid, 0);
	if (t->pid == 0) {
		execl(CLI_BIN, "casemate", "--socket", d.socket, "top", "--interval", "1h",
		      (char *)NULL);
		_exit(127);
	}
	cr_assert_eq(tcgetattr(t->fds[0], &before), 0);
	cli_rig_expect(t, id);
	cli_rig_expect(t, other);
	cli_rig_expect(t, "\033[J");
	cr_assert_not_null(strstr(t->out, "2 sandboxes"), "%s", t->out);
	t->out_len = 0;
	t->out[0] = '\0';
	size.ws_row = 5; /* room for one of them */
	cr_assert_eq(ioctl(t->fds[0], TIOCSWINSZ, &size), 0);
	cli_rig_expect(t, "\033[J");
	cr_assert((strstr(t->out, id) == NULL) != (strstr(t->out, other) == NULL), "%s", t->out);
	cr_assert_eq(write(t->fds[0], "xq", 2), 2);
	cli_rig_expect(t, "\033[?1049l");
	cr_assert_eq(waitpid(t->pid, &status, 0), t->pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", status);
	cr_assert_eq(tcgetattr(t->fds[0], &after), 0);
	cr_assert_eq(before.c_lflag & (ICANON | ECHO), after.c_lflag & (ICANON | ECHO));
	close(t->fds[0]);
	free(t);
}

Test(daemon_cli, events_and_wait, .init = set_up, .fini = tear_down, .timeout = 120)
{
	struct cli_run *events = calloc(2, sizeof(*events)), *wait = events + 1;
	char id[32], other[32], text[64];
	json_t *o;

	create(other); /* before: not told */
	CLI_START(&d, events, "events", "--json");
	/* It has printed nothing when it listens: an event that comes through says so. */
	do {
		create(id);
		usleep(20000);
		cr_assert_eq(CLI(&d, &r, "rm", id), 0);
	} while (events->out_len == 0 && poll_out(events) == 0);
	create(id);
	(void)snprintf(text, sizeof(text), "{\"id\":\"%s\",\"state\":\"running\"", id);
	cli_rig_expect(events, text);
	cr_assert_eq(CLI(&d, &r, "wait", "--timeout", "50ms", id), 124, "%s", r.err);
	CLI_START(&d, wait, "wait", "--json", id, other);
	cr_assert_eq(CLI(&d, &r, "rm", other), 0);
	cli_rig_expect(wait, other);
	cr_assert_null(strstr(wait->out, id), "%s", wait->out);
	cr_assert_eq(CLI(&d, &r, "rm", id), 0);
	cr_assert_eq(cli_rig_end(wait, 0), 0, "%s", wait->err);
	o = json_loads(strchr(wait->out, '\n') + 1, 0, NULL);
	cr_assert_str_eq(text_of(o, "id"), id);
	cr_assert_str_eq(text_of(o, "reason"), "deleted");
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "wait", id), 0, "one that has ended");
	cr_assert_str_eq(r.out + 21, "deleted\n");
	cr_assert_eq(CLI(&d, &r, "wait", "iaaaaaaaaaaaaaaaaaaa"), 125, "one that never was");
	(void)snprintf(text, sizeof(text), "{\"id\":\"%s\",\"state\":\"ended\"", id);
	cli_rig_expect(events, text);
	cr_assert_eq(cli_rig_end(events, SIGINT), 128 + SIGINT);
	cr_assert_null(strstr(events->out, other) == NULL ? NULL : strstr(events->out, "creating"),
		       "%s", events->out);
	free(events);
}

/* Bytes there and back, several connections, a port where nobody listens, and the end of it all. */
Test(daemon_cli, port, .init = set_up, .fini = tear_down, .timeout = 120)
{
	struct cli_run *t = calloc(2, sizeof(*t)), *closed = t + 1;
	struct answer *a = calloc(1, sizeof(*a));
	char id[32], text[64];
	int fds[3];

	create(id);
	CLI_START(&d, t, "port", id, "0:3000");
	cli_rig_expect(t, "\n");
	for (size_t i = 0; i < 3; i++)
		fds[i] = dial(t->out);
	for (size_t i = 0; i < 3; i++) {
		int n = snprintf(text, sizeof(text), "GET /%zu HTTP/1.1\r\nHost: x\r\n\r\n", i);
		cr_assert_eq(send(fds[i], text, (size_t)n, MSG_NOSIGNAL), n);
		daemon_rig_read(fds[i], a);
		cr_assert_eq(a->status, 200, "%s", a->body);
		text[n - 2] = '\0';
		cr_assert_not_null(strstr(a->body, text), "%s", a->body);
		close(fds[i]);
	}
	CLI_START(&d, closed, "port", "--json", id, "0:3001");
	cli_rig_expect(closed, "}\n");
	json_t *o = json_loads(closed->out, 0, NULL);
	cr_assert_eq(json_integer_value(json_object_get(o, "guest")), 3001);
	(void)snprintf(text, sizeof(text), "127.0.0.1:%d",
		       (int)json_integer_value(json_object_get(o, "host")));
	json_decref(o);
	fds[0] = dial(text);
	cr_assert_eq(recv(fds[0], text, 1, 0), 0, "the end, and nothing before it");
	close(fds[0]);
	cr_assert_eq(cli_rig_end(closed, SIGTERM), 128 + SIGTERM);
	cr_assert_not_null(strstr(closed->err, "nobody listens"), "%s", closed->err);
	cr_assert_eq(cli_rig_end(t, SIGINT), 128 + SIGINT);
	cr_assert_str_eq(t->err, "");
	cr_assert_eq(CLI(&d, &r, "rm", id), 0);
	cr_assert_eq(CLI(&d, &r, "port", id, "0:70000"), 125);
	cr_assert_eq(CLI(&d, &r, "port", "iaaaaaaaaaaaaaaaaaaa", "0:80"), 125);
	free(a);
	free(t);
}
