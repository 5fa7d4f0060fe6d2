/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verb_wait.c - casemate wait: until sandboxes have ended. It listens first and looks then, so that
 * nothing happens in between; and it looks once more whenever an event was lost.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "api/cli/events.h"
#include "api/cli/http_client.h"

#define ALL_OVER    1 /* of a callback: the wait is */
#define TIMEOUT_MAX (UINT64_C(365) * 24 * 3600000)

struct wait {
	struct cli *cli;
	char **ids; /* NULL once that one has ended */
	int count, left;
	bool json;
	int status;
	bool late;
	struct loop_timer *timer;
};

static bool is_over(const char *state)
{
	return strcmp(state, "ended") == 0 || strcmp(state, "failed") == 0;
}

static void tell(struct wait *w, int i, const char *state, const char *reason)
{
	json_t *o;

	if (w->json) {
		o = json_pack("{s:s, s:s, s:s}", "id", w->ids[i], "state", state, "reason", reason);
		(void)cli_print_json(o);
		json_decref(o);
	} else {
		(void)printf("%s %s\n", w->ids[i], reason);
	}
	(void)fflush(stdout);
	w->ids[i] = NULL;
	w->left--;
}

/* A sandbox that there isn't is over too, but not well. */
static void look(struct wait *w, int i)
{
	struct http_client *http = NULL;
	json_t *o = NULL;
	struct err err = { 0 };
	char path[80];
	int r = http_client_open(w->cli, &http, &err);

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", w->ids[i]);
	if (r == 0)
		r = http_client_call(http, "GET", path, NULL, CALL_MS, &o, NULL, &err);
	http_client_free(http);
	if (r < 0 && w->cli->signo == 0) {
		w->status = cli_fail("%s", err.msg);
		w->ids[i] = NULL;
		w->left--;
	} else if (r == 0 && is_over(cli_text(o, "state"))) {
		tell(w, i, cli_text(o, "state"), cli_text(json_object_get(o, "end"), "reason"));
	}
	json_decref(o);
}

static int look_at_all(void *arg)
{
	struct wait *w = arg;

	for (int i = 0; i < w->count; i++)
		if (w->ids[i] != NULL)
			look(w, i);
	return w->left == 0 ? ALL_OVER : 0;
}

static int on_event(const json_t *o, const char *kind, void *arg)
{
	const char *id = cli_text(o, "id"), *state = cli_text(o, "state");
	struct wait *w = arg;

	if (strcmp(kind, "lost") == 0)
		return look_at_all(w);
	for (int i = 0; i < w->count; i++)
		if (w->ids[i] != NULL && is_over(state) && strcmp(w->ids[i], id) == 0)
			tell(w, i, state, cli_text(o, "reason"));
	return w->left == 0 ? ALL_OVER : 0;
}

/* As a signal would end it: whatever waits gives up. */
static void on_late(void *arg)
{
	struct wait *w = arg;

	w->timer = NULL;
	w->late = true;
	w->cli->signo = w->cli->signo == 0 ? SIGALRM : w->cli->signo;
}

static int wait_all(struct wait *w, uint64_t timeout_ms)
{
	const struct events_ops ops = { .listening = look_at_all, .event = on_event, .arg = w };
	struct err err = { 0 };
	int r = 0;

	if (timeout_ms > 0)
		r = loop_timer_add(w->cli->loop, timeout_ms, on_late, w, &w->timer);
	if (r < 0)
		return cli_fail("wait: out of memory");
	r = events_listen(w->cli, &ops, &err);
	loop_timer_del(w->timer);
	if (w->late)
		return CLI_TIMEOUT;
	if (w->cli->signo != 0)
		return CLI_SIGNALLED + w->cli->signo;
	return r == ALL_OVER ? w->status : cli_fail("%s", err.msg);
}

int verb_wait(struct cli *cli, int argc, char **argv)
{
	struct wait w = { .cli = cli, .status = CLI_OK };
	uint64_t timeout_ms = 0;
	const struct option_spec list[] = { { "timeout", 0, OPTION_TIME, &timeout_ms, 1,
					      TIMEOUT_MAX, NULL },
					    { "json", 0, OPTION_FLAG, &w.json, 0, 0, NULL } };
	const struct args args = {
		"Usage: casemate wait [--timeout TIME] [--json] ID...\n"
		"Waits until the sandboxes have ended, and prints why as each does.",
		list,
		ARRAY_SIZE(list),
		1,
		ARGS_MANY,
		false
	};
	int status = args_parse(&args, argc, argv);

	if (status != ARGS_GO)
		return status;
	w.ids = argv + optind;
	w.count = w.left = argc - optind;
	return wait_all(&w, timeout_ms);
}
