/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/start_alive.h"

#include <unistd.h>

#include "base/clock.h"
#include "tests/bench/stat.h"

#define FIRST	  100U /* those that the others are compared with */
#define LISTS	  20U
#define DEPTH	  4U
#define SETTLE_US 500000U

static struct samples first, rest, list_ms;

static void print_one(const char *name, const char *unit, double v, const char *where)
{
	static struct samples s;

	s.n = 0;
	samples_add(&s, v);
	bench_print("start", name, unit, &s, NULL, NULL, where);
}

static void create_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t begin = now_ns();
		json_decref(stack_create());
		samples_add(i < FIRST ? &first : &rest, (double)(now_ns() - begin) / 1e6);
	}
}

static void list_all(unsigned n)
{
	for (unsigned i = 0; i < LISTS; i++) {
		uint64_t begin = now_ns();
		json_t *o = stack_call("GET", "/v1/sandboxes", NULL);
		samples_add(&list_ms, (double)(now_ns() - begin) / 1e6);
		if (json_array_size(json_object_get(o, "sandboxes")) != n)
			stack_die("list", "not all that were made are in it");
		json_decref(o);
	}
}

void start_alive_rows(unsigned n, const char *where)
{
	double before, daemon, jailer, after;

	stack_start_pool(DEPTH);
	before = stack_available_kib();
	daemon = stack_daemon_kib();
	jailer = stack_jailer_kib();
	create_all(n);
	(void)usleep(SETTLE_US);
	after = stack_available_kib();
	list_all(n);
	bench_print("start", "alive_create_first", "ms", &first, NULL, NULL, where);
	bench_print("start", "alive_create_rest", "ms", &rest, "first", &first, where);
	print_one("alive_memory_host", "KiB", (before - after) / n, where);
	print_one("alive_daemon", "KiB", stack_daemon_kib(), where);
	print_one("alive_daemon_each", "KiB", (stack_daemon_kib() - daemon) / n, where);
	print_one("alive_jailer", "KiB", stack_jailer_kib(), where);
	print_one("alive_jailer_each", "KiB", (stack_jailer_kib() - jailer) / n, where);
	bench_print("start", "alive_list", "ms", &list_ms, NULL, NULL, where);
	stack_stop_daemon();
}
