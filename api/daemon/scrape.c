/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/scrape.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"

static void forget_all(void *state)
{
	struct scrape *m = state;

	for (unsigned i = 0; i < m->count; i++)
		usage_forget(&m->list[i].wait);
}

static void on_client_gone(struct http_req *req, void *state)
{
	(void)req;
	forget_all(state);
}

static void on_usage(struct usage_wait *w)
{
	struct scrape *m = CONTAINER_OF(w, struct scraped, wait)->scrape;

	if (--m->waiting == 0)
		m->answer(m);
}

struct scrape *scrape_new(struct http_req *req, const struct service *sv, unsigned max,
			  void (*answer)(struct scrape *m))
{
	struct scrape *m;

	BUG_ON(max > SCRAPE_MAX);
	m = http_set_state(req, sizeof(*m) + max * sizeof(m->list[0]), forget_all);
	if (m == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return NULL;
	}
	m->req = req;
	m->sv = sv;
	m->max = max;
	m->answer = answer;
	return m;
}

void scrape_add(struct scrape *m, const struct sandbox *s)
{
	struct scraped *x;

	if (m->count == m->max)
		return;
	x = &m->list[m->count++];
	x->scrape = m;
	x->wait.fn = on_usage;
	memcpy(x->id, sandbox_id(s), sizeof(x->id));
}

static bool add_running(struct sandbox *s, void *arg)
{
	struct scrape *m = arg;

	if (sandbox_state(s) == SANDBOX_RUNNING && service_owns(m->req, s))
		scrape_add(m, s);
	return true;
}

void scrape_add_all(struct scrape *m)
{
	sandboxes_each(m->sv->sandboxes, add_running, m);
}

static bool count_running(struct sandbox *s, void *arg)
{
	if (sandbox_state(s) == SANDBOX_RUNNING)
		++*(unsigned *)arg;
	return true;
}

unsigned scrape_running(const struct service *sv)
{
	unsigned n = 0;

	sandboxes_each(sv->sandboxes, count_running, &n);
	return MIN(n, SCRAPE_MAX);
}

/* The one more that it waits for is itself, so that the answer comes after the last has been asked.
 */
void scrape_run(struct scrape *m)
{
	m->waiting = m->count + 1;
	http_hold(m->req, on_client_gone);
	for (unsigned i = 0; i < m->count; i++) {
		struct sandbox *s = sandboxes_find(m->sv->sandboxes, m->list[i].id);
		m->list[i].wait.code = -ENOENT;
		if (s == NULL)
			m->waiting--;
		else
			usage_ask(s, &m->list[i].wait);
	}
	if (--m->waiting == 0)
		m->answer(m);
}

const struct sandbox *scrape_sandbox(const struct scrape *m, const struct scraped *x)
{
	return x->wait.code < 0 ? NULL : sandboxes_find(m->sv->sandboxes, x->id);
}
