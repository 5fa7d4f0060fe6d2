/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/agent_limits.h"
#include "agent/forward.h"
#include "agent/httpd.h"
#include "agent/removal.h"
#include "agent/watcher.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"

/* A client that doesn't read its last answer doesn't keep the machine up. */
#define FAREWELL_MS 300

struct session {
	struct agent *agent;
	struct session *prev, *next;
	struct rpc_conn *conn;
};

uint64_t agent_uptime_ms(void)
{
	return clock_ns(CLOCK_BOOTTIME) / UINT64_C(1000000);
}

/* ---- Sessions ---------------------------------------------------------------------------- */

static void session_free(struct session *s)
{
	struct agent *a = s->agent;

	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		a->sessions = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	a->sessions_count--;
	rpc_conn_free(s->conn);
	free(s);
}

static void on_closed(struct rpc_conn *c, int reason, void *arg)
{
	struct agent *a = arg;
	struct session *s = a->sessions;

	(void)reason;
	while (s != NULL && s->conn != c)
		s = s->next;
	BUG_ON(s == NULL);
	session_free(s);
	if (a->farewell == c)
		loop_stop(a->loop, (int)a->ending);
	else if (!a->is_init && !a->lasting && a->sessions == NULL)
		loop_stop(a->loop, AGENT_END_ALONE);
}

int agent_serve(struct agent *a, int fd)
{
	CLEANUP(fd_closep) int owned = fd;
	struct rpc_conn_config cfg = {
		.handlers = agent_handlers,
		.handlers_count = agent_handlers_count,
		.closed = on_closed,
		.arg = a,
	};
	struct session *s;
	int r;

	if (a->sessions_count >= AGENT_SESSIONS_MAX)
		return -EAGAIN;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	r = rpc_conn_new(a->loop, fd_steal(&owned), &cfg, &s->conn);
	if (r < 0) {
		free(s);
		return r;
	}
	s->agent = a;
	s->next = a->sessions;
	if (a->sessions != NULL)
		a->sessions->prev = s;
	a->sessions = s;
	a->sessions_count++;
	return 0;
}

/* ---- Signals and the end ----------------------------------------------------------------- */

static void on_child(int signo, void *arg)
{
	struct agent *a = arg;
	int status;
	pid_t pid;

	(void)signo;
	/* All there are: several deaths may share one signal, and as PID 1 the orphans are ours. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		process_reaped(a->processes, pid, status);
}

static void on_signal(int signo, void *arg)
{
	struct agent *a = arg;

	/* The kernel sends SIGINT to PID 1 for Ctrl-Alt-Del. */
	loop_stop(a->loop, signo == SIGINT ? AGENT_END_REBOOT : AGENT_END_POWER_OFF);
}

static void on_farewell_over(void *arg)
{
	struct agent *a = arg;

	loop_stop(a->loop, (int)a->ending);
}

void agent_shut_down(struct agent *a, struct rpc_conn *c, enum agent_end how)
{
	a->ending = how;
	a->farewell = c;
	rpc_conn_finish(c);
	if (loop_timer_add(a->loop, FAREWELL_MS, on_farewell_over, a, NULL) < 0)
		on_farewell_over(a);
}

/* ---- Life -------------------------------------------------------------------------------- */

int agent_init(struct agent *a, bool is_init)
{
	static const int ends[] = { SIGTERM, SIGINT };
	int r;

	*a = (struct agent){ .is_init = is_init };
	env_init(&a->envs);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	r = loop_new(&a->loop);
	if (r == 0)
		r = process_table_new(a->loop, &a->processes);
	if (r == 0)
		r = file_table_new(a->loop, &a->files);
	if (r == 0)
		r = removal_table_new(a->loop, &a->removals);
	if (r == 0)
		r = watcher_table_new(a->loop, &a->watchers);
	if (r == 0)
		r = forward_table_new(a->loop, &a->forwards);
	if (r == 0)
		r = freezer_new(a->loop, &a->freezer);
	if (r == 0)
		r = httpd_new(a, &a->httpd);
	if (r == 0)
		r = loop_signal_add(a->loop, SIGCHLD, on_child, a);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(ends); i++)
		r = loop_signal_add(a->loop, ends[i], on_signal, a);
	if (r < 0)
		agent_done(a);
	return r;
}

void agent_done(struct agent *a)
{
	/* First who asks, then who answers. */
	httpd_free(a->httpd);
	forward_table_free(a->forwards);
	process_table_free(a->processes);
	file_table_free(a->files);
	removal_table_free(a->removals);
	watcher_table_free(a->watchers);
	for (struct session *s = a->sessions, *next; s != NULL; s = next) {
		next = s->next;
		session_free(s);
	}
	freezer_free(a->freezer);
	loop_free(a->loop);
	env_done(&a->envs);
	free(a->default_cwd);
	explicit_bzero(a->token, sizeof(a->token));
	explicit_bzero(a->access_token, sizeof(a->access_token));
	*a = (struct agent){ 0 };
}

int agent_run(struct agent *a)
{
	a->ready_ms = agent_uptime_ms();
	return loop_run(a->loop);
}
