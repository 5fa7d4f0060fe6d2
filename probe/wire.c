/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/wire.h"

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

/* An answer that was written before the end still counts. */
static bool answer_waits(int fd, int pidfd)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };

	if (poll(p, 2, ANSWER_MS) <= 0)
		return false;
	return (p[0].revents & POLLIN) != 0 || poll(p, 1, 0) == 1;
}

void wire_run(int fd, int pidfd, const struct wire_order *o, struct wire_answer *ret)
{
	if (fd_write_full(fd, o, sizeof(*o)) < 0 || !answer_waits(fd, pidfd) ||
	    fd_read_full(fd, ret, sizeof(*ret)) < 0)
		*ret = (struct wire_answer){ .kind = WIRE_GONE };
}
