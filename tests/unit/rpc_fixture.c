/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

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
	[FX_ONCE] = FX("Once", health, RPC_UNARY, 0, 0, 4096, 4096),
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

	if (f->late == call)
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
	if (!f->late_unwatched)
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

static void on_once(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	struct fx *f = arg;

	(void)in;
	(void)fds;
	reply_health(call, ++f->calls, NULL);
}

static const struct rpc_handler handlers[FX_COUNT] = {
	[FX_ECHO] = { .method = &fx_methods[FX_ECHO], .fn = on_echo },
	[FX_LATE] = { .method = &fx_methods[FX_LATE], .fn = on_late, .states = FX_STATE_OPEN },
	[FX_READ] = { .method = &fx_methods[FX_READ], .fn = on_read },
	[FX_WRITE] = { .method = &fx_methods[FX_WRITE], .fn = on_write },
	[FX_TAKE_FD] = { .method = &fx_methods[FX_TAKE_FD], .fn = on_take_fd },
	[FX_GIVE_FD] = { .method = &fx_methods[FX_GIVE_FD], .fn = on_give_fd },
	[FX_ONCE] = { .method = &fx_methods[FX_ONCE], .fn = on_once, .once = true },
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

struct rpc_conn *fx_server(struct fx *f, int fd)
{
	struct rpc_conn_config cfg = { .handlers = handlers,
				       .handlers_count = FX_COUNT,
				       .state = fx_state,
				       .closed = on_server_closed,
				       .drained = on_drained,
				       .arg = f };
	struct rpc_conn *c;

	cr_assert_eq(rpc_conn_new(f->loop, fd, &cfg, &c), 0);
	return c;
}

void fx_init_on(struct fx *f, int server, int client)
{
	struct rpc_conn_config cfg = { .closed = on_client_closed, .arg = f };

	memset(f, 0, sizeof(*f));
	f->raw = -1;
	f->state = FX_STATE_OPEN;
	cr_assert_eq(loop_new(&f->loop), 0);
	f->server = fx_server(f, server);
	if (client >= 0)
		cr_assert_eq(rpc_conn_new(f->loop, client, &cfg, &f->client), 0);
}

void fx_init(struct fx *f, bool raw)
{
	int sv[2];

	cr_assert_eq(fd_socketpair(sv, true), 0);
	fx_init_on(f, sv[0], raw ? -1 : sv[1]);
	if (raw)
		f->raw = sv[1];
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
	uint64_t end = now_ms() + 10000;

	for (int quiet = 0; quiet < 3; quiet++) {
		uint64_t t = now_ns();
		cr_assert_eq(loop_step(f->loop, 6), 0);
		if (now_ns() - t < 5000000)
			quiet = -1; /* something happened */
		cr_assert_lt(now_ms(), end, "the loop doesn't come to rest");
	}
}

static void on_answer(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct fx_answer *a = arg;

	(void)fds;
	a->count++;
	a->st = *st;
	if (out == NULL)
		return;
	if (out->descriptor == &AG(health_response__descriptor))
		a->value =
			((const Casemate__Agent__V1__HealthResponse *)(const void *)out)->uptime_ms;
	if (out->descriptor == &AG(write_file_response__descriptor))
		a->value =
			((const Casemate__Agent__V1__WriteFileResponse *)(const void *)out)->size;
}

const struct rpc_pending_ops fx_answer_ops = { .done = on_answer };

int fx_call(struct fx *f, enum fx_method m, const int *fds, uint64_t timeout_ms,
	    struct rpc_status *st, uint64_t *ret_value, int *ret_fds)
{
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	int r = rpc_call_wait(f->loop, f->client, &fx_methods[m], &req.base, fds, timeout_ms, st,
			      &out, ret_fds);

	if (r == 0 && st->code == RPC_OK) {
		*ret_value =
			((const Casemate__Agent__V1__HealthResponse *)(const void *)out)->uptime_ms;
		protobuf_c_message_free_unpacked(out, NULL);
	}
	return r;
}

unsigned fx_fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert(d != NULL);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

int fx_request(struct frame_tx *tx, enum fx_method m, uint32_t id, uint8_t flags,
	       const ProtobufCMessage *msg)
{
	Casemate__Ttrpc__Request req = CASEMATE__TTRPC__REQUEST__INIT;
	uint8_t *data;
	size_t len;
	int r = frame_pack(msg, RPC_PAYLOAD_MAX, &data, &len);

	if (r < 0)
		return r;
	req.service = frame_bytes(fx_methods[m].service, strlen(fx_methods[m].service));
	req.method = frame_bytes(fx_methods[m].name, strlen(fx_methods[m].name));
	req.payload = frame_bytes(data, len);
	r = frame_put(tx, id, FRAME_REQUEST, flags, &req.base, RPC_PAYLOAD_MAX, NULL, 0);
	free(data);
	return r;
}
