/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. Two things happen to a new child in either order: its status pipe closes
 * (exec succeeded, or an errno came first) and it is reaped. `started` and `exited` record them;
 * process_check_end acts when both are true and its output is through.
 *
 * Signals go to the process group and only before the leader is reaped: until then the kernel
 * can't give its number to another process or group.
 */
#include "agent/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/process_internal.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"

/* ---- The table --------------------------------------------------------------------------- */

int process_table_new(struct loop *l, struct process_table **ret)
{
	struct process_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->loop = l;
	*ret = t;
	return 0;
}

static void process_free(struct process *p)
{
	struct process_table *t = p->table;

	listener_fail(p, RPC_UNAVAILABLE, "the agent is stopping");
	input_close(&p->in, "the process has ended");
	output_close(&p->out[0]);
	output_close(&p->out[1]);
	loop_io_del(p->status_io);
	fd_closep(&p->status_fd);
	loop_timer_del(p->timeout);
	loop_timer_del(p->grace);
	for (size_t i = 0; i < p->argc; i++)
		free(p->argv[i]);
	free(p->argv);
	free(p->cwd);
	t->slots[p->slot] = NULL;
	t->count--;
	free(p);
}

int process_signal(struct process *p, int signo)
{
	BUG_ON(p->pid <= 1);
	if (p->exited)
		return -ESRCH;
	/* Before its setsid there is no such group yet. */
	if (kill(-p->pid, signo) == 0)
		return 0;
	return kill(p->pid, signo) < 0 ? -errno : 0;
}

static void kill_now(struct process *p)
{
	/* It may be gone already, which is as well. */
	if (process_signal(p, SIGKILL) < 0)
		return;
}

void process_table_free(struct process_table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < AGENT_PROCESSES_MAX; i++) {
		struct process *p = t->slots[i];
		if (p == NULL)
			continue;
		if (!p->exited)
			kill_now(p);
		process_free(p);
	}
	free(t);
}

size_t process_count(const struct process_table *t)
{
	return t->count;
}

void process_each(const struct process_table *t, void (*fn)(struct process *p, void *arg),
		  void *arg)
{
	for (size_t i = 0; i < AGENT_PROCESSES_MAX; i++) {
		if (t->slots[i] != NULL && t->slots[i]->started && !t->slots[i]->exited)
			fn(t->slots[i], arg);
	}
}

struct process *process_by_pid(const struct process_table *t, pid_t pid)
{
	for (size_t i = 0; i < AGENT_PROCESSES_MAX; i++) {
		struct process *p = t->slots[i];
		if (p != NULL && !p->exited && p->pid == pid)
			return p;
	}
	return NULL;
}

struct process *process_by_tag(const struct process_table *t, const char *tag)
{
	for (size_t i = 0; i < AGENT_PROCESSES_MAX; i++) {
		struct process *p = t->slots[i];
		if (p != NULL && !p->exited && p->tag[0] != '\0' && strcmp(p->tag, tag) == 0)
			return p;
	}
	return NULL;
}

pid_t process_pid(const struct process *p)
{
	return p->pid;
}

const char *process_tag(const struct process *p)
{
	return p->tag;
}

const char *process_cwd(const struct process *p)
{
	return p->cwd;
}

char *const *process_argv(const struct process *p, size_t *ret_count)
{
	*ret_count = p->argc;
	return p->argv;
}

bool process_has_pty(const struct process *p)
{
	return p->pty;
}

/* ---- The end ----------------------------------------------------------------------------- */

static bool output_through(const struct process *p)
{
	for (size_t i = 0; i < 2; i++) {
		const struct output *o = &p->out[i];
		if (o->fd >= 0 && !(p->grace_over && o->owed == 0))
			return false;
	}
	return true;
}

