/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/build.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/build_internal.h"
#include "api/daemon/snapshot.h"
#include "api/daemon/tenant.h"
#include "api/store/templates.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

static const char *const phase_names[] = {
	[BUILD_WAITING] = "waiting",	 [BUILD_QUEUED] = "queued", [BUILD_BOOTING] = "booting",
	[BUILD_PREPARING] = "preparing", [BUILD_STEPS] = "steps",   [BUILD_STARTING] = "starting",
	[BUILD_FREEZING] = "freezing",	 [BUILD_READY] = "ready",   [BUILD_ERROR] = "error",
};
_Static_assert(ARRAY_SIZE(phase_names) == BUILD_PHASE_COUNT, "a name for each phase");

static int64_t unix_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
}

static bool has_ended(const struct build *b)
{
	return b->phase == BUILD_READY || b->phase == BUILD_ERROR;
}

static bool runs(const struct build *b)
{
	return b->phase > BUILD_QUEUED && !has_ended(b);
}

const char *build_id(const struct build *b)
{
	return b->id;
}

const char *build_template(const struct build *b)
{
	return b->template;
}

const char *build_state(const struct build *b)
{
	if (b->phase == BUILD_WAITING || b->phase == BUILD_QUEUED)
		return STORE_BUILD_WAITING;
	if (b->phase == BUILD_READY)
		return STORE_BUILD_READY;
	return b->phase == BUILD_ERROR ? STORE_BUILD_ERROR : STORE_BUILD_BUILDING;
}

uint64_t build_time_left_ms(const struct build *b)
{
	const uint64_t now = now_ms();

	return b->until_ms > now ? b->until_ms - now : 1;
}

/* ---- The table ----------------------------------------------------------------------------- */

/* All that is under way, and its sandbox. */
static void let_go(struct build *b)
{
	struct sandbox *s = b->sandbox;

	loop_timer_del(b->limit);
	loop_timer_del(b->again);
	b->limit = b->again = NULL;
	build_end_cancel(b);
	guest_command_free(b->command);
	guest_command_free(b->start);
	guest_file_free(b->sending);
	b->command = b->start = NULL;
	b->sending = NULL;
	fd_closep(&b->archive);
	b->sandbox = NULL;
	if (s != NULL) {
		sandbox_unwatch(s, &b->watch);
		sandbox_stop(s, b->phase == BUILD_READY ? "built" : "build-failed");
	}
	build_layers_done(b);
	recipe_done(&b->recipe);
}

static void forget(struct build *b)
{
	struct build **at = &b->all->first;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	let_go(b);
	json_decref(b->config);
	build_log_free(b->log);
	free(b);
}

/* Of those that have ended, the last ones stay. */
static void forget_old(struct builds *t)
{
	size_t ended = 0;
	struct build *next;

	for (const struct build *b = t->first; b != NULL; b = b->next)
		ended += has_ended(b);
	for (struct build *b = t->first; b != NULL && ended > BUILD_KEPT_MAX; b = next) {
		next = b->next;
		if (!has_ended(b))
			continue;
		forget(b);
		ended--;
	}
}

int builds_new(struct service *sv, struct build_files *files, uint64_t layer_after_ms,
	       struct builds **ret)
{
	struct builds *t;
	int r = store_builds_abort(sv->store, "the service was restarted", unix_ms());

	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->sv = sv;
	t->files = files;
	t->layer_after_ms = layer_after_ms;
	*ret = t;
	return 0;
}

void builds_free(struct builds *t)
{
	if (t == NULL)
		return;
	t->closing = true;
	while (t->first != NULL)
		forget(t->first);
	loop_timer_del(t->later);
	free(t);
}

struct build *builds_find(const struct builds *t, const char *id)
{
	struct build *b = t->first;

	while (b != NULL && strcmp(b->id, id) != 0)
		b = b->next;
	return b;
}

void builds_drop(struct builds *t, const char *template)
{
	struct build *next;

	for (struct build *b = t->first; b != NULL; b = next) {
		next = b->next;
		if (strcmp(b->template, template) == 0)
			forget(b);
	}
}

/* ---- Phases -------------------------------------------------------------------------------- */

static void schedule(struct builds *t);

