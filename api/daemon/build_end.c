/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_end.c - after the last step: what is to run is started, waited for, and frozen; then the
 * tags name the new build, and builds that no tag names any more go with their snapshots.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/build_internal.h"
#include "api/daemon/image_config.h"
#include "api/daemon/snapshot.h"
#include "api/daemon/templates.h"
#include "api/store/templates.h"
#include "base/clock.h"
#include "base/log.h"

#define AGAIN_MS 500U /* between two tries of the ready command */

static const char run_script[] =
	"if [ -x /bin/bash ]; then exec /bin/bash -c \"$1\"; fi; exec /bin/sh -c \"$1\"";

/* ---- Its snapshot -------------------------------------------------------------------------- */

static int record_ready(struct build *b, const char *config, const char *snapshot)
{
	const int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	const struct store_build row = { .id = b->id,
					 .state = STORE_BUILD_READY,
					 .reason = "",
					 .config = config,
					 .snapshot = snapshot,
					 .ended_ms = now };
	struct store *store = b->all->sv->store;
	int r = store_build_state(store, &row);

	for (size_t i = 0; i < b->order.tags_count && r == 0; i++) {
		const struct store_tag t = { .tag = b->order.tags[i],
					     .build = b->id,
					     .created_ms = now };
		r = store_tag_put(store, b->template, &t);
	}
	return r;
}

static void on_snapshot(struct snapshot *p, const struct snapshot_end *end, void *arg)
{
	struct build_freeze *z = arg;
	struct build *b = z->build;
	struct err err = { 0 };
	char *config = NULL;
	int r;

	free(z);
	if (b == NULL) { /* it ended meanwhile */
		if (p != NULL)
			snapshot_delete(p);
		return;
	}
	b->freeze = NULL;
	if (end->status != 0) {
		build_fail(b, 0, "its snapshot can't be made: %s", end->msg);
		return;
	}
	r = image_config_check(b->config, &config, &err);
	if (r == 0)
		r = record_ready(b, config, snapshot_id(p));
	free(config);
	if (r < 0) {
		snapshot_delete(p);
		if (r == -EDQUOT)
			build_fail(b, 0, "the template has %u tags already", STORE_TAGS_MAX);
		else
			build_fail(b, 0, "its state can't be written: %s", strerror(-r));
		return;
	}
	build_log_add(b->log, BUILD_LOG_INFO, 0, "the template is ready");
	build_done(b);
	templates_tidy(b->all->sv, b->template);
}

static void freeze(struct build *b)
{
	struct build_freeze *z = malloc(sizeof(*z));
	char name[sizeof(TEMPLATES_SNAPSHOT) + BUILD_ID_LEN];
	struct err err = { 0 };
	int r;

	build_enter(b, BUILD_FREEZING);
	build_log_add(b->log, BUILD_LOG_INFO, 0, "freezing it");
	/* What was started goes on in the guest; connections don't survive. */
	guest_command_free(b->start);
	b->start = NULL;
	if (z == NULL) {
		build_fail(b, 0, "its snapshot can't be made: out of memory");
		return;
	}
	(void)snprintf(name, sizeof(name), TEMPLATES_SNAPSHOT "%s", b->id);
	r = snapshot_make(b->sandbox, name, on_snapshot, z, &err);
	if (r < 0) {
		free(z);
		build_fail(b, 0, "its snapshot can't be made: %s", err.msg);
		return;
	}
	z->build = b;
	b->freeze = z;
}

void build_end_cancel(struct build *b)
{
	struct build_freeze *z = b->freeze;

	b->freeze = NULL;
	if (z == NULL)
		return;
	z->build = NULL; /* what comes of it is deleted */
	if (!b->all->closing)
		return;
	snapshot_unwatch(sandboxes_snapshots(b->all->sv->sandboxes), z);
	free(z);
}

/* ---- Ready? -------------------------------------------------------------------------------- */

static void on_output(const uint8_t *data, size_t len, bool is_stderr, void *arg)
{
	struct build *b = arg;

	build_log_output(b->log, 0, data, len, is_stderr);
}

static void try_ready(void *arg);

static void on_ready(const struct guest_result *res, void *arg)
{
	struct build *b = arg;

	guest_command_free(b->command);
	b->command = NULL;
	if (res->end == GUEST_EXITED && res->code == 0)
		freeze(b);
	else if (res->end != GUEST_EXITED && res->end != GUEST_SIGNALLED)
		build_fail(b, 0, "the ready command failed: %s",
			   res->end == GUEST_TIMED_OUT ? "it took too long" : res->msg);
	else if (now_ms() >= b->ready_until_ms)
		build_fail(b, 0, "the ready command didn't succeed within %u minutes",
			   (unsigned)(BUILD_READY_MS / 60000));
	else if (loop_timer_add(b->all->sv->loop, AGAIN_MS, try_ready, b, &b->again) < 0)
		build_fail(b, 0, "out of memory");
}

static void try_ready(void *arg)
{
	static const struct guest_command_ops ops = { .output = on_output, .done = on_ready };
	struct build *b = arg;
	const struct build_command c = { .argv = { "/bin/sh", "-c", run_script, "sh",
						   b->recipe.ready } };

	b->again = NULL;
	(void)!build_run(b, &c, &ops, &b->command);
}

static void on_started(void *arg)
{
	struct build *b = arg;

	if (b->recipe.ready == NULL)
		freeze(b);
	else
		try_ready(b);
}

static void on_start_ended(const struct guest_result *res, void *arg)
{
	struct build *b = arg;

	guest_command_free(b->start);
	b->start = NULL;
	if (res->end == GUEST_EXITED && res->code == 0)
		return; /* it did its work, or went into the background */
	build_fail(b, 0, "the start command failed: %s",
		   res->end == GUEST_EXITED ? "its exit status is not 0"
		   : res->msg[0] != '\0'    ? res->msg
					    : "it was ended");
}

void build_start(struct build *b)
{
	static const struct guest_command_ops ops = { .started = on_started,
						      .output = on_output,
						      .done = on_start_ended };
	const struct build_command c = { .argv = { "/bin/sh", "-c", run_script, "sh",
						   b->recipe.start } };

	build_enter(b, BUILD_STARTING);
	b->ready_until_ms = now_ms() + BUILD_READY_MS;
	if (b->recipe.start != NULL) {
		build_log_add(b->log, BUILD_LOG_INFO, 0, "starting %s", b->recipe.start);
		(void)!build_run(b, &c, &ops, &b->start);
	} else if (b->recipe.ready != NULL) {
		try_ready(b);
	} else {
		freeze(b);
	}
}
