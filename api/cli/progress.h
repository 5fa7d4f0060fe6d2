/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - one line on a terminal's standard error about what takes longer than a second, while
 * cli->loop is run by whoever waits. Nothing when standard error isn't a terminal or cli->quiet is
 * set (--json); nothing of it stays.
 */
#ifndef API_CLI_PROGRESS_H
#define API_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/cli/cli.h"

struct progress {
	struct loop *loop;
	struct loop_timer *timer;
	const char *what;
	uint64_t since_ms;
	uint64_t done, total; /* bytes; 0 = not known */
	bool shown;
};

/* what: a literal, "making a sandbox". p lives until progress_end, which may be called twice. */
void progress_begin(struct progress *p, struct cli *cli, const char *what);
void progress_end(struct progress *p);

#endif
