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
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "tests/bench/start_fork.h"
#include "tests/bench/start_stack.h"
#include "tests/bench/stat.h"

#define SETTLE_MS     60000U
#define BURST_SECONDS 5U
#define MEMORY_BYTES  (64 * MIB)
#define IDLE_SPARES   64U
#define MEMORY_ROUNDS 5U
#define SETTLE_US     500000U

static struct {
	struct stack_programs programs;
	const char *where;
	uint64_t n, cold, forks;
} opt = { .where = "native", .n = 1000, .cold = 100, .forks = 100 };

enum path { PATH_POOL, PATH_RESTORE, PATH_COLD, PATH_COUNT };
static const char *const path_names[] = { "pool", "restore", "cold" };

/* What a start is made of: its total, as the client sees it; the daemon's word for each stage; and
 * the difference, which is HTTP and the client. */
static const struct stage {
	const char *suffix, *key;
} stages[] = {
	{ "", NULL },
	{ "_jail", "jail_ms" },
	{ "_configure", "configure_ms" },
	{ "_start", "start_ms" },
	{ "_agent", "boot_ms" },
	{ "_http", "total_ms" },
};
static struct samples samples[PATH_COUNT][ARRAY_SIZE(stages)];

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

static void wait_for_spares(unsigned want)
{
	uint64_t end = now_ms() + SETTLE_MS;

	while (spares() < want) {
		if (now_ms() > end)
			stack_die("pool", "it doesn't fill; see casemated's log");
		(void)usleep(500);
	}
}

static enum path path_of(const json_t *sandbox)
{
	const char *path = json_string_value(json_object_get(sandbox, "path"));

	for (enum path p = 0; p < PATH_COUNT; p++)
		if (path != NULL && strcmp(path, path_names[p]) == 0)
			return p;
	stack_die("sandbox", "it doesn't say how it came to run");
}

static void keep(enum path p, double ms, const json_t *timings)
{
	samples_add(&samples[p][0], ms);
	for (size_t i = 1; i < ARRAY_SIZE(stages); i++) {
		double v = json_number_value(json_object_get(timings, stages[i].key));
		samples_add(&samples[p][i], strcmp(stages[i].suffix, "_http") == 0 ? ms - v : v);
	}
}

/* One sandbox: its id, and how it came to run. What it took is kept if it came so as wanted. */
static enum path create(char id[64], bool scratch, enum path want)
{
	json_t *body = json_pack("{s:I}", "memory_bytes", (json_int_t)MEMORY_BYTES), *out;
	enum path path;
	uint64_t begin;
	double ms;

	if (scratch)
		(void)json_object_set_new(body, "scratch_bytes", json_integer((json_int_t)MIB));
	begin = now_ns();
	out = stack_call("POST", "/v1/sandboxes", body);
	ms = (double)(now_ns() - begin) / 1e6;
	path = path_of(out);
	(void)snprintf(id, 64, "%s", json_string_value(json_object_get(out, "id")));
	if (path == want)
		keep(path, ms, json_object_get(out, "timings"));
	json_decref(body);
	json_decref(out);
	return path;
}

static void destroy(const char *id)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", id);
	json_decref(stack_call("DELETE", path, NULL));
}

/* ---- What is measured -------------------------------------------------------------------- */

/* A daemon whose pool of this depth is full. */
static void start_pool(unsigned depth)
{
	char id[64];

	stack_start_daemon(depth);
	(void)create(id, false, PATH_COUNT); /* teaches the shape */
	destroy(id);
	wait_for_spares(depth);
}

static void measure_paths(void)
{
	char id[64], other[64];

	start_pool(4);
	while (samples[PATH_POOL][0].n < opt.n) {
		wait_for_spares(1);
		(void)create(id, false, PATH_POOL);
		destroy(id);
	}
	stack_stop_daemon();
	/* With one spare, the second of two has none. */
	start_pool(1);
	for (uint64_t i = 0; samples[PATH_RESTORE][0].n < opt.n && i < 4 * opt.n; i++) {
		wait_for_spares(1);
		(void)create(id, false, PATH_COUNT);
		(void)create(other, false, PATH_RESTORE);
		destroy(id);
		destroy(other);
	}
	while (samples[PATH_COLD][0].n < opt.cold) {
		(void)create(id, true, PATH_COLD);
		destroy(id);
	}
	stack_stop_daemon();
}

