/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start - how long a client waits for a sandbox: from the request on casemated's socket to the
 * answer, which comes when the agent has answered. The whole stack runs: casemated, the jailer
 * with every wall, a VMM per sandbox; the guest is tests/guest as an agent. Three paths: from the
 * pool, restored from a template, booted.
 *
 * Needs root (the jailer does). Everything lies in a directory and a cgroup of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <jansson.h>
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
#include "tests/bench/stat.h"

#define CALL_MS	      30000U
#define SETTLE_MS     60000U
#define BURST_SECONDS 5U
#define MEMORY_BYTES  (64 * MIB)
#define IDLE_SPARES   64U

static struct {
	const char *daemon, *jailer, *vmm, *guest, *where;
	uint64_t n, cold;
} opt = { .where = "native", .n = 1000, .cold = 100 };

static char dir[64];
static pid_t jailer_pid, daemon_pid;
static struct cli cli;
static struct http_client *http;

enum path { PATH_POOL, PATH_RESTORE, PATH_COLD, PATH_COUNT };
static const char *const path_names[] = { "pool", "restore", "cold" };
static struct samples samples[PATH_COUNT];

static NORETURN void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: start: %s: %s\n", what, why);
	exit(1);
}

/* ---- Set-up and clean-up ----------------------------------------------------------------- */

static const char *in_dir(const char *name)
{
	static char paths[8][160];
	static unsigned next;
	char *p = paths[next++ % 8];

	(void)snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
	return p;
}

static void put_dir(const char *name)
{
	if (mkdir(in_dir(name), 0755) < 0)
		die(name, strerror(errno));
}