static void on_limit(void *arg)
{
	struct build *b = arg;

	b->limit = NULL;
	if (b->phase == BUILD_WAITING)
		build_fail(b, 0, "it was never begun");
	else
		build_fail(b, 0, "it took longer than %u minutes",
			   (unsigned)(BUILD_TIME_MS / 60000));
}

/* Its time counts anew. */
static int set_limit(struct build *b)
{
	loop_timer_del(b->limit);
	b->limit = NULL;
	b->until_ms = now_ms() + BUILD_TIME_MS;
	return loop_timer_add(b->all->sv->loop, BUILD_TIME_MS, on_limit, b, &b->limit);
}

void build_enter(struct build *b, enum build_phase phase)
{
	/* Forward, one at a time; or to its end. */
	BUG_ON(has_ended(b) || (phase != b->phase + 1 && phase != BUILD_ERROR));
	log_info("build", "id=%s template=%s from=%s to=%s", b->id, b->template,
		 phase_names[b->phase], phase_names[phase]);
	b->phase = phase;
}

static void record_error(struct build *b)
{
	const struct store_build row = { .id = b->id,
					 .state = STORE_BUILD_ERROR,
					 .reason = b->reason,
					 .config = "{}",
					 .snapshot = "",
					 .ended_ms = unix_ms() };
	int r = store_build_state(b->all->sv->store, &row);

	if (r < 0 && r != -ENOENT)
		log_error("build.store", "id=%s error=%d", b->id, r);
}

/* A turn of the loop later: whoever ended is still in a callback of its own. */
static void on_ended(void *arg)
{
	struct builds *t = arg;

	t->later = NULL;
	forget_old(t);
	schedule(t);
}

static void ended(struct builds *t)
{
	if (t->later == NULL && loop_timer_add(t->sv->loop, 0, on_ended, t, &t->later) < 0)
		t->later = NULL; /* the next end, or order, looks again */
}

void build_fail(struct build *b, unsigned step, const char *fmt, ...)
{
	va_list ap;

	if (has_ended(b))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(b->reason, sizeof(b->reason), fmt, ap);
	va_end(ap);
	b->failed_step = step;
	build_log_add(b->log, BUILD_LOG_ERROR, step, "%s", b->reason);
	build_enter(b, BUILD_ERROR);
	record_error(b);
	let_go(b);
	ended(b->all);
}

void build_done(struct build *b)
{
	build_enter(b, BUILD_READY);
	let_go(b);
	ended(b->all);
}

/* ---- Its sandbox --------------------------------------------------------------------------- */

static void boot_again(void *arg);

/* True: its layer couldn't be restored, and it begins at the beginning. */
static bool begin_without_layer(struct build *b, struct sandbox *s)
{
	const char *code, *msg;

	if (b->phase != BUILD_BOOTING || sandbox_fault(s, &code, &msg) == 0 ||
	    strcmp(code, "snapshot_lost") != 0 || !build_layers_lost(b))
		return false;
	sandbox_unwatch(s, &b->watch);
	sandbox_set_lease(s, NULL);
	b->sandbox = NULL;
	/* Not here: a change of the old one's state is being told. */
	if (loop_timer_add(b->all->sv->loop, 0, boot_again, b, &b->again) < 0)
		build_fail(b, 0, "out of memory");
	return true;
}

static void on_sandbox(struct sandbox *s, void *arg)
{
	struct build *b = arg;
	const char *code, *msg, *reason;

	switch (sandbox_state(s)) {
	case SANDBOX_CREATING:
	case SANDBOX_SPARE:
		return;
	case SANDBOX_RUNNING:
		if (b->phase == BUILD_BOOTING)
			build_prepare(b);
		return;
	case SANDBOX_PARKING:
	case SANDBOX_PAUSED:
	case SANDBOX_STOPPING:
	case SANDBOX_ENDED:
	case SANDBOX_FAILED:
		break;
	case SANDBOX_STATE_COUNT:
		BUG("not a state");
	}
	/* The watch is still being called; it takes itself off. */
	reason = sandbox_reason(s);
	if (begin_without_layer(b, s))
		return;
	if (sandbox_fault(s, &code, &msg) == 0)
		build_fail(b, 0, "its sandbox ended: %s", reason[0] != '\0' ? reason : "unknown");
	else if (strcmp(code, "not_found") == 0 && b->recipe.image != NULL)
		build_fail(b, 0,
			   "image %s: there is no such image; bring it with casemate image import "
			   "--name %s (%s)",
			   b->recipe.image, sandbox_spec(s)->image, msg);
	else
		build_fail(b, 0, "its sandbox can't be made: %s", msg);
}

