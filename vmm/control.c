/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the VM's life is one table, next_state[]. Methods are legal by state
 * (handlers[].states, checked by the rpc library before we see the request). The end of the VM,
 * whoever finds it, comes through struct result's descriptor: state ENDED, vCPUs out, every Wait
 * answered. The process leaves when the answer has left, when the peer is gone, or when nobody has
 * asked for the result for a while. The peer of a VM that has run may be replaced
 * (control_handover.c).
 */
#include "vmm/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "vmm/control_internal.h"
#include "vmm/seccomp.h"
#include "vmm/snapshot/vm_state.h"

#define LINGER_MS	   5000U
#define CONSOLE_TAIL_BYTES 4096U

enum event {
	EVENT_CONFIGURED,
	EVENT_STARTED,
	EVENT_PAUSED,
	EVENT_RESUMED,
	EVENT_ENDED,
	EVENT_COUNT
};

#define NONE (-1)
static const int next_state[STATE_COUNT][EVENT_COUNT] = {
	/* in           configured   started        paused        resumed        ended */
	[STATE_NEW] = { STATE_READY, NONE, NONE, NONE, STATE_ENDED },
	[STATE_READY] = { NONE, STATE_RUNNING, NONE, NONE, STATE_ENDED },
	[STATE_RUNNING] = { NONE, NONE, STATE_PAUSED, NONE, STATE_ENDED },
	[STATE_PAUSED] = { NONE, NONE, NONE, STATE_RUNNING, STATE_ENDED },
	[STATE_ENDED] = { NONE, NONE, NONE, NONE, NONE },
};

#define IN(state) (1U << (state))
#define IN_BUILT  (IN(STATE_READY) | IN(STATE_RUNNING) | IN(STATE_PAUSED))

/* The one place where the state changes. Returns the one before. */
static enum state step(struct control *c, enum event event)
{
	enum state from = c->state;
	int next = next_state[from][event];

	BUG_ON(next == NONE);
	c->state = (enum state)next;
	return from;
}

static void log_step(const struct control *c, enum state from)
{
	static const char *const names[STATE_COUNT] = { [STATE_NEW] = "new",
							[STATE_READY] = "ready",
							[STATE_RUNNING] = "running",
							[STATE_PAUSED] = "paused",
							[STATE_ENDED] = "ended" };

	log_info("vm.state", "id=%s from=%s to=%s", c->id, names[from], names[c->state]);
}

static void advance(struct control *c, enum event event)
{
	log_step(c, step(c, event));
}

static uint32_t state_bit(void *arg)
{
	const struct control *c = arg;

	return IN(c->state);
}

/* ---- Configure --------------------------------------------------------------------------- */

static void handle_configure(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__ConfigureRequest *q = (const void *)in;
	const Casemate__Vmm__V1__ConfigureResponse out =
		CASEMATE__VMM__V1__CONFIGURE_RESPONSE__INIT;
	struct control *c = arg;
	struct vm_config cfg;
	struct err err = { 0 };
	int r;

	(void)fds;
	r = control_decode(q, &cfg, &err);
	if (r == 0)
		r = vm_build(&c->vm, &cfg, c->loop, &c->result, &err);
	if (r == 0) {
		memcpy(c->id, cfg.id, strlen(cfg.id) + 1);
		/* From here on guest bytes may come in, and nothing has to be made any more. */
		r = vmm_seccomp_install(SECCOMP_CONTROL);
		if (r < 0)
			(void)err_sys(&err, r, "control: seccomp filter");
	}
	if (r < 0) {
		/* What was half built goes with the process. */
		log_error("vm.configure", "%s", err.msg);
		rpc_fail_err(call, &err);
		result_end(&c->result, END_HOST_ERROR, "Configure failed");
		return;
	}
	advance(c, EVENT_CONFIGURED);
	rpc_reply(call, &out.base, NULL);
}

static void handle_start(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__StartResponse out = CASEMATE__VMM__V1__START_RESPONSE__INIT;
	struct control *c = arg;
	enum state from;
	struct err err;
	int r;

	(void)in;
	(void)fds;
	from = step(c, EVENT_STARTED);
	r = vm_start(&c->vm, &err);
	if (r < 0) {
		result_end(&c->result, END_HOST_ERROR, "%s", err.msg);
		rpc_fail_err(call, &err);
	} else {
		rpc_reply(call, &out.base, NULL);
	}
	/* Last: a line wakes its reader, and somebody waits for the guest. */
	log_step(c, from);
}

