/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/cli/progress.h"
#include "api/cli/term.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define CREATE_MS	700000U /* the daemon's own deadline comes first */
#define ATTACH_MS	10000U
#define EXPLAIN_MS	1500U
#define EXPLAIN_STEP_MS 100
#define GRACE_MS	1000U /* for a command to end after the first signal */

void session_init(struct session *s, struct cli *cli)
{
	*s = (struct session){ .cli = cli };
}

void session_done(struct session *s)
{
	rpc_conn_free(s->conn);
	s->conn = NULL;
	exec_client_free(s->exec);
	s->exec = NULL;
	http_client_free(s->http);
	s->http = NULL;
}

/* ---- Create -------------------------------------------------------------------------------- */

static int set_text(json_t *o, const char *name, const char *value)
{
	return value == NULL ? 0 : json_object_set_new(o, name, json_string(value));
}

static int set_number(json_t *o, const char *name, uint64_t value)
{
	return value == 0 ? 0 : json_object_set_new(o, name, json_integer((json_int_t)value));
}

static int set_envs(json_t *o, const struct run_opts *opts)
{
	json_t *envs = json_object();
	int r = 0;

	for (size_t i = 0; i < opts->envs_count && r == 0; i++)
		r = json_object_set_new(envs, opts->envs[i].name, json_string(opts->envs[i].value));
	if (r < 0) {
		json_decref(envs);
		return r;
	}
	return json_object_set_new(o, "envs", envs);
}

json_t *session_request(const struct run_opts *o, bool lease, bool for_create)
{
	json_t *req = json_object();
	int r = set_number(req, "vcpus", o->cpus);

	r |= set_number(req, "memory_bytes", o->memory_bytes);
	r |= set_number(req, "scratch_bytes", o->scratch_bytes);
	r |= set_text(req, "image", o->image);
	r |= set_text(req, "snapshot", o->snapshot);
	r |= set_text(req, "template", o->template);
	r |= set_text(req, "kernel", o->kernel);
	r |= set_text(req, "hostname", o->hostname);
	r |= set_text(req, "huge_pages", o->huge_pages);
	r |= set_text(req, "root", o->root);
	r |= set_text(req, "cpuset_cpus", o->cpuset_cpus);
	r |= set_text(req, "cpuset_mems", o->cpuset_mems);
	if (o->network != NULL)
		r |= json_object_set(req, "network", o->network);
	if (o->cpu_template != NULL)
		r |= json_object_set(req, "cpu_template", o->cpu_template);
	r |= json_object_set_new(req, "lease", json_boolean(lease));
	/* For run these belong to the command, not to the sandbox. */
	if (for_create) {
		r |= set_text(req, "cwd", o->cwd);
		r |= set_text(req, "user", o->user);
		r |= set_number(req, "timeout_ms", o->timeout_ms);
		r |= set_text(req, "on_timeout", o->on_timeout);
		r |= set_envs(req, o);
	}
	if (r == 0)
		return req;
	json_decref(req);
	return NULL;
}

/* The guest's last words, when the daemon has sent them: hostile, so line by line, escaped. */
static void show_console(const json_t *error)
{
	const char *tail = json_string_value(json_object_get(error, "console_tail"));

	while (tail != NULL && *tail != '\0') {
		size_t len = strcspn(tail, "\n");
		if (len > 0)
			cli_warn("guest console: %.*s", (int)(len > 200 ? 200 : len), tail);
		tail += len;
		if (*tail == '\n')
			tail++;
	}
}

static int take_info(struct session *s, const json_t *info, struct err *err)
{
	const char *id = json_string_value(json_object_get(info, "id"));

	if (id == NULL || !cli_id_valid(id))
		return err_set(err, -EPROTO, "daemon: answered without a sandbox id");
	memcpy(s->id, id, strlen(id) + 1);
	s->boot_ms =
		json_number_value(json_object_get(json_object_get(info, "timings"), "boot_ms"));
	return 0;
}

bool session_late(const struct session *s)
{
	return s->deadline_ms != 0 && now_ms() >= s->deadline_ms;
}

/* most, or what is left until the deadline; never 0, which means for ever to some. */
static uint64_t left_ms(const struct session *s, uint64_t most)
{
	if (s->deadline_ms == 0)
		return most;
	return session_late(s) ? 1 : MIN(most, s->deadline_ms - now_ms());
}

int session_create(struct session *s, const struct run_opts *o, bool lease, bool for_create,
		   json_t **ret_info, struct err *err)
{
	const uint64_t begin = now_ns();
	json_t *req = session_request(o, lease, for_create), *info = NULL, *error = NULL;
	struct progress p;
	int r = http_client_open(s->cli, &s->http, err);

	if (r == 0 && req == NULL)
		r = err_set(err, -EINVAL, "request: an option's text is not valid UTF-8");
	progress_begin(&p, s->cli, "making a sandbox");
	if (r == 0)
		r = http_client_call(s->http, "POST", "/v1/sandboxes", req, left_ms(s, CREATE_MS),
				     &info, &error, err);
	progress_end(&p);
	if (r == 0)
		r = take_info(s, info, err);
	s->create_ms = (double)(now_ns() - begin) / 1e6;
	show_console(error);
	json_decref(req);
	json_decref(error);
	if (r == 0 && ret_info != NULL)
		*ret_info = info;
	else
		json_decref(info);
	return r;
}

