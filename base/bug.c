/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bug.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

NORETURN void bug(const char *file, int line, const char *what)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "bug: %s:%d: %s\n", file, line, what);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

	if (write(STDERR_FILENO, text, len) < 0)
		_exit(134);
	abort();
}