static void remember(const struct process *p)
{
	struct process_table *t = p->table;
	struct process_end *e = &t->ended[t->ended_next++ % PROCESS_ENDED_MAX];

	*e = (struct process_end){ .pid = p->pid,
				   .wait_status = p->wait_status,
				   .timed_out = p->timed_out,
				   .at_ms = now_ms() };
	memcpy(e->tag, p->tag, sizeof(e->tag));
}

void process_check_end(struct process *p)
{
	if (!p->started || !p->exited || !output_through(p))
		return;
	remember(p);
	listener_ended(p);
	process_free(p);
}

static void on_grace(void *arg);

static void arm_grace(struct process *p)
{
	if (loop_timer_add(p->table->loop, PROCESS_GRACE_MS, on_grace, p, &p->grace) < 0) {
		p->grace = NULL;
		p->grace_over = true;
		p->out[0].owed = p->out[1].owed = 0;
	}
}

/*
 * A descendant still has a pipe. Waited for is only what was in it when the process ended; a
 * descendant could also steal that by reading the pipe itself, so look again.
 */
static void on_grace(void *arg)
{
	struct process *p = arg;
	bool waiting = false;

	p->grace = NULL;
	p->grace_over = true;
	for (size_t i = 0; i < 2; i++) {
		struct output *o = &p->out[i];
		size_t owed = o->owed;
		output_measure(o);
		if (o->owed > owed)
			o->owed = owed;
		waiting = waiting || o->owed > 0;
	}
	if (waiting)
		arm_grace(p);
	process_check_end(p);
}

void process_reaped(struct process_table *t, pid_t pid, int wait_status)
{
	struct process *p = process_by_pid(t, pid);

	if (p == NULL) /* an orphan, or a child whose exec failed */
		return;
	p->exited = true;
	p->wait_status = wait_status;
	loop_timer_del(p->timeout);
	p->timeout = NULL;
	input_close(&p->in, "the process has ended");
	output_measure(&p->out[0]);
	output_measure(&p->out[1]);
	arm_grace(p);
	process_check_end(p);
}

/* ---- The beginning ----------------------------------------------------------------------- */

static void on_timeout(void *arg)
{
	struct process *p = arg;

	p->timeout = NULL;
	p->timed_out = true;
	kill_now(p);
}

static void on_status(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct process *p = arg;
	enum rpc_code code = RPC_INTERNAL;
	struct err err;
	int r = spawn_result(fd, p->argc > 0 ? p->argv[0] : "", p->cwd, &code, &err);

	(void)io;
	(void)events;
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		listener_fail(p, code, err.msg);
		process_free(p); /* the child has exited or is about to: reaped as an orphan */
		return;
	}
	loop_io_del(p->status_io);
	p->status_io = NULL;
	fd_closep(&p->status_fd);
	p->started = true;
	listener_started(p);
	output_resume(&p->out[0]);
	output_resume(&p->out[1]);
	process_check_end(p);
}

/* A copy of the command line that List can afford to send for every process. */
static int copy_argv(struct process *p, char *const *argv)
{
	size_t n = 0, bytes = 0;

	while (argv[n] != NULL && bytes < PROCESS_LISTED_BYTES)
		bytes += strlen(argv[n++]) + 1 + sizeof(char *);
	p->argv = calloc(n + 1, sizeof(*p->argv));
	if (p->argv == NULL)
		return -ENOMEM;
	for (bytes = 0; p->argc < n && bytes < PROCESS_LISTED_BYTES; p->argc++) {
		p->argv[p->argc] = strndup(argv[p->argc], PROCESS_LISTED_BYTES - bytes);
		if (p->argv[p->argc] == NULL)
			return -ENOMEM;
		bytes += strlen(p->argv[p->argc]) + 1 + sizeof(char *);
	}
	return 0;
}

static int process_new(struct process_table *t, const struct spawn_plan *plan, const char *tag,
		       struct process **ret)
{
	struct process *p;
	size_t slot = 0;

