/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/term.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static bool is_raw;

void term_restore(void)
{
	if (!is_raw)
		return;
	is_raw = false;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
}

int term_raw(void)
{
	static bool registered;
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return -errno;
	if (!registered && atexit(term_restore) != 0)
		return -ENOMEM;
	registered = true;
	raw = saved;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
		return -errno;
	is_raw = true;
	return 0;
}

void term_size(uint32_t *ret_cols, uint32_t *ret_rows)
{
	struct winsize ws;
	bool known = ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 && ws.ws_row > 0;

	*ret_cols = known ? ws.ws_col : 80;
	*ret_rows = known ? ws.ws_row : 24;
}
