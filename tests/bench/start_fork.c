/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/start_fork.h"

#include <jansson.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/num.h"
#include "tests/bench/start_stack.h"
#include "tests/bench/stat.h"

#define MEMORY_BYTES  (128 * MIB)
#define DIRTY	      "dirty-64" /* MiB, an order to tests/guest/agent.c */
#define SCRATCH_BYTES (64 * MIB)

/* What an answer is made of: the daemon's word for each stage of the child, and before them all
 * that is done for the snapshot, which is the rest. */
static const struct stage {
	const char *name, *key;
} stages[] = {
	{ "fork_copy", "total_ms" },	      { "fork_jail", "jail_ms" },
	{ "fork_configure", "configure_ms" }, { "fork_start", "start_ms" },
	{ "fork_agent", "boot_ms" },
};

static void keep(struct samples s[static ARRAY_SIZE(stages)], double ms, const json_t *timings)
{
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		double v = json_number_value(json_object_get(timings, stages[i].key));
		samples_add(&s[i], i == 0 ? ms - v : v);
	}
}

static void destroy(const json_t *sandbox)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s",
		       json_string_value(json_object_get(sandbox, "id")));
	json_decref(stack_call("DELETE", path, NULL));
}

struct rows {
	struct samples paused, answers, parts[ARRAY_SIZE(stages)];
};

static void measure(size_t n, uint64_t scratch_bytes, struct rows *ret)
{
	json_t *body = json_pack("{s:I, s:I, s:s}", "memory_bytes", (json_int_t)MEMORY_BYTES,
				 "scratch_bytes", (json_int_t)scratch_bytes, "hostname", DIRTY);
	json_t *parent = stack_call("POST", "/v1/sandboxes", body), *out;
	char path[96];

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/fork",
		       json_string_value(json_object_get(parent, "id")));
	for (size_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();
		const json_t *child;
		double ms;
		out = stack_call("POST", path, NULL);
		ms = (double)(now_ns() - begin) / 1e6;
		child = json_array_get(json_object_get(out, "sandboxes"), 0);
		samples_add(&ret->answers, ms);
		samples_add(&ret->paused,
			    json_number_value(json_object_get(out, "parent_paused_ms")));
		keep(ret->parts, ms, json_object_get(child, "timings"));
		destroy(child);
		json_decref(out);
	}
	destroy(parent);
	json_decref(parent);
	json_decref(body);
}

void start_fork_rows(size_t n, const char *where)
{
	static struct rows plain, disk;

	stack_start_daemon(0);
	measure(n, 0, &plain);
	measure(n, SCRATCH_BYTES, &disk);
	stack_stop_daemon();
	bench_print("start", "fork_parent_paused", "ms", &plain.paused, NULL, NULL, where);
	bench_print("start", "fork_child_answers", "ms", &plain.answers, NULL, NULL, where);
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
		bench_print("start", stages[i].name, "ms", &plain.parts[i], NULL, NULL, where);
	bench_print("start", "fork_disk_parent_paused", "ms", &disk.paused, NULL, NULL, where);
	bench_print("start", "fork_disk_child_answers", "ms", &disk.answers, NULL, NULL, where);
	(void)fflush(stdout);
}