	while (slot < AGENT_PROCESSES_MAX && t->slots[slot] != NULL)
		slot++;
	if (slot == AGENT_PROCESSES_MAX)
		return -EAGAIN;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	*p = (struct process){
		.table = t, .slot = slot, .pid = -1, .pty = plan->pty, .status_fd = -1
	};
	input_init(&p->in, p, -1);
	output_init(&p->out[0], p, plan->pty ? OUTPUT_PTY : OUTPUT_STDOUT, -1);
	output_init(&p->out[1], p, OUTPUT_STDERR, -1);
	(void)snprintf(p->tag, sizeof(p->tag), "%s", tag);
	t->slots[slot] = p;
	t->count++;
	p->cwd = strdup(plan->cwd);
	if (p->cwd == NULL || copy_argv(p, plan->argv) < 0) {
		process_free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void process_start(struct process_table *t, const struct spawn_plan *plan, const char *tag,
		   uint64_t timeout_ms, struct rpc_call *call)
{
	struct spawn_child child;
	struct process *p;
	int r = process_new(t, plan, tag, &p);

	if (r < 0) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED,
			 r == -EAGAIN ? "too many processes" : "out of memory");
		return;
	}
	r = spawn_start(plan, &child);
	if (r < 0) {
		process_free(p);
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "can't start a process: %s",
			 strerrordesc_np(-r));
		return;
	}
	p->pid = child.pid;
	p->in.fd = child.in;
	p->out[0].fd = child.out;
	p->out[1].fd = child.err;
	p->status_fd = child.status;
	r = loop_io_add(t->loop, p->status_fd, EPOLLIN, on_status, p, &p->status_io);
	if (r == 0 && timeout_ms > 0)
		r = loop_timer_add(t->loop, timeout_ms, on_timeout, p, &p->timeout);
	if (r == 0)
		r = listener_add(p, call);
	if (r < 0) {
		kill_now(p);
		process_free(p);
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
}

static void join_process(struct process *p, struct rpc_call *call)
{
	int r = p->started ? listener_send_start(call, p->pid) : 0;

	if (r == 0)
		r = listener_add(p, call);
	if (r < 0)
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED,
			 r == -EAGAIN ? "too many listeners" : "out of memory");
}

/* Also one that has been reaped and whose last output is on its way. */
static struct process *find_process(const struct process_table *t, uint32_t pid, const char *tag)
{
	for (size_t i = 0; i < AGENT_PROCESSES_MAX; i++) {
		struct process *p = t->slots[i];
		if (p != NULL && (tag != NULL ? tag[0] != '\0' && strcmp(p->tag, tag) == 0
					      : (uint32_t)p->pid == pid))
			return p;
	}
	return NULL;
}

bool process_connect(const struct process_table *t, uint32_t pid, const char *tag,
		     struct rpc_call *call)
{
	const struct process_end *found = NULL;
	struct process *p = find_process(t, pid, tag);

	if (p != NULL) {
		join_process(p, call);
		return true;
	}

	for (size_t i = 0; i < PROCESS_ENDED_MAX; i++) {
		const struct process_end *e = &t->ended[i];
		if (e->pid == 0 || now_ms() - e->at_ms > PROCESS_ENDED_MS)
			continue;
		if (tag != NULL ? e->tag[0] == '\0' || strcmp(e->tag, tag) != 0
				: (uint32_t)e->pid != pid)
			continue;
		if (found == NULL || found->at_ms <= e->at_ms)
			found = e;
	}
	if (found != NULL)
		listener_replay(call, found);
	return found != NULL;
}

/* ---- While it runs ----------------------------------------------------------------------- */

int process_resize(struct process *p, uint16_t cols, uint16_t rows)
{
	struct winsize ws = { .ws_col = cols, .ws_row = rows };

	if (!p->pty || p->out[0].fd < 0)
		return -ENOTTY;
	return ioctl(p->out[0].fd, TIOCSWINSZ, &ws) < 0 ? -errno : 0;
}
