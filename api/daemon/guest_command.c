/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/guest_command.h"

#include <agent.pb-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/guest_link.h"
#include "api/proto/contract.h"

#define GUARD_SLACK_MS 2000U /* beyond the timeout, for the agent's own word */

typedef Casemate__Agent__V1__StartRequest start_pb;
typedef Casemate__Agent__V1__ProcessConfig__EnvsEntry env_pb;

struct guest_command {
	struct loop *loop;
	const struct guest_command_ops *ops;
	void *arg;
	struct guest_link *link;
	struct loop_timer *guard;
	start_pb *order; /* until it is sent */
	size_t output;	 /* bytes so far */
	bool runs, over;
};

/* ---- Its end ------------------------------------------------------------------------------- */

/* The last that is done with c, which may be gone when it returns. */
static void finish(struct guest_command *c, enum guest_end end, uint32_t code, const char *msg)
{
	const struct guest_result res = { .end = end, .code = code, .msg = msg };

	if (c->over)
		return;
	c->over = true;
	loop_timer_del(c->guard);
	c->guard = NULL;
	c->ops->done(&res, c->arg);
}

static void on_guard(void *arg)
{
	struct guest_command *c = arg;

	c->guard = NULL;
	finish(c, GUEST_TIMED_OUT, 0, "");
}

/* ---- Events -------------------------------------------------------------------------------- */

static void on_data(struct guest_command *c, const Casemate__Agent__V1__ProcessEvent__DataEvent *ev)
{
	const bool err = (int)ev->output_case ==
			 CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDERR;
	const ProtobufCBinaryData *d = err ? &ev->stderr : &ev->stdout;

	if (!err &&
	    (int)ev->output_case != CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDOUT)
		return;
	if (d->len > GUEST_COMMAND_OUTPUT_MAX - c->output) {
		finish(c, GUEST_LOST, 0, "it wrote more than 64 MiB");
		return;
	}
	c->output += d->len;
	c->ops->output(d->data, d->len, err, c->arg);
}

static void on_end(struct guest_command *c, const Casemate__Agent__V1__ProcessEvent__EndEvent *ev)
{
	if (ev->timed_out)
		finish(c, GUEST_TIMED_OUT, 0, "");
	else if (ev->signal >= 1 && ev->signal <= 64)
		finish(c, GUEST_SIGNALLED, ev->signal, "");
	else if (ev->exit_code >= 0 && ev->exit_code <= 255)
		finish(c, GUEST_EXITED, (uint32_t)ev->exit_code, "");
	else
		finish(c, GUEST_LOST, 0, "the agent ended it without a status");
}

static void on_start(struct guest_command *c)
{
	if (c->runs) {
		finish(c, GUEST_LOST, 0, "the agent started it twice");
		return;
	}
	c->runs = true;
	if (c->ops->started != NULL)
		c->ops->started(c->arg);
}

static void on_event(const ProtobufCMessage *msg, void *arg)
{
	const Casemate__Agent__V1__StartResponse *m =
		(const Casemate__Agent__V1__StartResponse *)msg;
	const Casemate__Agent__V1__ProcessEvent *ev = m->event;
	struct guest_command *c = arg;

	if (c->over || ev == NULL)
		return;
	switch ((int)ev->event_case) {
	case CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_START:
		on_start(c);
		break;
	case CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_DATA:
		on_data(c, ev->data);
		break;
	case CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_END:
		on_end(c, ev->end);
		break;
	default:
		break; /* keep-alive, or of a later version */
	}
}

static void on_done(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct guest_command *c = arg;

	(void)out;
	(void)fds;
	if (st->code == RPC_CANCELLED)
		return; /* by guest_command_free */
	if (st->code == RPC_OK || st->code == RPC_UNAVAILABLE || c->runs)
		finish(c, GUEST_LOST, 0,
		       st->code == RPC_OK ? "the agent said nothing of its end" : st->msg);
	else
		finish(c, GUEST_REFUSED, 0, st->msg);
}

/* ---- Its order ----------------------------------------------------------------------------- */