static void handle_pause(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__PauseResponse out = CASEMATE__VMM__V1__PAUSE_RESPONSE__INIT;
	struct control *c = arg;

	(void)in;
	(void)fds;
	if (c->live != NULL) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "a live snapshot is under way");
		return;
	}
	vm_pause(&c->vm);
	advance(c, EVENT_PAUSED);
	rpc_reply(call, &out.base, NULL);
}

static void handle_resume(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__ResumeResponse out = CASEMATE__VMM__V1__RESUME_RESPONSE__INIT;
	struct control *c = arg;

	(void)in;
	(void)fds;
	if (c->state == STATE_RUNNING && (c->live == NULL || !live_let_run(c->live))) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the VM isn't paused");
		return;
	}
	if (c->state == STATE_PAUSED) {
		advance(c, EVENT_RESUMED);
		vm_resume(&c->vm);
	}
	rpc_reply(call, &out.base, NULL);
}

static void on_live_done(int r, bool paused, uint64_t paused_ns, const struct err *err, void *arg)
{
	Casemate__Vmm__V1__SnapshotResponse out = CASEMATE__VMM__V1__SNAPSHOT_RESPONSE__INIT;
	Casemate__Vmm__V1__SnapshotSplitResponse out_split =
		CASEMATE__VMM__V1__SNAPSHOT_SPLIT_RESPONSE__INIT;
	struct control *c = arg;
	struct rpc_call *call = c->live_call;

	c->live = NULL;
	c->live_call = NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(c->live_fds); i++)
		fd_closep(&c->live_fds[i]);
	out.paused_ns = out_split.paused_ns = paused_ns;
	if (paused)
		advance(c, EVENT_PAUSED);
	if (r < 0)
		rpc_fail_err(call, err);
	else
		rpc_reply(call, c->live_split ? &out_split.base : &out.base, NULL);
}

static void snapshot_live(struct control *c, struct rpc_call *call, int *fds, unsigned fds_count,
			  bool stay_paused)
{
	struct err err = { 0 };
	int r;

	for (unsigned i = 0; i < fds_count; i++)
		c->live_fds[i] = fd_steal(&fds[i]);
	c->live_split = fds_count == ARRAY_SIZE(c->live_fds);
	r = live_begin(&c->vm, c->loop, c->live_fds[0], c->live_fds[1], c->live_fds[2], stay_paused,
		       on_live_done, c, &c->live, &err);
	c->live_call = call;
	if (r < 0)
		on_live_done(r, false, 0, &err, c);
}

static void handle_snapshot(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__SnapshotRequest *q = (const void *)in;
	const Casemate__Vmm__V1__SnapshotResponse out = CASEMATE__VMM__V1__SNAPSHOT_RESPONSE__INIT;
	struct control *c = arg;
	struct err err = { 0 };

	if (q->live != (c->state == STATE_RUNNING))
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the VM is %s",
			 q->live ? "paused" : "running");
	else if (c->live != NULL)
		rpc_fail(call, RPC_FAILED_PRECONDITION, "a live snapshot is under way");
	else if (q->live && q->incremental)
		rpc_fail(call, RPC_INVALID_ARGUMENT, "a live snapshot is never incremental");
	else if (q->live)
		snapshot_live(c, call, fds, 2, false);
	else if (vm_state_save(&c->vm, q->incremental, fds[0], fds[1], &err) < 0)
		rpc_fail_err(call, &err);
	else
		rpc_reply(call, &out.base, NULL);
}

static void handle_snapshot_split(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
				  void *arg)
{
	const Casemate__Vmm__V1__SnapshotSplitRequest *q = (const void *)in;
	struct control *c = arg;

	if (c->live != NULL)
		rpc_fail(call, RPC_FAILED_PRECONDITION, "a live snapshot is under way");
	else
		snapshot_live(c, call, fds, 3, q->stay_paused);
}

/* ---- The end ----------------------------------------------------------------------------- */

