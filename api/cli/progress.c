/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"

#define FIRST_MS 1000U
#define STEP_MS	 500U

static void show(const struct progress *p)
{
	char amount[64] = "";

	if (p->total > 0)
		(void)snprintf(amount, sizeof(amount), " %" PRIu64 " of %" PRIu64 " MiB,",
			       p->done / MIB, p->total / MIB);
	else if (p->done > 0)
		(void)snprintf(amount, sizeof(amount), " %" PRIu64 " MiB,", p->done / MIB);
	(void)fprintf(stderr, "\r\033[Kcasemate: %s:%s %" PRIu64 " s", p->what, amount,
		      (now_ms() - p->since_ms) / 1000);
}

static void on_time(void *arg)
{
	struct progress *p = arg;

	p->timer = NULL;
	p->shown = true;
	show(p);
	if (loop_timer_add(p->loop, STEP_MS, on_time, p, &p->timer) < 0)
		progress_end(p);
}

void progress_begin(struct progress *p, struct cli *cli, const char *what)
{
	const char *term = getenv("TERM");

	*p = (struct progress){ .loop = cli->loop, .what = what, .since_ms = now_ms() };
	if (cli->quiet || isatty(STDERR_FILENO) != 1 || term == NULL || strcmp(term, "dumb") == 0)
		return;
	if (loop_timer_add(p->loop, FIRST_MS, on_time, p, &p->timer) < 0)
		p->timer = NULL; /* then it waits in silence */
}

void progress_end(struct progress *p)
{
	loop_timer_del(p->timer);
	p->timer = NULL;
	if (p->shown)
		(void)fputs("\r\033[K", stderr);
	p->shown = false;
}
