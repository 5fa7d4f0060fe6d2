/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attacks/wire.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"

#define ANSWER_MS 20000 /* the probe gives an attack less */

bool wire_succeeded(const struct wire_answer *a)
{
	return (a->kind == WIRE_RETURN && a->value == 0) ||
	       (a->kind == WIRE_EXIT && a->value == ATTACK_EXEC_OK);
}

void wire_describe(const struct wire_answer *a, char *ret, size_t cap)
{
	const char *name = a->kind == WIRE_RETURN ? strerrorname_np(-a->value) : NULL;

	if (wire_succeeded(a))
		(void)snprintf(ret, cap, "succeeded");
	else if (a->kind == WIRE_RETURN)
		(void)snprintf(ret, cap, "%s", name != NULL ? name : "?");
	else if (a->kind == WIRE_SIGNAL && a->value == SIGSYS)
		(void)snprintf(ret, cap, "seccomp");
	else if (a->kind == WIRE_SIGNAL)
		(void)snprintf(ret, cap, "SIG%s", sigabbrev_np(a->value));
	else if (a->kind == WIRE_EXIT)
		(void)snprintf(ret, cap, "exit %d", a->value);
	else if (a->kind == WIRE_LATE)
		(void)snprintf(ret, cap, "late");
	else if (a->kind == WIRE_GONE)
		(void)snprintf(ret, cap, "jail killed");
	else
		(void)snprintf(ret, cap, "harness: %s", strerrorname_np(-a->value));
}

void wire_run(int fd, const struct wire_order *o, struct wire_answer *ret)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd_write_full(fd, o, sizeof(*o)) < 0 || poll(&p, 1, ANSWER_MS) != 1 ||
	    fd_read_full(fd, ret, sizeof(*ret)) < 0)
		*ret = (struct wire_answer){ .kind = WIRE_GONE };
}