static Casemate__Vmm__V1__EndReason to_end_reason(enum end_reason reason)
{
	static const Casemate__Vmm__V1__EndReason map[] = {
		[END_NONE] = CASEMATE__VMM__V1__END_REASON__END_REASON_UNSPECIFIED,
		[END_POWER_OFF] = CASEMATE__VMM__V1__END_REASON__END_REASON_POWER_OFF,
		[END_REBOOT] = CASEMATE__VMM__V1__END_REASON__END_REASON_REBOOT,
		[END_PANIC] = CASEMATE__VMM__V1__END_REASON__END_REASON_PANIC,
		[END_TRIPLE_FAULT] = CASEMATE__VMM__V1__END_REASON__END_REASON_TRIPLE_FAULT,
		[END_GUEST_ERROR] = CASEMATE__VMM__V1__END_REASON__END_REASON_GUEST_ERROR,
		[END_STOPPED] = CASEMATE__VMM__V1__END_REASON__END_REASON_STOPPED,
		[END_HOST_ERROR] = CASEMATE__VMM__V1__END_REASON__END_REASON_HOST_ERROR,
	};
	_Static_assert(ARRAY_SIZE(map) == END_REASON_COUNT, "one line a reason");

	return map[reason];
}

/* The last bytes of the console: how many there are is only known by reading. */
static size_t read_console_tail(struct control *c, uint8_t tail[CONSOLE_TAIL_BYTES])
{
	uint64_t from = 0;
	size_t kept = 0, n;
	uint8_t chunk[CONSOLE_TAIL_BYTES];

	if (c->vm.console == NULL)
		return 0;
	/* Ends when the ring's 64 KiB are through; the guest doesn't run any more. */
	while ((n = virtio_console_read(c->vm.console, &from, chunk, sizeof(chunk))) > 0) {
		size_t keep = MIN(kept, sizeof(chunk) - n);
		memmove(tail, tail + kept - keep, keep);
		memcpy(tail + keep, chunk, n);
		kept = keep + n;
		from += n;
	}
	return kept;
}

static void answer_wait(struct control *c, struct rpc_call *call)
{
	Casemate__Vmm__V1__WaitResponse out;
	uint8_t tail[CONSOLE_TAIL_BYTES];
	char detail[RESULT_DETAIL_MAX];

	casemate__vmm__v1__wait_response__init(&out);
	result_detail(&c->result, detail);
	out.reason = to_end_reason(result_reason(&c->result));
	out.detail = detail;
	out.console_tail.data = tail;
	out.console_tail.len = read_console_tail(c, tail);
	rpc_reply(call, &out.base, NULL);
}

static void leave(void *arg)
{
	struct control *c = arg;

	loop_stop(c->loop, 0);
}

/* Sends what is queued; on_closed follows. */
static void finish(struct control *c)
{
	if (c->conn != NULL)
		rpc_conn_finish(c->conn);
}

/* What it was of is no more. */
static void end_live(struct control *c)
{
	const struct err err = { .code = -ECANCELED, .msg = "the VM has ended" };

	if (c->live == NULL)
		return;
	live_cancel(c->live);
	on_live_done(err.code, false, 0, &err, c);
}

static void on_result(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct control *c = arg;
	char detail[RESULT_DETAIL_MAX];
	bool answered = c->waiters_count > 0;

	(void)fd;
	(void)events;
	loop_io_del(io);
	end_live(c);
	vm_halt(&c->vm);
	advance(c, EVENT_ENDED);
	result_detail(&c->result, detail);
	log_info("vm.end", "id=%s reason=%s detail=\"%s\"", c->id,
		 end_reason_name(result_reason(&c->result)), detail);
	for (unsigned i = 0; i < c->waiters_count; i++)
		answer_wait(c, c->waiters[i]);
	c->waiters_count = 0;
	/* The timer is also for a peer that doesn't read its answer. */
	if (c->conn == NULL || loop_timer_add(c->loop, LINGER_MS, leave, c, NULL) < 0)
		leave(c);
	else if (answered)
		finish(c);
}

static void forget_waiter(struct rpc_call *call, void *arg)
{
	struct control *c = arg;

	for (unsigned i = 0; i < c->waiters_count; i++) {
		if (c->waiters[i] != call)
			continue;
		c->waiters[i] = c->waiters[--c->waiters_count];
		return;
	}
}

static void handle_wait(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	static const struct rpc_call_ops ops = { .cancelled = forget_waiter };
	struct control *c = arg;

	(void)in;
	(void)fds;
	if (c->state == STATE_ENDED) {
		answer_wait(c, call);
		finish(c);
	} else if (c->waiters_count >= CONTROL_WAITERS_MAX) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "more than %u calls of Wait",
			 CONTROL_WAITERS_MAX);
	} else {
		c->waiters[c->waiters_count++] = call;
		rpc_call_watch(call, &ops, c);
	}
}

