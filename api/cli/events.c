/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/events.h"

#include <errno.h>
#include <string.h>

#include "api/cli/http_client.h"

/* The value of "name: value", or NULL. */
static const char *value_of(const char *line, const char *name)
{
	const size_t n = strlen(name);

	if (strncmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	return line + n + 1 + (line[n + 1] == ' ');
}

static int take_data(struct events *e, const char *data)
{
	json_t *o = json_loads(data, JSON_REJECT_DUPLICATES, NULL);
	int r;

	if (!json_is_object(o)) {
		json_decref(o);
		return -EPROTO;
	}
	r = e->ops->event(o, e->kind, e->ops->arg);
	json_decref(o);
	return r;
}

static int take_line(struct events *e)
{
	const char *kind = value_of(e->line, "event"), *data = value_of(e->line, "data");

	/* The daemon's first line, a comment, says that it has us on its list. */
	if (!e->listening) {
		e->listening = true;
		if (e->ops->listening != NULL) {
			int r = e->ops->listening(e->ops->arg);
			if (r != 0)
				return r;
		}
	}
	if (kind != NULL) {
		if (strlen(kind) >= sizeof(e->kind))
			return -EPROTO;
		memcpy(e->kind, kind, strlen(kind) + 1);
	}
	return data == NULL ? 0 : take_data(e, data);
}

int events_feed(struct events *e, const char *data, size_t len)
{
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		if (data[i] != '\n') {
			if (data[i] == '\0' || e->len == sizeof(e->line) - 1)
				return -EPROTO;
			e->line[e->len++] = data[i];
			continue;
		}
		e->line[e->len] = '\0';
		e->len = 0;
		r = take_line(e);
	}
	return r;
}

struct listener {
	struct events events;
	int result; /* of a callback */
};

static int on_piece(const char *data, size_t len, void *arg)
{
	struct listener *l = arg;

	l->result = events_feed(&l->events, data, len);
	return l->result == 0 ? 0 : -ECANCELED;
}

int events_listen(struct cli *cli, const struct events_ops *ops, struct err *err)
{
	struct listener l = { .events = { .ops = ops } };
	struct http_client *http = NULL;
	int r = http_client_open(cli, &http, err);

	if (r == 0)
		r = http_client_stream(http, "/v1/events", on_piece, &l, err);
	http_client_free(http);
	if (l.result == -EPROTO)
		return err_set(err, -EPROTO, "daemon: events that are none");
	if (l.result != 0)
		return l.result;
	return r < 0 ? r : err_set(err, -ECONNRESET, "daemon: ended the stream of events");
}
