/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_handover.c - the control connection's owner goes, and another one comes.
 *
 * A VM that has run outlives its control connection when the jailer has left a VMM_FD_HANDOVER:
 * over that the jailer, and nobody else, passes the socket of a new one. How long a VM may be
 * without is the jailer's business, which kills it; and without the jailer no VMM lives
 * (PR_SET_PDEATHSIG).
 *
 * A control socket always has the number VMM_FD_CONTROL, for which alone the filters allow what
 * such a connection does. All lower and, but for what was closed after a boot, all other numbers
 * below VMM_FD_DYNAMIC are taken (main.c, reserve_numbers), so a descriptor that arrives once that
 * number is free gets it. Nothing else makes one meanwhile: they only come over these two sockets,
 * and both are this thread's.
 */
#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "vmm/control_internal.h"
#include "vmm/vmm_fds.h"

bool control_outlives(const struct control *c)
{
	return c->handover != NULL && (c->state == STATE_RUNNING || c->state == STATE_PAUSED);
}

static void close_handover(struct control *c)
{
	loop_io_del(c->handover);
	c->handover = NULL;
	if (c->conn == NULL)
		result_end(&c->result, END_STOPPED, "no control connection will come any more");
}

static void on_handover(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct control *c = arg;
	size_t count = 1;
	int control = -1, r;
	ssize_t n;
	char byte;

	(void)io;
	if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		close_handover(c);
		return;
	}
	/* What the old peer waits for it will not hear. */
	rpc_conn_free(c->conn);
	c->conn = NULL;
	n = fd_recv(fd, &byte, sizeof(byte), &control, &count);
	r = n < 0 ? (int)n : count != 1 ? -EPROTO : 0;
	if (r == 0) {
		BUG_ON(control != VMM_FD_CONTROL);
		r = control_connect_peer(c, true);
	}
	log_info("vm.handover", "id=%s error=%d", c->id, -r);
	if (r < 0)
		close_handover(c);
}

int control_handover_begin(struct control *c)
{
	int r = loop_io_add(c->loop, VMM_FD_HANDOVER, EPOLLIN, on_handover, c, &c->handover);

	/* /dev/null in its place can't be polled: there is none. */
	return r == -EPERM ? 0 : r;
}
