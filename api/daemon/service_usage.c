/* SPDX-License-Identifier: Apache-2.0 */
/* service_usage.c - GET /v1/usage: what the caller's sandboxes use at this moment, as the kernel
 * counts it; for whoever looks at all of them again and again. */
#include "api/daemon/scrape.h"
#include "base/num.h"

static json_int_t clamp(uint64_t n)
{
	return (json_int_t)MIN(n, (uint64_t)INT64_MAX);
}

static void answer(struct scrape *m)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < m->count; i++) {
		const struct usage *u = &m->list[i].wait.got;
		const struct sandbox *s = scrape_sandbox(m, &m->list[i]);
		if (s == NULL)
			continue;
		const struct spec *spec = sandbox_spec(s);
		(void)json_array_append_new(
			list, json_pack("{s:s, s:i, s:I, s:I, s:f, s:I, s:I}", "id", sandbox_id(s),
					"vcpus", (int)spec->vcpus, "guest_memory_bytes",
					clamp(spec->memory_bytes), "cpu_us", clamp(u->cpu_us),
					"cpu_percent", MIN(u->cpu_pct, 100.0 * spec->vcpus),
					"memory_bytes", clamp(u->memory_bytes), "memory_peak_bytes",
					clamp(u->memory_peak_bytes)));
	}
	http_answer(m->req, 200, json_pack("{s:o}", "sandboxes", list));
}

void service_usage(struct http_req *req, void *arg)
{
	const struct service *sv = arg;
	struct scrape *m = scrape_new(req, sv, scrape_running(sv), answer);

	if (m == NULL)
		return;
	scrape_add_all(m);
	scrape_run(m);
}