/* What the recipe's steps begin with: the sandbox's environment, user and directory. */
static int take_config(struct build *b, const struct spec *spec)
{
	const char *user = spec->user[0] != '\0'    ? spec->user
			   : b->recipe.user != NULL ? b->recipe.user
						    : BUILD_USER;
	const char *cwd = spec->cwd[0] != '\0'	      ? spec->cwd
			  : b->recipe.workdir != NULL ? b->recipe.workdir
						      : BUILD_WORKDIR;
	int r = 0;

	json_decref(b->config);
	b->config = json_pack("{s:[], s:s, s:s}", "env", "user", user, "workdir", cwd);
	if (b->config == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < spec->envs_count && r == 0; i++)
		r = build_set_env(b->config, spec->envs[i].name, spec->envs[i].value);
	return r;
}

static int make_sandbox(struct build *b, struct err *err)
{
	struct service *sv = b->all->sv;
	struct snapshot *from = NULL;
	struct spec spec;
	int r;

	spec_defaults(&spec, &sv->limits);
	spec.scratch_bytes = 0; /* clones of it share what a memory has, and nothing of a disk */
	spec.tenant = b->order.tenant;
	spec.vcpus = (uint32_t)b->order.vcpus;
	spec.memory_bytes = b->order.memory;
	spec.scratch_bytes = b->recipe.scratch_bytes;
	spec.timeout_ms = build_time_left_ms(b) + 60000; /* whatever becomes of us */
	spec.lease = true;
	r = spec.scratch_bytes <= sv->limits.scratch_max
		    ? build_network(sv, &spec, err)
		    : err_set(err, -EINVAL, "scratch_bytes: more than %" PRIu64,
			      sv->limits.scratch_max);
	if (r == 0)
		r = build_origin(b, &spec, &from, err);
	if (r == 0)
		r = take_config(b, &spec) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
	if (r == 0)
		r = build_layers_find(b, &spec, &from, err);
	if (r < 0)
		spec_done(&spec);
	else if (from != NULL)
		r = sandbox_create_from(sv->sandboxes, &spec, from, &b->sandbox, err);
	else
		r = sandbox_create(sv->sandboxes, &spec, &b->sandbox, err);
	if (r < 0)
		return r;
	sandbox_set_lease(b->sandbox, b);
	sandbox_set_build(b->sandbox, b->id);
	b->watch = (struct sandbox_watch){ .fn = on_sandbox, .arg = b };
	sandbox_watch(b->sandbox, &b->watch);
	return 0;
}

static void boot_again(void *arg)
{
	struct build *b = arg;
	struct err err = { 0 };

	b->again = NULL;
	if (make_sandbox(b, &err) < 0)
		build_fail(b, 0, "%s", err.msg);
}

static void boot(struct build *b)
{
	struct err err = { 0 };
	int r = set_limit(b);

	build_enter(b, BUILD_BOOTING);
	build_log_add(b->log, BUILD_LOG_INFO, 0, "FROM %s",
		      b->recipe.image != NULL ? b->recipe.image : b->recipe.template);
	r = r < 0 ? err_set(&err, r, "out of memory") : make_sandbox(b, &err);
	if (r < 0)
		build_fail(b, 0, "%s", err.msg);
}

/* Those whose turn it is. */
static void schedule(struct builds *t)
{
	for (struct build *b = t->first; b != NULL; b = b->next) {
		unsigned all = 0, own = 0;
		if (b->phase != BUILD_QUEUED)
			continue;
		for (const struct build *o = t->first; o != NULL; o = o->next) {
			all += runs(o);
			own += runs(o) && o->order.tenant == b->order.tenant;
		}
		if (all >= BUILD_RUNNING_MAX)
			return;
		if (own < BUILD_RUNNING_TENANT)
			boot(b);
	}
}

/* ---- Orders -------------------------------------------------------------------------------- */

