/* SPDX-License-Identifier: Apache-2.0 */
/* process_service.c - process.Process: from checked messages to process.h. */
#include <agent.pb-c.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/agent_limits.h"
#include "agent/path.h"
#include "base/bug.h"

typedef Casemate__Agent__V1__StartRequest start_pb;
typedef Casemate__Agent__V1__ProcessConfig config_pb;
typedef Casemate__Agent__V1__ProcessInfo info_pb;
typedef Casemate__Agent__V1__ProcessSelector selector_pb;
typedef Casemate__Agent__V1__PtySize size_pb;

/* The message of a handler by its own type: base is its first member. */
#define REQUEST(type, in) ((const type *)(const void *)(in))

/* ---- Start ------------------------------------------------------------------------------- */

/* HOME and the like first, then the sandbox's environment, then the command's own. */
static int make_env(const struct agent *a, const struct user *u, const config_pb *cfg, bool pty,
		    struct env *env, struct err *err)
{
	const struct {
		const char *name, *value;
	} base[] = {
		{ "PATH", ENV_PATH },	  { "HOME", u->pw.home },
		{ "USER", u->pw.name },	  { "LOGNAME", u->pw.name },
		{ "SHELL", u->pw.shell }, { "TERM", pty ? "xterm-256color" : NULL },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(base); i++) {
		if (base[i].value != NULL && base[i].value[0] != '\0')
			r = env_set(env, base[i].name, base[i].value, err);
	}
	if (r == 0)
		r = env_merge(env, &a->envs, err);
	for (size_t i = 0; r == 0 && i < cfg->n_envs; i++)
		r = env_set(env, cfg->envs[i]->key, cfg->envs[i]->value, err);
	return r;
}

