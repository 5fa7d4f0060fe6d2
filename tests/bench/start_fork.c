/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/start_fork.h"

#include <jansson.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/num.h"
#include "tests/bench/start_stack.h"
#include "tests/bench/stat.h"

#define MEMORY_BYTES (128 * MIB)
#define DIRTY	     "dirty-64" /* MiB, an order to tests/guest/agent.c */

static void destroy(const json_t *sandbox)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s",
		       json_string_value(json_object_get(sandbox, "id")));
	json_decref(stack_call("DELETE", path, NULL));
}

void start_fork_rows(size_t n, const char *where)
{
	static struct samples paused, answers;
	json_t *body = json_pack("{s:I, s:s}", "memory_bytes", (json_int_t)MEMORY_BYTES, "hostname",
				 DIRTY);
	json_t *parent, *out;
	char path[96];

	stack_start_daemon(0);
	parent = stack_call("POST", "/v1/sandboxes", body);
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/fork",
		       json_string_value(json_object_get(parent, "id")));
	for (size_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();
		out = stack_call("POST", path, NULL);
		samples_add(&answers, (double)(now_ns() - begin) / 1e6);
		samples_add(&paused, json_number_value(json_object_get(out, "parent_paused_ms")));
		destroy(json_array_get(json_object_get(out, "sandboxes"), 0));
		json_decref(out);
	}
	stack_stop_daemon();
	json_decref(parent);
	json_decref(body);
	bench_print("start", "fork_parent_paused", "ms", &paused, NULL, NULL, where);
	bench_print("start", "fork_child_answers", "ms", &answers, NULL, NULL, where);
	(void)fflush(stdout);
}
