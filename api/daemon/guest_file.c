/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/guest_file.h"

#include <agent.pb-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/daemon/guest_link.h"
#include "api/proto/contract.h"
#include "base/clock.h"

#define CHUNK_BYTES (64U * 1024U) /* the agent's limit for a message, less its head */

struct guest_file {
	struct loop *loop;
	guest_file_fn *done;
	void *arg;
	struct guest_link *link;
	struct rpc_conn *conn;
	struct rpc_pending *call; /* NULL once it is answered */
	struct loop_timer *stall;
	int fd; /* not ours */
	uint64_t at, moved_ms;
	bool sent, over;
	char *path;
	uint8_t chunk[CHUNK_BYTES];
};

/* The last that is done with f, which may be gone when it returns. */
static void finish(struct guest_file *f, const char *fault)
{
	if (f->over)
		return;
	f->over = true;
	loop_timer_del(f->stall);
	f->stall = NULL;
	f->done(fault, f->arg);
}

static void on_answer(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct guest_file *f = arg;

	(void)out;
	(void)fds;
	f->call = NULL;
	if (st->code != RPC_CANCELLED)
		finish(f, st->code == RPC_OK ? NULL : st->msg);
}

/* The next chunk: 1, 0 = that was all, or -errno. */
static int send_chunk(struct guest_file *f)
{
	Casemate__Agent__V1__WriteFileRequest req = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	ssize_t n = pread(f->fd, f->chunk, sizeof(f->chunk), (off_t)f->at);
	int r;

	if (n < 0)
		return -errno;
	if (n == 0) {
		f->sent = true;
		return rpc_stream_close(f->call);
	}
	req.data = (ProtobufCBinaryData){ .len = (size_t)n, .data = f->chunk };
	r = rpc_stream_send(f->call, &req.base);
	f->at += (uint64_t)n;
	f->moved_ms = now_ms();
	return r < 0 ? r : 1;
}

static void on_stall(void *arg)
{
	struct guest_file *f = arg;
	const uint64_t idle = now_ms() - f->moved_ms;

	f->stall = NULL;
	if (idle >= GUEST_FILE_STALL_MS)
		finish(f, "the agent takes nothing");
	else if (loop_timer_add(f->loop, GUEST_FILE_STALL_MS - idle, on_stall, f, &f->stall) < 0)
		finish(f, "out of memory");
}

static void pump(void *arg)
{
	struct guest_file *f = arg;
	int more = 1;

	while (more > 0 && !f->over && !f->sent && f->call != NULL && rpc_conn_writable(f->conn))
		more = send_chunk(f);
	if (more < 0)
		finish(f, strerror(-more));
}

static void on_up(struct rpc_conn *conn, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_answer };
	Casemate__Agent__V1__WriteFileRequest req = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	struct guest_file *f = arg;
	char root[] = "root";
	int r;

	req.path = f->path;
	req.user = root;
	req.mode = 0600;
	f->conn = conn;
	r = rpc_start(conn, &agent_methods[AGENT_WRITE_FILE], &req.base, NULL, 0, &ops, f,
		      &f->call);
	if (r < 0)
		finish(f, strerror(-r));
	else
		pump(f);
}

static void on_down(const char *why, void *arg)
{
	finish(arg, why);
}

int guest_file_begin(struct loop *l, const struct sandbox *s, int fd, const char *path,
		     guest_file_fn *done, void *arg, struct guest_file **ret)
{
	static const struct guest_link_ops ops = { .up = on_up, .drained = pump, .down = on_down };
	struct guest_file *f = calloc(1, sizeof(*f));
	int r;

	if (f == NULL)
		return -ENOMEM;
	*f = (struct guest_file){ .loop = l, .done = done, .arg = arg, .fd = fd };
	f->path = strdup(path);
	f->moved_ms = now_ms();
	r = f->path == NULL ? -ENOMEM : guest_link_open(l, s, &ops, f, &f->link);
	if (r == 0)
		r = loop_timer_add(l, GUEST_FILE_STALL_MS, on_stall, f, &f->stall);
	if (r < 0) {
		guest_file_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

void guest_file_free(struct guest_file *f)
{
	if (f == NULL)
		return;
	f->over = true;
	loop_timer_del(f->stall);
	guest_link_free(f->link);
	free(f->path);
	free(f);
}