static int count(const char *const *list)
{
	int n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

static void order_free(start_pb *order)
{
	if (order != NULL)
		protobuf_c_message_free_unpacked(&order->base, NULL);
}

/* "NAME=VALUE" */
static env_pb *make_env(const char *text)
{
	const size_t len = strcspn(text, "=");
	env_pb *e = malloc(sizeof(*e));

	if (e == NULL)
		return NULL;
	casemate__agent__v1__process_config__envs_entry__init(e);
	e->key = strndup(text, len);
	e->value = strdup(text[len] == '=' ? text + len + 1 : "");
	return e;
}

/* All of its own memory, in the form in which the decoder makes messages. NULL = no memory. */
static start_pb *make_order(const struct guest_command_config *cfg)
{
	const size_t argc = (size_t)count(cfg->argv), envs = (size_t)count(cfg->envs);
	Casemate__Agent__V1__ProcessConfig *p = malloc(sizeof(*p));
	start_pb *o = malloc(sizeof(*o));
	bool whole = p != NULL && o != NULL;

	if (!whole) {
		free(p);
		free(o);
		return NULL;
	}
	casemate__agent__v1__start_request__init(o);
	casemate__agent__v1__process_config__init(p);
	o->process = p;
	o->user = strdup(cfg->user);
	o->timeout_ms = cfg->timeout_ms;
	o->stdin_opt_case = CASEMATE__AGENT__V1__START_REQUEST__STDIN_OPT_STDIN;
	p->cmd = strdup(cfg->argv[0]);
	p->cwd = strdup(cfg->cwd);
	p->args = calloc(argc, sizeof(*p->args));
	p->envs = calloc(envs + 1, sizeof(*p->envs));
	whole = o->user != NULL && p->cmd != NULL && p->cwd != NULL && p->args != NULL &&
		p->envs != NULL;
	for (size_t i = 1; whole && i < argc; i++) {
		p->args[p->n_args] = strdup(cfg->argv[i]);
		whole = p->args[p->n_args++] != NULL;
	}
	for (size_t i = 0; whole && i < envs; i++) {
		p->envs[p->n_envs] = make_env(cfg->envs[i]);
		whole = p->envs[p->n_envs] != NULL;
		p->n_envs += whole;
		whole = whole && p->envs[i]->key != NULL && p->envs[i]->value != NULL;
	}
	if (whole)
		return o;
	order_free(o);
	return NULL;
}

static void on_up(struct rpc_conn *conn, void *arg)
{
	static const struct rpc_pending_ops ops = { .data = on_event, .done = on_done };
	struct guest_command *c = arg;
	struct rpc_pending *p;
	int r = rpc_start(conn, &agent_methods[AGENT_PROCESS_START], &c->order->base, NULL, 0, &ops,
			  c, &p);

	order_free(c->order);
	c->order = NULL;
	if (r < 0)
		finish(c, GUEST_LOST, 0, r == -EMSGSIZE ? "it is too long" : strerror(-r));
}

static void on_down(const char *why, void *arg)
{
	finish(arg, GUEST_LOST, 0, why);
}

int guest_command_begin(struct loop *l, const struct sandbox *s,
			const struct guest_command_config *cfg, const struct guest_command_ops *ops,
			void *arg, struct guest_command **ret)
{
	static const struct guest_link_ops link_ops = { .up = on_up, .down = on_down };
	struct guest_command *c = calloc(1, sizeof(*c));
	int r = 0;

	if (c == NULL)
		return -ENOMEM;
	*c = (struct guest_command){ .loop = l, .ops = ops, .arg = arg };
	c->order = make_order(cfg);
	if (c->order == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = guest_link_open(l, s, &link_ops, c, &c->link);
	if (r == 0 && cfg->timeout_ms > 0)
		r = loop_timer_add(l, cfg->timeout_ms + GUARD_SLACK_MS, on_guard, c, &c->guard);
	if (r < 0) {
		guest_command_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void guest_command_free(struct guest_command *c)
{
	if (c == NULL)
		return;
	c->over = true;
	loop_timer_del(c->guard);
	guest_link_free(c->link);
	order_free(c->order);
	free(c);
}
