/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/start_stack.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/cli/http_client.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "jailer/spawner.h"

#define CALL_MS	  30000U
#define SETTLE_MS 60000U
#define TRIES	  1000U /* of TRY_US: for a program to come up */
#define TRY_US	  5000U
#define LOG_BYTES 2000U

static struct stack_programs programs;
static char dir[64];
static pid_t jailer_pid, daemon_pid;
static char socket[160]; /* casemated's */
static struct cli cli;
static struct http_client *http;

/* ---- Set-up and clean-up ----------------------------------------------------------------- */

static const char *in_dir(const char *name)
{
	static char paths[8][160];
	static unsigned next;
	char *p = paths[next++ % 8];

	(void)snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
	return p;
}

/* The end of a log, so that a failure says why. */
static void show_log(const char *name)
{
	FILE *f = fopen(in_dir(name), "re");
	char text[LOG_BYTES];
	size_t n;

	if (f == NULL)
		return;
	if (fseek(f, -(long)sizeof(text), SEEK_END) < 0)
		rewind(f);
	n = fread(text, 1, sizeof(text), f);
	(void)fprintf(stderr, "%s:\n%.*s", name, (int)n, text);
	(void)fclose(f);
}

NORETURN void stack_die(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: start: %s: %s\n", what, why);
	if (dir[0] != '\0') {
		show_log("jailer.log");
		show_log("daemon.log");
	}
	exit(1);
}

static void put_dir(const char *name)
{
	if (mkdir(in_dir(name), 0755) < 0)
		stack_die(name, strerror(errno));
}

