/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.c - from SendInput to a process's stdin or terminal. A call is answered when its bytes
 * have been taken, which is the client's back-pressure; a few calls may wait, more are refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/process_internal.h"
#include "base/bug.h"
#include "base/fd.h"

static void on_cancelled(struct rpc_call *call, void *arg)
{
	struct input_item *item = arg;

	(void)call;
	item->call = NULL;
}

static const struct rpc_call_ops item_ops = { .cancelled = on_cancelled };

/* Takes the first item out of the queue and answers its call; why == NULL: all written. */
static void item_done(struct input *in, const char *why)
{
	Casemate__Agent__V1__SendInputResponse ok = CASEMATE__AGENT__V1__SEND_INPUT_RESPONSE__INIT;
	struct input_item *item = in->first;

	in->first = item->next;
	if (in->first == NULL)
		in->last = &in->first;
	in->count--;
	in->bytes -= item->len;
	if (item->call != NULL && why == NULL)
		rpc_reply(item->call, &ok.base, NULL);
	else if (item->call != NULL)
		rpc_fail(item->call, RPC_FAILED_PRECONDITION, "%s", why);
	free(item);
}

void input_init(struct input *in, struct process *p, int fd)
{
	*in = (struct input){ .process = p, .fd = fd, .last = &in->first };
}

void input_close(struct input *in, const char *why)
{
	loop_io_del(in->io);
	in->io = NULL;
	fd_closep(&in->fd);
	while (in->first != NULL)
		item_done(in, why);
}

static void on_writable(struct loop_io *io, int fd, uint32_t events, void *arg);

/* Writes what the process takes now, and sees to it that the rest is tried again. */
static void flush(struct input *in)
{
	while (in->first != NULL) {
		struct input_item *item = in->first;
		ssize_t n = write(in->fd, item->data + item->off, item->len - item->off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			input_close(in, "the process has closed its stdin");
			return;
		}
		item->off += (size_t)n;
		if (item->off == item->len)
			item_done(in, NULL);
	}
	if (in->first == NULL) {
		loop_io_del(in->io);
		in->io = NULL;
		if (in->closing)
			fd_closep(&in->fd);
	} else if (in->io == NULL && loop_io_add(in->process->table->loop, in->fd, EPOLLOUT,
						 on_writable, in, &in->io) < 0) {
		input_close(in, "out of memory");
	}
}

static void on_writable(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	(void)io;
	(void)fd;
	(void)events;
	flush(arg);
}

static int put(struct input *in, const uint8_t *data, size_t len, struct rpc_call *call)
{
	struct input_item *item;

	if (in->fd < 0 || in->closing)
		return -EPIPE;
	if (in->count >= PROCESS_INPUTS_MAX || len > PROCESS_INPUT_BYTES - in->bytes)
		return -ENOBUFS;
	item = malloc(sizeof(*item) + len);
	if (item == NULL)
		return -ENOMEM;
	*item = (struct input_item){ .input = in, .call = call, .len = len };
	if (len > 0)
		memcpy(item->data, data, len);
	if (call != NULL)
		rpc_call_watch(call, &item_ops, item);
	*in->last = item;
	in->last = &item->next;
	in->count++;
	in->bytes += len;
	flush(in);
	return 0;
}

int process_put_input(struct process *p, const uint8_t *data, size_t len)
{
	return put(&p->in, data, len, NULL);
}

void process_send_input(struct process *p, const uint8_t *data, size_t len, struct rpc_call *call)
{
	int r = put(&p->in, data, len, call);

	if (r == -EPIPE)
		rpc_fail(call, RPC_FAILED_PRECONDITION, "stdin is closed");
	else if (r == -ENOBUFS)
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED,
			 "too much input waits already: await answers");
	else if (r < 0)
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
}

int process_close_stdin(struct process *p)
{
	if (p->in.fd < 0 || p->in.closing || p->pty)
		return -EPIPE;
	p->in.closing = true;
	flush(&p->in);
	return 0;
}
