/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AG(lower) casemate__agent__v1__##lower

#define FX(verb, lower, k, fin, fout, in_max, out_max)                                             \
	{                                                                                          \
		.service = "test.Fixture", .name = (verb), .in = &AG(lower##_request__descriptor), \
		.out = &AG(lower##_response__descriptor), .kind = (k), .fds_in = (fin),            \
		.fds_out = (fout), .in_bytes_max = (in_max), .out_bytes_max = (out_max)            \
	}

const struct rpc_method fx_methods[FX_COUNT] = {
	[FX_ECHO] = FX("Echo", identify, RPC_UNARY, 0, 0, 4096, 4096),
	[FX_LATE] = FX("Late", health, RPC_UNARY, 0, 0, 4096, 4096),
	[FX_READ] = FX("Read", read_file, RPC_SERVER_STREAM, 0, 0, 4096, 80 * 1024),
	[FX_WRITE] = FX("Write", write_file, RPC_CLIENT_STREAM, 0, 0, 80 * 1024, 4096),
	[FX_TAKE_FD] = FX("TakeFd", health, RPC_UNARY, 2, 0, 4096, 4096),
	[FX_GIVE_FD] = FX("GiveFd", health, RPC_UNARY, 0, 2, 4096, 4096),
};

static void reply_health(struct rpc_call *call, uint64_t value, const int *fds)
{
	Casemate__Agent__V1__HealthResponse out = CASEMATE__AGENT__V1__HEALTH_RESPONSE__INIT;

	out.uptime_ms = value;
	rpc_reply(call, &out.base, fds);
}

static void on_echo(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Agent__V1__IdentifyRequest *req = (const void *)in;
	Casemate__Agent__V1__IdentifyResponse out = CASEMATE__AGENT__V1__IDENTIFY_RESPONSE__INIT;
	struct fx *f = arg;

	(void)fds;
	f->calls++;
	if (strcmp(req->hostname, "free") == 0) {
		/* A handler that gives its own connection up still ends its call. */
		rpc_conn_free(f->server);
		f->server = NULL;
	}
	if (strcmp(req->hostname, "fail") == 0) {
		rpc_fail(call, RPC_NOT_FOUND, "no \"%s\"\n", "x");
		return;
	}
	out.agent_version = req->hostname;
	rpc_reply(call, &out.base, NULL);
}

static void late_cancelled(struct rpc_call *call, void *arg)
{
	struct fx *f = arg;

	cr_assert_eq(call, f->late);
	f->late = NULL;
	f->cancelled++;
}

static void on_late(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	static const struct rpc_call_ops ops = { .cancelled = late_cancelled };
	struct fx *f = arg;

	(void)in;
	(void)fds;
	f->calls++;
	f->late = call;
	rpc_call_watch(call, &ops, f);
}

void fx_stream_more(struct fx *f)
{
	static uint8_t chunk[65536];

	while (f->stream != NULL && rpc_conn_writable(f->server)) {
		Casemate__Agent__V1__ReadFileResponse out =
			CASEMATE__AGENT__V1__READ_FILE_RESPONSE__INIT;
		size_t n = f->to_send < sizeof(chunk) ? (size_t)f->to_send : sizeof(chunk);
		struct rpc_call *call = f->stream;

		if (n == 0) {
			f->stream = NULL;
			rpc_reply(call, NULL, NULL);
			return;
		}
		for (size_t i = 0; i < n; i++)
			chunk[i] = fx_byte(f->sent + i);
		out.data.data = chunk;
		out.data.len = n;
		cr_assert_eq(rpc_send(call, &out.base), 0);
		f->sent += n;
		f->to_send -= n;
	}
	if (f->stream != NULL)
		f->stalls++;
}

static void stream_cancelled(struct rpc_call *call, void *arg)
{
	struct fx *f = arg;

	cr_assert_eq(call, f->stream);
	f->stream = NULL;
	f->cancelled++;
}

static void on_read(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	static const struct rpc_call_ops ops = { .cancelled = stream_cancelled };
	struct fx *f = arg;

	(void)in;
	(void)fds;
	f->calls++;
	f->stream = call;
	rpc_call_watch(call, &ops, f);
	fx_stream_more(f);
}

static void write_data(struct rpc_call *call, const ProtobufCMessage *msg, void *arg)
{
	const Casemate__Agent__V1__WriteFileRequest *req = (const void *)msg;
	struct fx *f = arg;

	f->data++;
	f->bytes += req->data.len;
	if (strcmp(req->path, "refuse") == 0)
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "disk full");
}

static void write_half_closed(struct rpc_call *call, void *arg)
{
	Casemate__Agent__V1__WriteFileResponse out = CASEMATE__AGENT__V1__WRITE_FILE_RESPONSE__INIT;
	struct fx *f = arg;

	f->half_closed++;
	out.size = f->bytes;
	rpc_reply(call, &out.base, NULL);
}

static void write_cancelled(struct rpc_call *call, void *arg)
{
	struct fx *f = arg;

	(void)call;
	f->cancelled++;
}

static void on_write(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	static const struct rpc_call_ops ops = { .data = write_data,
						 .half_closed = write_half_closed,
						 .cancelled = write_cancelled };
	struct fx *f = arg;

	(void)fds;
	f->calls++;
	rpc_call_watch(call, &ops, f);
	if (in != NULL)
		write_data(call, in, f);
}

static void on_take_fd(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	struct fx *f = arg;
	char c = 0;

	(void)in;
	f->calls++;
	/* One is taken, the other left for the library to close. */
	CLEANUP(fd_closep) int fd = fd_steal(&fds[0]);
	cr_assert_eq(read(fd, &c, 1), 1);
	reply_health(call, (uint64_t)c, NULL);
}

static void on_give_fd(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	struct fx *f = arg;
	int p[2];

	(void)in;
	(void)fds;
	f->calls++;
	cr_assert_eq(pipe(p), 0);
	reply_health(call, 0, p);
	(void)close(p[0]);
	(void)close(p[1]);
}

static const struct rpc_handler handlers[FX_COUNT] = {
	[FX_ECHO] = { &fx_methods[FX_ECHO], on_echo, 0, false },
	[FX_LATE] = { &fx_methods[FX_LATE], on_late, 1U << 1, false },
	[FX_READ] = { &fx_methods[FX_READ], on_read, 0, false },
	[FX_WRITE] = { &fx_methods[FX_WRITE], on_write, 0, false },
	[FX_TAKE_FD] = { &fx_methods[FX_TAKE_FD], on_take_fd, 0, false },
	[FX_GIVE_FD] = { &fx_methods[FX_GIVE_FD], on_give_fd, 0, true },
};

static uint32_t fx_state(void *arg)
{
	struct fx *f = arg;

	return f->state;
}

static void on_server_closed(struct rpc_conn *c, int reason, void *arg)
{
	struct fx *f = arg;

	(void)c;
	f->server_closed++;
	f->server_reason = reason;
}

static void on_client_closed(struct rpc_conn *c, int reason, void *arg)
{
	struct fx *f = arg;

	(void)c;
	f->client_closed++;
	f->client_reason = reason;
}

static void on_drained(struct rpc_conn *c, void *arg)
{
	struct fx *f = arg;

	cr_assert_eq(c, f->server);
	cr_assert(rpc_conn_writable(c));
	fx_stream_more(f);
}

void fx_init(struct fx *f, bool raw)
{
	struct rpc_conn_config server = { .handlers = handlers,
					  .handlers_count = FX_COUNT,
					  .state = fx_state,
					  .closed = on_server_closed,
					  .drained = on_drained,
					  .arg = f };
	struct rpc_conn_config client = { .closed = on_client_closed, .arg = f };
	int sv[2];

	memset(f, 0, sizeof(*f));
	f->raw = -1;
	f->state = 1U << 1;
	cr_assert_eq(loop_new(&f->loop), 0);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(rpc_conn_new(f->loop, sv[0], &server, &f->server), 0);
	if (raw)
		f->raw = sv[1];
	else
		cr_assert_eq(rpc_conn_new(f->loop, sv[1], &client, &f->client), 0);
}

void fx_done(struct fx *f)
{
	rpc_conn_free(f->client);
	rpc_conn_free(f->server);
	fd_closep(&f->raw);
	loop_free(f->loop);
}

void fx_settle(struct fx *f)
{
	for (int quiet = 0; quiet < 4; quiet++)
		cr_assert_eq(loop_step(f->loop, 5), 0);
}