static void put_copy(const char *name, const char *from)
{
	CLEANUP(fd_closep) int in = open(from, O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_closep)
	int out = open(in_dir(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct stat st;

	if (in < 0 || out < 0 || fstat(in, &st) < 0)
		stack_die(from, strerror(errno));
	for (off_t at = 0; at < st.st_size;)
		if (sendfile(out, in, &at, (size_t)(st.st_size - at)) <= 0)
			stack_die(name, strerror(errno));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void stop(pid_t *pid)
{
	if (*pid <= 0)
		return;
	(void)kill(*pid, SIGTERM);
	(void)waitpid(*pid, NULL, 0);
	*pid = 0;
}

static void clean_up(void)
{
	stop(&daemon_pid);
	stop(&jailer_pid);
	if (dir[0] != '\0')
		(void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static pid_t run(const char *const argv[], const char *log)
{
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(in_dir(log), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		(void)dup2(fd, STDERR_FILENO);
		(void)dup2(open("/dev/null", O_RDWR | O_CLOEXEC), STDOUT_FILENO);
		(void)execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0)
		stack_die(argv[0], strerror(errno));
	return pid;
}

static void start_jailer(void)
{
	char cgroup[48], jails[16];
	const char *argv[] = { programs.jailer,
			       "--socket",
			       in_dir("run/jailer.sock"),
			       "--store",
			       in_dir("store"),
			       "--vmm",
			       programs.vmm,
			       "--daemon-user",
			       "nobody",
			       "--allow-no-selinux",
			       "--cgroup",
			       cgroup,
			       "--max",
			       jails,
			       "--pool",
			       "8",
			       "--egress",
			       programs.egress == NULL ? "" : programs.egress,
			       NULL };

	(void)snprintf(cgroup, sizeof(cgroup), "casemate-bench-%d", (int)getpid());
	(void)snprintf(jails, sizeof(jails), "%u", programs.max + 6);
	jailer_pid = run(argv, "jailer.log");
	for (unsigned i = 0; i < TRIES && access(in_dir("run/jailer.sock"), F_OK) < 0; i++)
		(void)usleep(TRY_US);
}

/* ---- The API ----------------------------------------------------------------------------- */

json_t *stack_call(const char *method, const char *path, const json_t *body)
{
	struct err err = { 0 };
	json_t *out = NULL;

	if (http_client_call(http, method, path, body, CALL_MS, &out, NULL, &err) < 0)
		stack_die(path, err.msg);
	return out;
}

static bool jailer_is_there(void)
{
	json_t *o = stack_call("GET", "/v1/status", NULL);
	bool there = json_is_true(json_object_get(json_object_get(o, "jailer"), "reachable"));

	json_decref(o);
	return there;
}

void stack_start_daemon(unsigned depth)
{
	char pool[16], most[16];
	const char *argv[] = { programs.daemon,
			       "--user",
			       "nobody",
			       "--socket",
			       socket,
			       "--jailer",
			       in_dir("run/jailer.sock"),
			       "--pool",
			       pool,
			       "--state",
			       "none",
			       "--max-sandboxes",
			       most,
			       "--log-level",
			       "warn",
			       programs.egress == NULL ? "--log-level=warn" : "--networks",
			       programs.listen == NULL ? NULL : "--listen",
			       programs.listen,
			       NULL };
	struct err err = { 0 };

	(void)snprintf(socket, sizeof(socket), "%s", in_dir("run/casemated.sock"));
	(void)snprintf(pool, sizeof(pool), "%u", depth);
	(void)snprintf(most, sizeof(most), "%u", programs.max);
	daemon_pid = run(argv, "daemon.log");
	cli.socket = socket;
	for (unsigned i = 0; i < TRIES && http == NULL; i++) {
		if (http_client_open(&cli, &http, &err) < 0)
			(void)usleep(TRY_US);
	}
	if (http == NULL)
		stack_die("casemated", err.msg);
	for (unsigned i = 0; i < TRIES && !jailer_is_there(); i++)
		(void)usleep(TRY_US);
}

void stack_reconnect(void)
{
	struct err err = { 0 };

	/* Its epoll is the parent's as well. Nothing of them is freed: it is the parent's to use.
	 */
	if (loop_new(&cli.loop) < 0 || http_client_open(&cli, &http, &err) < 0)
		stack_die("casemated", err.msg);
}

void stack_stop_daemon(void)
{
	http_client_free(http);
	http = NULL;
	stop(&daemon_pid);
}

void stack_set_up(const struct stack_programs *p)
{
	programs = *p;
	if (programs.max == 0)
		programs.max = STACK_MAX;
	(void)snprintf(dir, sizeof(dir), "/tmp/casemate-bench.XXXXXX");
	if (mkdtemp(dir) == NULL)
		stack_die(dir, strerror(errno));
	(void)atexit(clean_up);
	if (chmod(dir, 0755) < 0 || loop_new(&cli.loop) < 0)
		stack_die(dir, strerror(errno));
	put_dir("store");
	put_dir("store/kernels");
	put_dir("store/kernels/default");
	put_dir("store/images");
	put_dir("store/images/default");
	put_copy("store/kernels/default/kernel", programs.guest);
	put_copy("store/images/default/root.erofs", programs.guest); /* a disk that nobody reads */
	start_jailer();
}

/* ---- What the rows have in common ---------------------------------------------------------- */

json_t *stack_create(void)
{
	json_t *body = json_pack("{s:I}", "memory_bytes", (json_int_t)STACK_MEMORY);
	json_t *out = stack_call("POST", "/v1/sandboxes", body);

	json_decref(body);
	return out;
}

void stack_destroy(const char *id)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", id);
	json_decref(stack_call("DELETE", path, NULL));
}

static unsigned spares(void)
{
	json_t *o = stack_call("GET", "/v1/status", NULL), *shape;
	unsigned n = 0;
	size_t i;

	json_array_foreach(json_object_get(o, "pool"), i, shape) n +=
		(unsigned)json_integer_value(json_object_get(shape, "spares"));
	json_decref(o);
	return n;
}

void stack_wait_for_spares(unsigned want)
{
	uint64_t end = now_ms() + SETTLE_MS;

	while (spares() < want) {
		if (now_ms() > end)
			stack_die("pool", "it doesn't fill; see casemated's log");
		(void)usleep(500);
	}
}

void stack_start_pool(unsigned depth)
{
	json_t *o;

	stack_start_daemon(depth);
	o = stack_create(); /* teaches the shape */
	stack_destroy(json_string_value(json_object_get(o, "id")));
	json_decref(o);
	stack_wait_for_spares(depth);
}

/* A line "name: NUMBER" of a file in /proc. */
static double number_in(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	char line[256];
	uint64_t v = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		const char *at = line + strlen(name);
		if (strncmp(line, name, strlen(name)) != 0)
			continue;
		at += strspn(at, " \t");
		(void)!parse_u64_at(&at, 10, UINT64_MAX, &v);
	}
	if (f != NULL)
		(void)fclose(f);
	return (double)v;
}

static double resident_kib(pid_t pid)
{
	char path[48];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return number_in(path, "VmRSS:");
}

double stack_daemon_kib(void)
{
	return resident_kib(daemon_pid);
}

double stack_jailer_kib(void)
{
	return resident_kib(jailer_pid);
}

double stack_available_kib(void)
{
	return number_in("/proc/meminfo", "MemAvailable:");
}

/* Fields 14 to 17 of /proc/PID/stat, after the name, which ends with the last parenthesis. */
static void cpu_of(pid_t pid, uint64_t *own, uint64_t *children)
{
	char path[48], text[1024] = "";
	uint64_t t[4] = { 0 }, tick = 1000000000U / (uint64_t)sysconf(_SC_CLK_TCK);
	FILE *f;
	const char *at;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL || fgets(text, sizeof(text), f) == NULL)
		stack_die(path, "can't be read");
	(void)fclose(f);
	at = strrchr(text, ')');
	for (unsigned field = 2; at != NULL && field < 17; field++) {
		at = strchr(at, ' ');
		at += at != NULL;
		if (at != NULL && field >= 13)
			(void)!parse_u64_at(&at, 10, UINT64_MAX, &t[field - 13]);
	}
	*own = (t[0] + t[1]) * tick;
	*children = (t[2] + t[3]) * tick;
}

/* The jailer's child that clones the jails' processes; 0 = none runs. */
static pid_t find_spawner(void)
{
	char path[64], text[1024] = "", name[32];
	const char *at = text;
	uint64_t pid;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)jailer_pid,
		       (int)jailer_pid);
	/* It is the first: jails come after it. */
	if (fd_read_file(AT_FDCWD, path, text, sizeof(text)) == -EFBIG)
		text[sizeof(text) - 1] = '\0';
	while (parse_u64_at(&at, 10, INT32_MAX, &pid) == 0) {
		(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
		if (fd_read_file(AT_FDCWD, path, name, sizeof(name)) > 0 &&
		    strcmp(name, SPAWNER_NAME "\n") == 0)
			return (pid_t)pid;
		at += *at == ' ';
	}
	return 0;
}

void stack_cpu(struct stack_cpu *ret)
{
	uint64_t none, own = 0;
	pid_t spawner = find_spawner();

	cpu_of(daemon_pid, &ret->daemon, &none);
	cpu_of(jailer_pid, &ret->jailer, &ret->vmms);
	if (spawner > 0)
		cpu_of(spawner, &own, &none);
	ret->jailer += own;
}