static void put_copy(const char *name, const char *from)
{
	CLEANUP(fd_closep) int in = open(from, O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_closep)
	int out = open(in_dir(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct stat st;

	if (in < 0 || out < 0 || fstat(in, &st) < 0)
		die(from, strerror(errno));
	for (off_t at = 0; at < st.st_size;)
		if (sendfile(out, in, &at, (size_t)(st.st_size - at)) <= 0)
			die(name, strerror(errno));
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
		die(argv[0], strerror(errno));
	return pid;
}

static void start_jailer(void)
{
	char cgroup[48];
	const char *argv[] = { opt.jailer,
			       "--socket",
			       in_dir("run/jailer.sock"),
			       "--store",
			       in_dir("store"),
			       "--vmm",
			       opt.vmm,
			       "--daemon-user",
			       "nobody",
			       "--allow-no-selinux",
			       "--cgroup",
			       cgroup,
			       "--max",
			       "256",
			       "--pool",
			       "8",
			       NULL };

	(void)snprintf(cgroup, sizeof(cgroup), "casemate-bench-%d", (int)getpid());
	jailer_pid = run(argv, "jailer.log");
	for (unsigned i = 0; i < 1000 && access(in_dir("run/jailer.sock"), F_OK) < 0; i++)
		(void)usleep(5000);
}

/* ---- The API ----------------------------------------------------------------------------- */

static json_t *call(const char *method, const char *path, const json_t *body)
{
	struct err err = { 0 };
	json_t *out = NULL;

	if (http_client_call(http, method, path, body, CALL_MS, &out, NULL, &err) < 0)
		die(path, err.msg);
	return out;
}

static bool jailer_is_there(void)
{
	json_t *o = call("GET", "/v1/status", NULL);
	bool there = json_is_true(json_object_get(json_object_get(o, "jailer"), "reachable"));

	json_decref(o);
	return there;
}

static void start_daemon(unsigned depth)
{
	static char socket[160];
	char pool[16];
	const char *argv[] = { opt.daemon,
			       "--user",
			       "nobody",
			       "--socket",
			       socket,
			       "--jailer",
			       in_dir("run/jailer.sock"),
			       "--pool",
			       pool,
			       "--max-sandboxes",
			       "200",
			       "--log-level",
			       "warn",
			       NULL };
	struct err err = { 0 };

	(void)snprintf(socket, sizeof(socket), "%s", in_dir("run/casemated.sock"));
	(void)snprintf(pool, sizeof(pool), "%u", depth);
	daemon_pid = run(argv, "daemon.log");
	cli.socket = socket;
	for (unsigned i = 0; i < 1000 && http == NULL; i++) {
		if (http_client_open(&cli, &http, &err) < 0)
			(void)usleep(5000);
	}
	if (http == NULL)
		die("casemated", err.msg);
	for (unsigned i = 0; i < 1000 && !jailer_is_there(); i++)
		(void)usleep(5000);
}

static void stop_daemon(void)
{
	http_client_free(http);
	http = NULL;
	stop(&daemon_pid);
}

static void set_up(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/casemate-bench.XXXXXX");
	if (mkdtemp(dir) == NULL)
		die(dir, strerror(errno));
	(void)atexit(clean_up);
	if (chmod(dir, 0755) < 0 || loop_new(&cli.loop) < 0)
		die(dir, strerror(errno));
	put_dir("store");
	put_dir("store/kernels");
	put_dir("store/kernels/default");
	put_dir("store/images");
	put_dir("store/images/default");
	put_copy("store/kernels/default/kernel", opt.guest);
	put_copy("store/images/default/root.erofs", opt.guest); /* a disk that nobody reads */
	start_jailer();
}

static unsigned spares(void)
{
	json_t *o = call("GET", "/v1/status", NULL), *shape;
	unsigned n = 0;
	size_t i;

	json_array_foreach(json_object_get(o, "pool"), i, shape) n +=
		(unsigned)json_integer_value(json_object_get(shape, "spares"));
	json_decref(o);
	return n;
}

static void wait_for_spares(unsigned want)
{
	uint64_t end = now_ms() + SETTLE_MS;

	while (spares() < want) {
		if (now_ms() > end)
			die("pool", "it doesn't fill; see casemated's log");
		(void)usleep(500);
	}
}

/* One sandbox: its id; how long it took goes to the samples of its path. */
static enum path create(char id[64], bool scratch)
{
	json_t *body = json_pack("{s:I}", "memory_bytes", (json_int_t)MEMORY_BYTES), *out;
	const char *path;
	uint64_t begin;
	double ms;

	if (scratch)
		(void)json_object_set_new(body, "scratch_bytes", json_integer((json_int_t)MIB));
	begin = now_ns();
	out = call("POST", "/v1/sandboxes", body);
	ms = (double)(now_ns() - begin) / 1e6;
	path = json_string_value(json_object_get(out, "path"));
	(void)snprintf(id, 64, "%s", json_string_value(json_object_get(out, "id")));
	json_decref(body);
	for (enum path p = 0; p < PATH_COUNT; p++) {
		if (path != NULL && strcmp(path, path_names[p]) == 0) {
			samples_add(&samples[p], ms);
			json_decref(out);
			return p;
		}
	}
	die("sandbox", "it doesn't say how it came to run");
}

static void destroy(const char *id)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", id);
	json_decref(call("DELETE", path, NULL));
}

/* ---- What is measured -------------------------------------------------------------------- */

static void measure_paths(void)
{
	char id[64], other[64];

	start_daemon(4);
	(void)create(id, false); /* teaches the shape */
	destroy(id);
	wait_for_spares(4);
	samples[PATH_COLD].n = 0;
	while (samples[PATH_POOL].n < opt.n) {
		wait_for_spares(1);
		(void)create(id, false);
		destroy(id);
	}
	stop_daemon();
	/* With one spare, the second of two has none. */
	start_daemon(1);
	(void)create(id, false);
	destroy(id);
	wait_for_spares(1);
	samples[PATH_COLD].n = 0;
	for (uint64_t i = 0; samples[PATH_RESTORE].n < opt.n && i < 4 * opt.n; i++) {
		size_t pool_n = samples[PATH_POOL].n;
		wait_for_spares(1);
		(void)create(id, false);
		(void)create(other, false);
		samples[PATH_POOL].n = pool_n;
		destroy(id);
		destroy(other);
	}
	while (samples[PATH_COLD].n < opt.cold) {
		(void)create(id, true);
		destroy(id);
	}
	stop_daemon();
}

/* One client that asks again at once, while the pool fills behind it. */
static void measure_rate(struct samples *rate, struct samples *share)
{
	char id[64];

	start_daemon(64);
	(void)create(id, false);
	destroy(id);
	wait_for_spares(64);
	for (unsigned s = 0; s < BURST_SECONDS; s++) {
		uint64_t end = now_ns() + UINT64_C(1000000000);
		unsigned made = 0, pooled = 0;
		while (now_ns() < end) {
			pooled += create(id, false) == PATH_POOL;
			destroy(id);
			made++;
		}
		samples_add(rate, made);
		samples_add(share, 100.0 * pooled / made);
	}
	stop_daemon();
}

/* MemAvailable, in KiB. */
static double available_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	double kib = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "MemAvailable:", 13) == 0)
			kib = strtod(line + 13, NULL);
	if (f != NULL)
		(void)fclose(f);
	return kib;
}