static void handle_stop(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Vmm__V1__StopResponse out = CASEMATE__VMM__V1__STOP_RESPONSE__INIT;
	struct control *c = arg;

	(void)in;
	(void)fds;
	result_end(&c->result, END_STOPPED, "stopped by request");
	rpc_reply(call, &out.base, NULL);
}

static void on_closed(struct rpc_conn *conn, int reason, void *arg)
{
	struct control *c = arg;

	rpc_conn_free(conn);
	c->conn = NULL;
	if (c->state == STATE_ENDED)
		leave(c);
	else if (control_outlives(c))
		log_info("vm.orphan", "id=%s error=%d", c->id, -reason);
	else
		result_end(&c->result, END_STOPPED, "the control connection closed (%d)", reason);
}

/* ---- The method table -------------------------------------------------------------------- */

static const struct rpc_handler handlers[] = {
	{ &vmm_methods[VMM_CONFIGURE], handle_configure, IN(STATE_NEW), .once = true },
	{ &vmm_methods[VMM_START], handle_start, IN(STATE_READY), .once = true },
	{ &vmm_methods[VMM_PAUSE], handle_pause, IN(STATE_RUNNING), .once = false },
	{ &vmm_methods[VMM_RESUME], handle_resume, IN(STATE_PAUSED) | IN(STATE_RUNNING),
	  .once = false },
	{ &vmm_methods[VMM_SNAPSHOT], handle_snapshot, IN(STATE_PAUSED) | IN(STATE_RUNNING),
	  .once = false },
	{ &vmm_methods[VMM_SNAPSHOT_SPLIT], handle_snapshot_split, IN(STATE_RUNNING),
	  .once = false },
	{ &vmm_methods[VMM_WAIT], handle_wait, IN_BUILT | IN(STATE_ENDED), .once = false },
	{ &vmm_methods[VMM_STOP], handle_stop, IN(STATE_NEW) | IN_BUILT, .once = false },
	{ &vmm_methods[VMM_LISTEN], control_listen, IN_BUILT, .once = false },
	{ &vmm_methods[VMM_CONNECT], control_connect, IN(STATE_READY) | IN(STATE_RUNNING),
	  .once = false },
	{ &vmm_methods[VMM_READ_CONSOLE], control_read_console, IN_BUILT | IN(STATE_ENDED),
	  .once = false },
	{ &vmm_methods[VMM_SET_DRIVE_LIMITS], control_set_drive_limits, IN_BUILT, .once = false },
	{ &vmm_methods[VMM_RESIZE_DRIVE], control_resize_drive, IN_BUILT, .once = false },
	{ &vmm_methods[VMM_GET_METRICS], control_get_metrics, IN_BUILT | IN(STATE_ENDED),
	  .once = false },
	{ &vmm_methods[VMM_SET_BALLOON], control_set_balloon, IN_BUILT, .once = false },
	{ &vmm_methods[VMM_SET_NIC_LIMITS], control_set_nic_limits, IN_BUILT, .once = false },
	{ &vmm_methods[VMM_SET_NIC_LINK], control_set_nic_link, IN_BUILT, .once = false },
};
_Static_assert(ARRAY_SIZE(handlers) == VMM_METHOD_COUNT, "one handler a method");

int control_connect_peer(struct control *c, bool nonblocking)
{
	const struct rpc_conn_config cfg = {
		.handlers = handlers,
		.handlers_count = ARRAY_SIZE(handlers),
		.state = state_bit,
		.closed = on_closed,
		.arg = c,
		.nonblocking = nonblocking,
	};

	return rpc_conn_new(c->loop, VMM_FD_CONTROL, &cfg, &c->conn);
}

int control_serve(struct err *err)
{
	static struct control control; /* one in a process, and too large for a stack */
	struct control *c = &control;
	int r;

	memcpy(c->id, "-", 2);
	c->live_fds[0] = c->live_fds[1] = c->live_fds[2] = -1;
	r = loop_new(&c->loop);
	if (r == 0)
		r = result_init(&c->result);
	if (r == 0)
		r = loop_io_add(c->loop, c->result.event_fd, EPOLLIN, on_result, c, NULL);
	if (r == 0)
		r = control_handover_begin(c);
	if (r == 0)
		r = control_connect_peer(c, false);
	if (r < 0)
		return err_sys(err, r, "control");
	r = loop_run(c->loop);
	if (r < 0)
		return err_sys(err, r, "control: loop");
	return end_reason_status(result_reason(&c->result));
}
