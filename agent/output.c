/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.c - from a process's pipes or terminal to the events of its listeners.
 *
 * Back-pressure: a held-back descriptor leaves the loop altogether, because epoll reports a
 * hang-up even of one that is watched for nothing.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/process_internal.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"

typedef Casemate__Agent__V1__ProcessEvent event_pb;
typedef Casemate__Agent__V1__ProcessEvent__DataEvent data_pb;

static void send_data(struct output *o, uint8_t *bytes, size_t len)
{
	ProtobufCBinaryData b = { .len = len, .data = bytes };
	data_pb data = CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__INIT;
	event_pb ev = CASEMATE__AGENT__V1__PROCESS_EVENT__INIT;

	switch (o->kind) {
	case OUTPUT_STDOUT:
		data.output_case = CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDOUT;
		data.stdout = b;
		break;
	case OUTPUT_STDERR:
		data.output_case = CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDERR;
		data.stderr = b;
		break;
	case OUTPUT_PTY:
		data.output_case = CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_PTY;
		data.pty = b;
		break;
	}
	ev.event_case = CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_DATA;
	ev.data = &data;
	listener_send(o->process, &ev);
}

static bool held_back(const struct output *o)
{
	return !listener_writable(o->process);
}

static void pause_reading(struct output *o)
{
	loop_io_del(o->io);
	o->io = NULL;
}

static void on_readable(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct output *o = arg;
	struct process_table *t = o->process->table;
	ssize_t n;

	(void)io;
	(void)events;
	if (held_back(o)) {
		pause_reading(o);
		return;
	}
	n = read(fd, t->scratch, sizeof(t->scratch));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* end of file; EIO is how a terminal says it */
		output_close(o);
	} else {
		o->owed -= MIN(o->owed, (size_t)n);
		send_data(o, t->scratch, (size_t)n);
	}
	process_check_end(o->process);
}

void output_init(struct output *o, struct process *p, enum output_kind kind, int fd)
{
	*o = (struct output){ .process = p, .kind = kind, .fd = fd };
}

void output_resume(struct output *o)
{
	if (o->fd < 0 || o->io != NULL || held_back(o))
		return;
	/* Without memory to watch it, it can't be read: the process gets EPIPE rather than hang. */
	if (loop_io_add(o->process->table->loop, o->fd, EPOLLIN, on_readable, o, &o->io) < 0)
		output_close(o);
}

void output_close(struct output *o)
{
	pause_reading(o);
	fd_closep(&o->fd);
	o->owed = 0;
}

void output_measure(struct output *o)
{
	int n = 0;

	if (o->fd < 0)
		return;
	if (o->kind == OUTPUT_PTY || ioctl(o->fd, FIONREAD, &n) < 0 || n < 0)
		n = 0;
	o->owed = (size_t)n;
}