static void measure_memory(struct samples *ret)
{
	double few, many;
	char id[64];

	start_daemon(4);
	(void)create(id, false);
	destroy(id);
	wait_for_spares(4);
	(void)usleep(500000);
	few = available_kib();
	stop_daemon();
	start_daemon(4 + IDLE_SPARES);
	(void)create(id, false);
	destroy(id);
	wait_for_spares(4 + IDLE_SPARES);
	(void)usleep(500000);
	many = available_kib();
	stop_daemon();
	samples_add(ret, (few - many) / IDLE_SPARES);
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = { { "daemon", required_argument, NULL, 'd' },
					       { "jailer", required_argument, NULL, 'j' },
					       { "vmm", required_argument, NULL, 'v' },
					       { "guest", required_argument, NULL, 'g' },
					       { "where", required_argument, NULL, 'w' },
					       { "n", required_argument, NULL, 'n' },
					       { "cold", required_argument, NULL, 'c' },
					       { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'd')
			opt.daemon = optarg;
		else if (c == 'j')
			opt.jailer = optarg;
		else if (c == 'v')
			opt.vmm = optarg;
		else if (c == 'g')
			opt.guest = optarg;
		else if (c == 'w')
			opt.where = optarg;
		else if (c == 'n' && parse_u64(optarg, 1, SAMPLES_MAX / 2, &opt.n) == 0)
			continue;
		else if (c == 'c' && parse_u64(optarg, 1, SAMPLES_MAX, &opt.cold) == 0)
			continue;
		else
			die("usage", "--daemon, --jailer, --vmm, --guest: FILE; --where TEXT; "
				     "--n and --cold: how many");
	}
	if (opt.daemon == NULL || opt.jailer == NULL || opt.vmm == NULL || opt.guest == NULL)
		die("usage", "--daemon, --jailer, --vmm and --guest are needed");
}

int main(int argc, char **argv)
{
	static struct samples rate, share, memory;

	parse_options(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	set_up();
	measure_paths();
	for (enum path p = 0; p < PATH_COUNT; p++)
		bench_print("start", path_names[p], "ms", &samples[p], NULL, NULL, opt.where);
	(void)fflush(stdout);
	measure_rate(&rate, &share);
	bench_print_rate("start", "claims", "1/s", &rate, NULL, NULL, opt.where);
	bench_print_rate("start", "claims_from_pool", "%", &share, NULL, NULL, opt.where);
	measure_memory(&memory);
	bench_print("start", "memory_idle_host", "KiB", &memory, NULL, NULL, opt.where);
	return 0;
}
