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
#include "tests/bench/start_alive.h"
#include "tests/bench/start_claims.h"
#include "tests/bench/start_fork.h"
#include "tests/bench/start_stack.h"
#include "tests/bench/stat.h"

#define IDLE_SPARES   64U
#define MEMORY_ROUNDS 5U
#define SETTLE_US     500000U

static struct {
	struct stack_programs programs;
	const char *where;
	uint64_t n, cold, forks, claims, alive;
} opt = { .where = "native", .n = 1000, .cold = 100, .forks = 100, .claims = 5, .alive = 0 };

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
	json_t *body = json_pack("{s:I}", "memory_bytes", (json_int_t)STACK_MEMORY), *out;
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

/* ---- What is measured -------------------------------------------------------------------- */

static void measure_paths(void)
{
	char id[64], other[64];

	stack_start_pool(4);
	while (samples[PATH_POOL][0].n < opt.n) {
		stack_wait_for_spares(1);
		(void)create(id, false, PATH_POOL);
		stack_destroy(id);
	}
	stack_stop_daemon();
	/* With one spare, the second of two has none. */
	stack_start_pool(1);
	for (uint64_t i = 0; samples[PATH_RESTORE][0].n < opt.n && i < 4 * opt.n; i++) {
		stack_wait_for_spares(1);
		(void)create(id, false, PATH_COUNT);
		(void)create(other, false, PATH_RESTORE);
		stack_destroy(id);
		stack_destroy(other);
	}
	while (samples[PATH_COLD][0].n < opt.cold) {
		(void)create(id, true, PATH_COLD);
		stack_destroy(id);
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

static double available_with_pool(unsigned depth)
{
	double kib;

	stack_start_pool(depth);
	(void)usleep(SETTLE_US);
	kib = stack_available_kib();
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
					       { "claims", required_argument, NULL, 'r' },
					       { "alive", required_argument, NULL, 'a' },
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
		case 'r':
			bad |= parse_u64(optarg, 0, CLAIMS_SECONDS_MAX, &opt.claims);
			break;
		case 'a':
			bad |= parse_u64(optarg, 0, ALIVE_MAX, &opt.alive);
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
				   "--n, --cold, --forks and --alive: how many; --claims: "
				   "for how many seconds");
	if (opt.programs.daemon == NULL || opt.programs.jailer == NULL ||
	    opt.programs.vmm == NULL || opt.programs.guest == NULL)
		stack_die("usage", "--daemon, --jailer, --vmm and --guest are needed");
}

int main(int argc, char **argv)
{
	static struct samples memory;

	parse_options(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	stack_set_up(&opt.programs);
	if (opt.forks > 0)
		start_fork_rows(opt.forks, opt.where);
	if (opt.claims > 0)
		start_claims_rows((unsigned)opt.claims, opt.where);
	if (opt.alive > 0)
		start_alive_rows((unsigned)opt.alive, opt.where);
	if (opt.n == 0)
		return 0;
	measure_paths();
	print_paths();
	measure_memory(&memory);
	bench_print("start", "memory_idle_host", "KiB", &memory, NULL, NULL, opt.where);
	return 0;
}
