/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verb_top.c - casemate top: what sandboxes use, again and again, on a terminal's other screen.
 * Plain ANSI sequences; without a terminal it is one table, as of stats.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "api/cli/http_client.h"
#include "api/cli/term.h"
#include "api/cli/usage_table.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define INTERVAL_MS 2000U
#define SCREEN_ON   "\033[?1049h\033[?25l"
#define SCREEN_OFF  "\033[?25h\033[?1049l"
#define LINE_END    "\033[K\r\n"
#define HEAD_LINES  3U /* summary, an empty one, and the table's head */

struct top {
	struct cli *cli;
	struct http_client *http;
	bool quit;
	bool dirty; /* draw anew */
};

static void on_key(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct top *t = arg;
	char keys[64];
	ssize_t n = read(fd, keys, sizeof(keys));

	(void)events;
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
		loop_io_del(io); /* the terminal has gone */
		t->quit = true;
	}
	/* In raw mode Ctrl-C and Ctrl-D are bytes. */
	for (ssize_t i = 0; i < n; i++)
		t->quit =
			t->quit || keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 3 || keys[i] == 4;
}

static void on_resize(int signo, void *arg)
{
	struct top *t = arg;

	(void)signo;
	t->dirty = true;
}

static void print_summary(FILE *f, const json_t *list)
{
	double percent = 0, bytes = 0;
	const json_t *o;
	char text[32] = "";
	const time_t now = (time_t)(clock_ns(CLOCK_REALTIME) / UINT64_C(1000000000));
	struct tm tm;
	size_t i;

	json_array_foreach(list, i, o)
	{
		percent += json_number_value(json_object_get(o, "cpu_percent"));
		bytes += (double)cli_number(o, "memory_bytes");
	}
	if (localtime_r(&now, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%H:%M:%S", &tm);
	(void)fprintf(f, "%s  %zu sandboxes  %.1f%% CPU  %.1f MiB  (q quits)" LINE_END LINE_END,
		      text, json_array_size(list), percent, bytes / (double)MIB);
}

/* All of it in one write, so that it doesn't flicker. */
static int draw(const json_t *answer)
{
	uint32_t cols, rows;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int r = -ENOMEM;

	if (f == NULL)
		return r;
	term_size(&cols, &rows);
	(void)fputs("\033[H", f);
	print_summary(f, json_object_get(answer, "sandboxes"));
	usage_table_print(f, answer, rows > HEAD_LINES + 1 ? rows - HEAD_LINES - 1 : 1, cols,
			  LINE_END);
	(void)fputs("\033[J", f);
	if (fclose(f) == 0)
		r = fd_write_full(STDOUT_FILENO, text, len);
	free(text);
	return r;
}

/* Until it is time for the next sample; draws again meanwhile when the size changes. */
static int pass_time(struct top *t, const json_t *answer, uint64_t interval_ms)
{
	const uint64_t until = now_ms() + interval_ms;
	uint64_t now;
	int r = 0;

	while (r == 0 && !t->quit && t->cli->signo == 0 && (now = now_ms()) < until) {
		r = loop_step(t->cli->loop, (int)MIN(until - now, UINT64_C(60000)));
		if (r == 0 && t->dirty)
			r = draw(answer);
		t->dirty = false;
	}
	return r;
}

static int watch(struct top *t, uint64_t interval_ms, struct err *err)
{
	int r = http_client_open(t->cli, &t->http, err);

	while (r == 0 && !t->quit && t->cli->signo == 0) {
		json_t *answer = NULL;
		r = http_client_call(t->http, "GET", "/v1/usage", NULL, CALL_MS, &answer, NULL,
				     err);
		if (r == 0) {
			r = draw(answer);
			if (r == 0)
				r = pass_time(t, answer, interval_ms);
			if (r < 0)
				(void)err_sys(err, r, "terminal");
		}
		json_decref(answer);
	}
	http_client_free(t->http);
	return r;
}

static int run(struct cli *cli, uint64_t interval_ms)
{
	struct top t = { .cli = cli };
	struct loop_io *keys = NULL;
	struct err err = { 0 };
	int r = loop_signal_add(cli->loop, SIGWINCH, on_resize, &t);

	if (r == 0)
		r = loop_io_add(cli->loop, STDIN_FILENO, EPOLLIN, on_key, &t, &keys);
	if (r == 0)
		r = term_raw();
	if (r < 0)
		return cli_fail("terminal: %s", strerror(-r));
	(void)!write(STDOUT_FILENO, SCREEN_ON, sizeof(SCREEN_ON) - 1);
	r = watch(&t, interval_ms, &err);
	(void)!write(STDOUT_FILENO, SCREEN_OFF, sizeof(SCREEN_OFF) - 1);
	term_restore();
	return cli_end(cli, r, &err);
}

static void print_once(const json_t *answer)
{
	usage_table_print(stdout, answer, 0, 0, "\n");
}

int verb_top(struct cli *cli, int argc, char **argv)
{
	uint64_t interval_ms = INTERVAL_MS;
	bool json = false;
	const struct option_spec list[] = { { "interval", 0, OPTION_TIME, &interval_ms, 1, 3600000,
					      NULL },
					    { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = {
		.help = "Usage: casemate top [--interval TIME] [--json]\n"
			"Shows what sandboxes use, the busiest first, until q is pressed (default: "
			"every 2s).\nWithout a terminal, or with --json, once.",
		.list = list,
		.count = ARRAY_SIZE(list)
	};
	int status = args_parse(&args, argc, argv);

	if (status != ARGS_GO)
		return status;
	if (!json && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1)
		return run(cli, interval_ms);
	return call_show(cli, "/v1/usage", json, print_once);
}