static void print_paths(void)
{
	char name[48];

	for (enum path p = 0; p < PATH_COUNT; p++) {
		for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
			/* A VM that lay ready has its first two stages behind it. */
			if (samples_percentile(&samples[p][i], 100) <= 0)
				continue;
			(void)snprintf(name, sizeof(name), "%s%s", path_names[p], stages[i].suffix);
			bench_print("start", name, "ms", &samples[p][i], NULL, NULL, opt.where);
		}
	}
	(void)fflush(stdout);
}

/* One client that asks again at once, while the pool fills behind it. */
static void measure_rate(struct samples *rate, struct samples *share, struct samples *end_ms)
{
	char id[64];

	start_pool(64);
	for (unsigned s = 0; s < BURST_SECONDS; s++) {
		uint64_t end = now_ns() + UINT64_C(1000000000);
		unsigned made = 0, pooled = 0;
		while (now_ns() < end) {
			uint64_t begin;
			pooled += create(id, false, PATH_COUNT) == PATH_POOL;
			begin = now_ns();
			destroy(id);
			samples_add(end_ms, (double)(now_ns() - begin) / 1e6);
			made++;
		}
		samples_add(rate, made);
		samples_add(share, 100.0 * pooled / made);
	}
	stack_stop_daemon();
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

static double available_with_pool(unsigned depth)
{
	double kib;

	start_pool(depth);
	(void)usleep(SETTLE_US);
	kib = available_kib();
	stack_stop_daemon();
	return kib;
}

/* In turn, because other programs take and give back memory meanwhile. */
static void measure_memory(struct samples *ret)
{
	for (unsigned i = 0; i < MEMORY_ROUNDS; i++) {
		double few = available_with_pool(4);
		samples_add(ret, (few - available_with_pool(4 + IDLE_SPARES)) / IDLE_SPARES);
	}
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
					       { "forks", required_argument, NULL, 'f' },
					       { NULL, 0, NULL, 0 } };
	int bad = 0, c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.programs.daemon = optarg;
			break;
		case 'j':
			opt.programs.jailer = optarg;
			break;
		case 'v':
			opt.programs.vmm = optarg;
			break;
		case 'g':
			opt.programs.guest = optarg;
			break;
		case 'w':
			opt.where = optarg;
			break;
		case 'n':
			bad |= parse_u64(optarg, 0, SAMPLES_MAX / 2, &opt.n);
			break;
		case 'f':
			bad |= parse_u64(optarg, 0, SAMPLES_MAX, &opt.forks);
			break;
		case 'c':
			bad |= parse_u64(optarg, 1, SAMPLES_MAX, &opt.cold);
			break;
		default:
			bad = -EINVAL;
			break;
		}
	}
	if (bad != 0)
		stack_die("usage", "--daemon, --jailer, --vmm, --guest: FILE; --where TEXT; "
				   "--n, --cold and --forks: how many");
	if (opt.programs.daemon == NULL || opt.programs.jailer == NULL ||
	    opt.programs.vmm == NULL || opt.programs.guest == NULL)
		stack_die("usage", "--daemon, --jailer, --vmm and --guest are needed");
}

int main(int argc, char **argv)
{
	static struct samples rate, share, end_ms, memory;

	parse_options(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	stack_set_up(&opt.programs);
	if (opt.forks > 0)
		start_fork_rows(opt.forks, opt.where);
	if (opt.n == 0) /* the forks only */
		return 0;
	measure_paths();
	print_paths();
	measure_rate(&rate, &share, &end_ms);
	bench_print_rate("start", "claims", "1/s", &rate, NULL, NULL, opt.where);
	bench_print_rate("start", "claims_from_pool", "%", &share, NULL, NULL, opt.where);
	bench_print("start", "delete", "ms", &end_ms, NULL, NULL, opt.where);
	measure_memory(&memory);
	bench_print("start", "memory_idle_host", "KiB", &memory, NULL, NULL, opt.where);
	return 0;
}
