/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/daemon_rig.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/http/body.h"
#include "base/fd.h"
#include "base/num.h"
#include "vmm/vmm_fds.h"

#define ANSWER_MS 40000

static void put_copy(const struct daemon_rig *d, const char *name, const char *from)
{
	char path[192];
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC), out;

	(void)snprintf(path, sizeof(path), "%s/%s", d->jail.dir, name);
	*strrchr(path, '/') = '\0';
	cr_assert(mkdir(path, 0755) == 0 || errno == EEXIST, "%s", path);
	(void)snprintf(path, sizeof(path), "%s/%s", d->jail.dir, name);
	out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	cr_assert(in >= 0 && out >= 0 && fstat(in, &st) == 0, "%s", from);
	for (off_t at = 0; at < st.st_size;)
		cr_assert_gt(sendfile(out, in, &at, (size_t)(st.st_size - at)), 0);
	close(in);
	close(out);
}

/* A port that nobody has at this moment. */
static unsigned free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	return ntohs(a.sin_port);
}

void daemon_rig_open(struct daemon_rig *d)
{
	rig_require();
	*d = (struct daemon_rig){ .max = d->max,
				  .pool = d->pool,
				  .networks = d->networks,
				  .hold = d->hold,
				  .layers = d->layers,
				  .available = d->available,
				  .jail = { .vmm = VMM_BIN,
					    .max = d->jail.max,
					    .test_option = d->jail.test_option,
					    .test_value = d->jail.test_value,
					    .before_exec = d->jail.before_exec } };
	rig_prepare(&d->jail);
	put_copy(d, "store/kernels/default/kernel", GUEST_ELF);
	put_copy(d, "store/images/default/root.erofs", GUEST_ELF);
	rig_start_jailer(&d->jail);
	(void)snprintf(d->socket, sizeof(d->socket), "%s/d/casemated.sock", d->jail.dir);
	daemon_rig_start(d);
}

static bool reachable(const struct daemon_rig *d)
{
	struct answer *a = calloc(1, sizeof(*a));
	int fd = daemon_rig_dial(d, false);
	bool there;

	if (fd >= 0)
		close(fd);
	if (fd >= 0)
		daemon_rig_ask(d, false, "GET", "/v1/status", "", NULL, a);
	there = strstr(a->body, "\"reachable\":true") != NULL;
	free(a);
	return there;
}

void daemon_rig_await(const struct daemon_rig *d)
{
	for (unsigned i = 0; i < 2000 && !reachable(d); i++)
		usleep(5000);
	cr_assert(reachable(d), "casemated or its jailer isn't there");
}

static void meminfo_path(const struct daemon_rig *d, char *ret, size_t cap)
{
	(void)snprintf(ret, cap, "%s/meminfo", d->jail.dir);
}

void daemon_rig_available(const struct daemon_rig *d, unsigned mib)
{
	char path[112], text[96];
	int fd;

	/* Always as long: whoever reads it meanwhile reads the old or the new number. */
	(void)snprintf(text, sizeof(text),
		       "MemTotal:       24000000 kB\nMemAvailable:  %9" PRIu64 " kB\n",
		       mib * (MIB / KIB));
	meminfo_path(d, path, sizeof(path));
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

/* Instead of what the kernel says. */
static void see_meminfo(const struct daemon_rig *d)
{
	char path[112];

	meminfo_path(d, path, sizeof(path));
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(path, "/proc/meminfo", NULL, MS_BIND, NULL) < 0)
		_exit(1);
}

void daemon_rig_spawn(struct daemon_rig *d)
{
	char jailer[112], state[112], listen[32], max[12], pool[12];

	if (d->available > 0)
		daemon_rig_available(d, d->available);
	d->port = free_port();
	(void)snprintf(jailer, sizeof(jailer), "%s/run/jailer.sock", d->jail.dir);
	(void)snprintf(state, sizeof(state), "%s/state/state.db", d->jail.dir);
	(void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", d->port);
	(void)snprintf(max, sizeof(max), "%u", d->max == 0 ? 64 : d->max);
	(void)snprintf(pool, sizeof(pool), "%u", d->pool);
	d->daemon = fork();
	cr_assert_geq(d->daemon, 0);
	if (d->daemon == 0) {
		if (getenv("DAEMON_LOG") == NULL)
			(void)dup2(open("/dev/null", O_RDWR | O_CLOEXEC), STDERR_FILENO);
		if (d->available > 0)
			see_meminfo(d);
		execl(DAEMON_BIN, DAEMON_BIN, "--user", "nobody", "--socket", d->socket, "--jailer",
		      jailer, "--state", state, "--listen", listen, "--max-sandboxes", max,
		      "--pool", pool, d->networks ? "--networks" : "--log-level=info",
		      "--build-layers", d->layers == NULL ? "1s" : d->layers,
		      d->hold == NULL ? (char *)NULL : "--hold", d->hold, (char *)NULL);
		_exit(127);
	}
}

void daemon_rig_start(struct daemon_rig *d)
{
	daemon_rig_spawn(d);
	daemon_rig_await(d);
}

void daemon_rig_stop(struct daemon_rig *d, int signo)
{
	int status;

	cr_assert_eq(kill(d->daemon, signo), 0);
	cr_assert_eq(waitpid(d->daemon, &status, 0), d->daemon);
	d->daemon = 0;
	if (signo != SIGKILL)
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "casemated: %d", status);
}