/* argv points into the message. */
static int make_argv(const config_pb *cfg, char ***ret, struct err *err)
{
	char **argv = calloc(cfg->n_args + 2, sizeof(*argv));

	if (argv == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	argv[0] = cfg->cmd;
	for (size_t i = 0; i < cfg->n_args; i++)
		argv[i + 1] = cfg->args[i];
	*ret = argv;
	return 0;
}

static int pty_size(const size_pb *size, uint16_t *ret_cols, uint16_t *ret_rows, struct err *err)
{
	if (size->cols > UINT16_MAX || size->rows > UINT16_MAX)
		return err_set(err, -EINVAL, "a terminal of %u by %u is too large", size->cols,
			       size->rows);
	*ret_cols = (uint16_t)size->cols;
	*ret_rows = (uint16_t)size->rows;
	return 0;
}

/* A relative one is below the user's home, as paths of files are, and is put together in dst. A
 * home need not exist: that of `nobody` usually doesn't. */
static int choose_cwd(const struct agent *a, const config_pb *cfg, const struct user *u,
		      struct spawn_plan *plan, char dst[PATH_MAX], struct err *err)
{
	if (cfg->cwd[0] == '/') {
		plan->cwd = cfg->cwd;
	} else if (cfg->cwd[0] != '\0') {
		plan->cwd = dst;
		return path_expand(cfg->cwd, u->pw.home, "/", dst, PATH_MAX, err);
	} else if (a->default_cwd != NULL) {
		plan->cwd = a->default_cwd;
	} else {
		plan->cwd = u->pw.home[0] != '\0' ? u->pw.home : "/";
		plan->cwd_implied = true;
	}
	return 0;
}

/* Everything that can be wrong with the request itself. */
static int check(const start_pb *req, struct spawn_plan *plan, struct err *err)
{
	if (req->process == NULL || req->process->cmd[0] == '\0')
		return err_set(err, -EINVAL, "no command");
	if (strlen(req->tag) > PROCESS_TAG_MAX)
		return err_set(err, -EINVAL, "tag is longer than %d bytes", PROCESS_TAG_MAX);
	plan->cmd = req->process->cmd;
	plan->pty = req->pty != NULL;
	plan->stdin_pipe =
		req->stdin_opt_case != CASEMATE__AGENT__V1__START_REQUEST__STDIN_OPT_STDIN ||
		req->stdin;
	if (plan->pty && req->pty->size != NULL)
		return pty_size(req->pty->size, &plan->cols, &plan->rows, err);
	return 0;
}

void service_process_start(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const start_pb *req = REQUEST(start_pb, in);
	struct agent *a = arg;
	struct spawn_plan plan = { 0 };
	struct env env;
	struct user user;
	struct err err;
	char **argv = NULL, cwd[PATH_MAX];

	(void)fds;
	env_init(&env);
	if (check(req, &plan, &err) < 0 ||
	    user_lookup(req->user, a->default_user, &user, &err) < 0 ||
	    make_env(a, &user, req->process, plan.pty, &env, &err) < 0 ||
	    choose_cwd(a, req->process, &user, &plan, cwd, &err) < 0 ||
	    make_argv(req->process, &argv, &err) < 0) {
		rpc_fail(call, err.code == -ENOMEM ? RPC_RESOURCE_EXHAUSTED : RPC_INVALID_ARGUMENT,
			 "%s", err.msg);
	} else {
		plan.argv = argv;
		plan.env = &env;
		plan.user = &user;
		process_start(a->processes, &plan, req->tag, req->timeout_ms, call);
	}
	env_done(&env);
	free(argv);
}

/* ---- List -------------------------------------------------------------------------------- */

struct listing {
	size_t count;
	info_pb info[AGENT_PROCESSES_MAX];
	info_pb *list[AGENT_PROCESSES_MAX];
	config_pb config[AGENT_PROCESSES_MAX];
};

/* A message's string fields are not const, but packing doesn't write to them. */
static char *lend(const char *text)
{
	char *p;

	memcpy(&p, &text, sizeof(p));
	return p;
}

static void list_one(struct process *p, void *arg)
{
	struct listing *l = arg;
	info_pb *info = &l->info[l->count];
	config_pb *cfg = &l->config[l->count];
	size_t argc;
	char *const *argv = process_argv(p, &argc);

	BUG_ON(l->count >= AGENT_PROCESSES_MAX || argc == 0);
	casemate__agent__v1__process_config__init(cfg);
	cfg->cmd = argv[0];
	cfg->n_args = argc - 1;
	memcpy(&cfg->args, &(char *const *){ argv + 1 }, sizeof(cfg->args));
	cfg->cwd = lend(process_cwd(p));
	casemate__agent__v1__process_info__init(info);
	info->pid = (uint32_t)process_pid(p);
	info->tag = lend(process_tag(p));
	info->config = cfg;
	l->list[l->count++] = info;
}

void service_process_list(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	Casemate__Agent__V1__ListResponse out = CASEMATE__AGENT__V1__LIST_RESPONSE__INIT;
	struct listing *l = calloc(1, sizeof(*l));
	struct agent *a = arg;

	(void)in;
	(void)fds;
	if (l == NULL) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	process_each(a->processes, list_one, l);
	out.n_processes = l->count;
	out.processes = l->list;
	rpc_reply(call, &out.base, NULL);
	free(l);
}

/* ---- The others: one process, named by a selector ---------------------------------------- */

/* The process meant, or NULL after the call has been refused. */
struct process *service_select_process(const struct agent *a, const selector_pb *s,
				       struct rpc_call *call)
{
	struct process *p = NULL;

	if (s != NULL && s->selector_case == CASEMATE__AGENT__V1__PROCESS_SELECTOR__SELECTOR_PID) {
		if (s->pid > 0 && s->pid <= INT32_MAX)
			p = process_by_pid(a->processes, (pid_t)s->pid);
		if (p == NULL)
			rpc_fail(call, RPC_NOT_FOUND, "no process %u", s->pid);
	} else if (s != NULL &&
		   s->selector_case == CASEMATE__AGENT__V1__PROCESS_SELECTOR__SELECTOR_TAG) {
		p = process_by_tag(a->processes, s->tag);
		if (p == NULL)
			rpc_fail(call, RPC_NOT_FOUND, "no process with tag %.64s", s->tag);
	} else {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "no process was named");
	}
	return p;
}