/* ---- Attach -------------------------------------------------------------------------------- */

static void on_closed(struct rpc_conn *c, int reason, void *arg)
{
	struct session *s = arg;

	(void)reason;
	rpc_conn_free(c);
	s->conn = NULL;
	if (s->exec != NULL)
		exec_client_conn_closed(s->exec);
}

int session_attach(struct session *s, struct err *err)
{
	struct rpc_conn_config cfg = { .closed = on_closed, .arg = s };
	char path[80];
	int fd, r = 0;

	if (s->http == NULL)
		r = http_client_open(s->cli, &s->http, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/agent", s->id);
	r = http_client_upgrade(s->http, path, "ttrpc", left_ms(s, ATTACH_MS), &fd, err);
	if (r < 0)
		return r;
	http_client_free(s->http);
	s->http = NULL;
	r = rpc_conn_new(s->cli->loop, fd, &cfg, &s->conn);
	return r < 0 ? err_sys(err, r, "agent's connection") : 0;
}

/* ---- Exec ---------------------------------------------------------------------------------- */

struct waiting {
	struct session *s;
	bool end_on_signal;
	bool grace_over;
	struct loop_timer *grace;
};

static void on_grace_over(void *arg)
{
	struct waiting *w = arg;

	w->grace = NULL;
	w->grace_over = true;
	exec_client_abandon(w->s->exec);
}

static void on_signal(int signo, void *arg)
{
	struct waiting *w = arg;
	struct cli *cli = w->s->cli;

	if (cli->signals > 1) {
		exec_client_signal(w->s->exec, SIGKILL);
		exec_client_abandon(w->s->exec);
		return;
	}
	exec_client_signal(w->s->exec, signo);
	if (w->end_on_signal && w->grace == NULL &&
	    loop_timer_add(cli->loop, GRACE_MS, on_grace_over, w, &w->grace) < 0)
		exec_client_abandon(w->s->exec);
}

static void on_winch(int signo, void *arg)
{
	struct session *s = arg;

	(void)signo;
	if (s->exec != NULL)
		exec_client_resize(s->exec);
}

static int wait_exec(struct session *s, bool end_on_signal)
{
	struct waiting w = { .s = s, .end_on_signal = end_on_signal };
	struct cli *cli = s->cli;
	int r = 0;

	cli->on_signal = on_signal;
	cli->on_signal_arg = &w;
	if (cli->signo != 0)
		on_signal(cli->signo, &w);
	while (r == 0 && !exec_client_done(s->exec))
		r = loop_step(cli->loop, -1);
	cli->on_signal = NULL;
	loop_timer_del(w.grace);
	return r;
}

int session_exec(struct session *s, const struct run_opts *o, char **argv, size_t argc,
		 bool end_on_signal, struct exec_result *res, struct err *err)
{
	const struct exec_config cfg = {
		.argv = argv,
		.argc = argc,
		.envs = o->envs,
		.envs_count = o->envs_count,
		.cwd = o->cwd,
		.user = o->user,
		.timeout_ms = s->deadline_ms != 0 ? left_ms(s, UINT64_MAX) : o->timeout_ms,
		.stdin_fd = o->interactive ? STDIN_FILENO : -1,
		.stdout_fd = STDOUT_FILENO,
		.stderr_fd = STDERR_FILENO,
		.tty = o->tty,
	};
	int r;

	if (s->conn == NULL)
		return err_set(err, -ECONNRESET, "agent: the connection ended");
	if (o->tty) {
		r = loop_signal_add(s->cli->loop, SIGWINCH, on_winch, s);
		if (r == 0)
			r = term_raw();
		if (r < 0)
			return err_sys(err, r, "terminal");
	}
	r = exec_client_new(s->cli->loop, s->conn, &cfg, res, &s->exec);
	if (r == 0)
		r = wait_exec(s, end_on_signal);
	term_restore();
	return r < 0 ? err_sys(err, r, "command") : 0;
}

/* ---- Why it ended -------------------------------------------------------------------------- */

static int ask_end(struct session *s, struct http_client *http, struct err *ret)
{
	struct err err = { 0 };
	json_t *info = NULL;
	char path[80];
	int r;

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", s->id);
	r = http_client_call(http, "GET", path, NULL, EXPLAIN_MS, &info, NULL, &err);
	if (r < 0)
		return r;
	const json_t *end = json_object_get(info, "end");
	const char *reason = json_string_value(json_object_get(end, "reason"));
	const char *detail = json_string_value(json_object_get(end, "detail"));
	r = reason == NULL ? -EAGAIN : 0;
	if (r == 0)
		(void)err_set(ret, -ECONNRESET, "guest: ended: %.32s%s%.160s", reason,
			      detail != NULL && detail[0] != '\0' ? ": " : "",
			      detail != NULL ? detail : "");
	json_decref(info);
	return r;
}

void session_explain_end(struct session *s, struct err *ret)
{
	const uint64_t until = now_ms() + EXPLAIN_MS;
	struct http_client *http;
	struct err err = { 0 };
	int r = http_client_open(s->cli, &http, &err);

	while (r == 0 && ask_end(s, http, ret) == -EAGAIN && now_ms() < until)
		r = loop_step(s->cli->loop, EXPLAIN_STEP_MS);
	if (err.code == 0)
		http_client_free(http);
}