void daemon_rig_close(struct daemon_rig *d)
{
	if (d->daemon > 0)
		daemon_rig_stop(d, SIGTERM);
	rig_close(&d->jail);
}

int daemon_rig_dial(const struct daemon_rig *d, bool net)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)d->port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(net ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", d->socket);
	r = net ? connect(fd, (struct sockaddr *)&in, sizeof(in))
		: connect(fd, (struct sockaddr *)&un, sizeof(un));
	if (r == 0)
		return fd;
	close(fd);
	return -1;
}

/* False at the end of the connection. */
static bool more(int fd, char *buf, size_t *len, size_t cap)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	cr_assert_lt(*len, cap, "an answer that is too long");
	cr_assert_eq(poll(&p, 1, ANSWER_MS), 1, "no answer");
	n = recv(fd, buf + *len, cap - *len, 0);
	if (n > 0)
		*len += (size_t)n;
	return n > 0;
}

static void read_body(int fd, struct http_head *h, char *buf, size_t len, size_t cap,
		      struct answer *ret)
{
	struct http_body b;
	size_t got = 0, at = 0;

	http_body_init(&b, h);
	while (!b.done) {
		const void *data;
		size_t n;
		ssize_t used = http_body_take(&b, buf + at, len - at, &data, &n);
		cr_assert_geq(used, 0, "malformed: %s", buf);
		cr_assert_lt(got + n, sizeof(ret->body));
		memcpy(ret->body + got, data, n);
		got += n;
		at += (size_t)used;
		if (used == 0 && !more(fd, buf, &len, cap))
			break;
	}
	ret->body[got] = '\0';
	ret->whole = b.done;
}

void daemon_rig_read(int fd, struct answer *ret)
{
	static char buf[131072];
	struct http_head h;
	size_t len = 0;
	ssize_t head;

	*ret = (struct answer){ 0 };
	while ((head = http_head_length(buf, len, 0)) == 0)
		if (!more(fd, buf, &len, sizeof(buf)))
			return;
	cr_assert(head > 0 && head < (ssize_t)sizeof(ret->head));
	memcpy(ret->head, buf, (size_t)head);
	cr_assert_eq(http_response_parse(buf, (size_t)head, "GET", &h), 0, "%s", ret->head);
	ret->status = h.status;
	read_body(fd, &h, buf + head, len - (size_t)head, sizeof(buf) - (size_t)head, ret);
}

void daemon_rig_ask(const struct daemon_rig *d, bool net, const char *method, const char *target,
		    const char *fields, const char *body, struct answer *ret)
{
	int fd = daemon_rig_dial(d, net), n;
	char *text = NULL;

	cr_assert_geq(fd, 0);
	n = asprintf(&text, "%s %s HTTP/1.1\r\n%s%sContent-Length: %zu\r\n\r\n%s", method, target,
		     strstr(fields, "Host:") == NULL ? "Host: 127.0.0.1\r\n" : "", fields,
		     body == NULL ? 0 : strlen(body), body == NULL ? "" : body);
	cr_assert_gt(n, 0);
	cr_assert_eq(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	free(text);
	daemon_rig_read(fd, ret);
	close(fd);
}

json_t *answer_json(const struct answer *a)
{
	json_t *o = json_loads(a->body, JSON_DECODE_ANY, NULL);

	cr_assert_not_null(o, "%s%s", a->head, a->body);
	return o;
}

const char *answer_text(const struct answer *a, const char *name)
{
	static char text[8][256];
	static unsigned at;
	json_t *o = answer_json(a);
	const char *s = json_string_value(json_object_get(o, name));
	char *dst = text[at++ % 8];

	cr_assert_not_null(s, "%s: %s", name, a->body);
	(void)snprintf(dst, sizeof(text[0]), "%s", s);
	json_decref(o);
	return dst;
}

int daemon_rig_disk(const struct daemon_rig *d, const char *id)
{
	static struct answer a;
	char text[96];
	json_t *o;
	int fd;

	(void)snprintf(text, sizeof(text), "/v1/sandboxes/%s", id);
	daemon_rig_ask(d, false, "GET", text, "", NULL, &a);
	cr_assert_eq(a.status, 200, "%s", a.body);
	o = answer_json(&a);
	(void)snprintf(text, sizeof(text), "/proc/%d/fd/%d",
		       (int)json_integer_value(json_object_get(json_object_get(o, "jail"), "pid")),
		       VMM_FD_DRIVE0 + 1);
	json_decref(o);
	fd = open(text, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", text);
	return fd;
}