void service_process_update(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	Casemate__Agent__V1__UpdateResponse out = CASEMATE__AGENT__V1__UPDATE_RESPONSE__INIT;
	const Casemate__Agent__V1__UpdateRequest *req =
		REQUEST(Casemate__Agent__V1__UpdateRequest, in);
	struct process *p = service_select_process(arg, req->process, call);
	uint16_t cols = 0, rows = 0;
	struct err err;

	(void)fds;
	if (p == NULL)
		return;
	if (req->pty != NULL && req->pty->size != NULL) {
		if (pty_size(req->pty->size, &cols, &rows, &err) < 0) {
			rpc_fail_err(call, &err);
			return;
		}
		if (process_resize(p, cols, rows) < 0) {
			rpc_fail(call, RPC_FAILED_PRECONDITION, "the process has no terminal");
			return;
		}
	}
	rpc_reply(call, &out.base, NULL);
}

const ProtobufCBinaryData *service_input_bytes(const struct process *p,
					       const Casemate__Agent__V1__ProcessInput *input,
					       struct rpc_call *call)
{
	if (input == NULL ||
	    input->input_case == CASEMATE__AGENT__V1__PROCESS_INPUT__INPUT__NOT_SET) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "no input");
		return NULL;
	}
	bool for_pty = input->input_case == CASEMATE__AGENT__V1__PROCESS_INPUT__INPUT_PTY;
	if (for_pty != process_has_pty(p)) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the process has %s terminal",
			 for_pty ? "no" : "a");
		return NULL;
	}
	return for_pty ? &input->pty : &input->stdin;
}

void service_process_send_input(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
				void *arg)
{
	const Casemate__Agent__V1__SendInputRequest *req =
		REQUEST(Casemate__Agent__V1__SendInputRequest, in);
	struct process *p = service_select_process(arg, req->process, call);
	const ProtobufCBinaryData *b;

	(void)fds;
	b = p != NULL ? service_input_bytes(p, req->input, call) : NULL;
	if (b != NULL)
		process_send_input(p, b->data, b->len, call);
}

void service_process_send_signal(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
				 void *arg)
{
	Casemate__Agent__V1__SendSignalResponse out =
		CASEMATE__AGENT__V1__SEND_SIGNAL_RESPONSE__INIT;
	const Casemate__Agent__V1__SendSignalRequest *req =
		REQUEST(Casemate__Agent__V1__SendSignalRequest, in);
	struct process *p = service_select_process(arg, req->process, call);
	/* An enum of proto3 is open: any number may stand there. */
	uint32_t number = (uint32_t)req->signal;
	int r;

	(void)fds;
	if (p == NULL)
		return;
	if (number == 0)
		number = req->number;
	if (number < 1 || number >= (uint32_t)NSIG) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "no signal %u", number);
		return;
	}
	r = process_signal(p, (int)number);
	if (r < 0)
		rpc_fail(call, r == -ESRCH ? RPC_NOT_FOUND : RPC_INVALID_ARGUMENT, "signal %u: %s",
			 number, strerrordesc_np(-r));
	else
		rpc_reply(call, &out.base, NULL);
}

void service_process_close_stdin(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
				 void *arg)
{
	Casemate__Agent__V1__CloseStdinResponse out =
		CASEMATE__AGENT__V1__CLOSE_STDIN_RESPONSE__INIT;
	const Casemate__Agent__V1__CloseStdinRequest *req =
		REQUEST(Casemate__Agent__V1__CloseStdinRequest, in);
	struct process *p = service_select_process(arg, req->process, call);

	(void)fds;
	if (p == NULL)
		return;
	if (process_close_stdin(p) < 0)
		rpc_fail(call, RPC_FAILED_PRECONDITION, "stdin is closed, or a terminal");
	else
		rpc_reply(call, &out.base, NULL);
}