static unsigned pending_of(const struct builds *t, const struct tenant *tenant)
{
	unsigned n = 0;

	for (const struct build *b = t->first; b != NULL; b = b->next)
		n += b->order.tenant == tenant && !has_ended(b);
	return n;
}

static int record_new(const struct build *b)
{
	const struct store_build row = { .id = b->id,
					 .template = b->template,
					 .state = STORE_BUILD_WAITING,
					 .vcpus = b->order.vcpus,
					 .memory = b->order.memory,
					 .created_ms = unix_ms() };

	return store_build_add(b->all->sv->store, &row);
}

int builds_add(struct builds *t, const struct build_order *order, struct build **ret,
	       struct err *err)
{
	struct build **at = &t->first;
	struct build *b;
	int r;

	BUG_ON(order->tags_count == 0 || order->tags_count > BUILD_TAGS_MAX);
	if (pending_of(t, order->tenant) >= BUILD_PENDING_TENANT)
		return err_set(err, -EDQUOT, "builds: %u of this tenant's are pending already",
			       BUILD_PENDING_TENANT);
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	b->all = t;
	b->archive = -1;
	b->order = *order;
	memcpy(b->template, order->template, strlen(order->template) + 1);
	b->order.template = b->template;
	build_id_make(b->id);
	b->log = build_log_new();
	while (*at != NULL)
		at = &(*at)->next;
	*at = b;
	r = b->log == NULL ? -ENOMEM : set_limit(b);
	if (r == 0)
		r = record_new(b);
	if (r < 0) {
		forget(b);
		return err_sys(err, r, "builds");
	}
	*ret = b;
	return 0;
}

int build_begin(struct build *b, struct recipe *recipe, struct err *err)
{
	if (b->phase != BUILD_WAITING) {
		recipe_done(recipe);
		return err_set(err, -ESTALE, "build %s: has begun already", b->id);
	}
	b->recipe = *recipe;
	*recipe = (struct recipe){ 0 };
	build_enter(b, BUILD_QUEUED);
	schedule(b->all);
	return 0;
}

/* ---- Commands in its sandbox --------------------------------------------------------------- */

int build_run(struct build *b, const struct build_command *c, const struct guest_command_ops *ops,
	      struct guest_command **ret)
{
	const json_t *env = json_object_get(b->config, "env");
	const size_t n = json_array_size(env);
	const char **envs = calloc(n + 1, sizeof(*envs));
	struct guest_command_config cfg = {
		.envs = envs,
		.user = c->user != NULL ? c->user : build_text(b->config, "user"),
		.cwd = c->cwd != NULL ? c->cwd : build_text(b->config, "workdir"),
		.timeout_ms = build_time_left_ms(b),
	};
	int r = -ENOMEM;

	for (size_t i = 0; envs != NULL && i < n; i++)
		envs[i] = json_string_value(json_array_get(env, i));
	memcpy(cfg.argv, c->argv, sizeof(cfg.argv));
	if (envs != NULL)
		r = guest_command_begin(b->all->sv->loop, b->sandbox, &cfg, ops, b, ret);
	free(envs);
	if (r < 0)
		build_fail(b, (unsigned)b->step, "its sandbox can't be reached: %s", strerror(-r));
	return r;
}

/* ---- What it tells ------------------------------------------------------------------------- */

json_t *build_json(const struct build *b, uint64_t from)
{
	json_t *entries = build_log_json(b->log, from), *logs = json_array(), *o, *e;
	json_t *reason = NULL;
	size_t i;

	json_array_foreach(entries, i, e)
	{
		(void)json_array_append(logs, json_object_get(e, "message"));
	}
	o = json_pack("{s:s, s:s, s:s, s:o, s:o}", "templateID", b->template, "buildID", b->id,
		      "status", build_state(b), "logs", logs, "logEntries", entries);
	if (o == NULL || b->phase != BUILD_ERROR)
		return o;
	reason = json_pack("{s:s, s:[]}", "message", b->reason, "logEntries");
	if (reason != NULL && b->failed_step > 0)
		(void)json_object_set_new(reason, "step", json_sprintf("%u", b->failed_step));
	(void)json_object_set_new(o, "reason", reason);
	return o;
}
