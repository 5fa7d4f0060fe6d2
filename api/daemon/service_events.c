/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_events.c - GET /v1/events: what happens to the caller's sandboxes, as server-sent events,
 * from now on. Each has a number; a client that doesn't keep up misses some and is told how many.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/service.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#define SUBSCRIBERS_MAX 64U
#define PENDING_MAX	65536U /* bytes that wait for a slow one */
#define PING_MS		15000U

struct subscriber {
	struct subscriber *next;
	struct service *sv;
	struct http_req *req;
	const struct principal *who;
	struct loop_timer *ping;
	struct buf pending;
	uint64_t lost;
};

static void unsubscribe(void *state)
{
	struct subscriber *s = state, **at = &s->sv->subscribers;

	while (*at != NULL && *at != s)
		at = &(*at)->next;
	if (*at == s)
		*at = s->next;
	loop_timer_del(s->ping);
	s->ping = NULL;
	buf_done(&s->pending);
}

static ssize_t on_more(char *p, size_t max, void *state)
{
	struct subscriber *s = state;
	size_t n = MIN(buf_len(&s->pending), max);

	if (n > 0)
		memcpy(p, buf_head(&s->pending), n);
	buf_consume(&s->pending, n);
	return (ssize_t)n;
}

/* A whole event or nothing of it. */
static void push(struct subscriber *s, const char *text, size_t len)
{
	char note[64];
	int n = 0;

	if (s->lost > 0)
		n = snprintf(note, sizeof(note), "event: lost\ndata: {\"events\":%" PRIu64 "}\n\n",
			     s->lost);
	if (buf_room(&s->pending) < (size_t)n + len) {
		s->lost++;
		return;
	}
	if (buf_put(&s->pending, note, (size_t)n) < 0 || buf_put(&s->pending, text, len) < 0) {
		s->lost++;
		return;
	}
	s->lost = 0;
	http_more(s->req);
}

static void on_ping(void *arg)
{
	struct subscriber *s = arg;

	s->ping = NULL;
	push(s, ": ping\n\n", 8);
	if (loop_timer_add(s->sv->loop, PING_MS, on_ping, s, &s->ping) < 0)
		log_warn("events.ping", "request=%s: no memory for a timer", http_id(s->req));
}

void service_publish(struct service *sv, const struct sandbox *b)
{
	const struct tenant *owner = sandbox_tenant(b);
	char text[512];
	int n;

	sv->events++;
	if (sv->subscribers == NULL)
		return;
	n = snprintf(text, sizeof(text),
		     "id: %" PRIu64 "\nevent: sandbox\ndata: {\"id\":\"%s\",\"state\":\"%s\","
		     "\"reason\":\"%s\",\"tenant\":\"%s\",\"unix_ms\":%" PRIu64 "}\n\n",
		     sv->events, sandbox_id(b), sandbox_state_name(sandbox_state(b)),
		     sandbox_reason(b), owner == NULL ? "" : owner->limits.name,
		     clock_ns(CLOCK_REALTIME) / 1000000);
	for (struct subscriber *s = sv->subscribers; s != NULL; s = s->next)
		if (s->who->admin || s->who->tenant == owner)
			push(s, text, (size_t)n);
}

void service_events(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct subscriber *s;
	unsigned count = 0;

	for (s = sv->subscribers; s != NULL; s = s->next)
		count++;
	if (count >= SUBSCRIBERS_MAX) {
		http_error(req, 429, "too_many_streams", "events: %u listeners already", count);
		return;
	}
	s = http_set_state(req, sizeof(*s), unsubscribe);
	if (s == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	s->sv = sv;
	s->req = req;
	s->who = auth_principal(req);
	buf_init(&s->pending, PENDING_MAX);
	s->next = sv->subscribers;
	sv->subscribers = s;
	http_add_field(req, "Cache-Control", "no-store");
	http_stream(req, "text/event-stream", on_more);
	on_ping(s); /* so that the client sees at once that it listens */
}
