/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_view.c - what others may see of a sandbox. Changes nothing. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/pool.h"
#include "api/daemon/profile.h"
#include "api/daemon/sandbox_internal.h"
#include "base/bug.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/num.h"

#define NS_PER_MS UINT64_C(1000000)

void sandbox_set_build(struct sandbox *s, const char build[BUILD_ID_LEN + 1])
{
	memcpy(s->build, build, sizeof(s->build));
}

const char *sandbox_build(const struct sandbox *s)
{
	return s->build;
}

void sandbox_set_lease(struct sandbox *s, const void *lease)
{
	s->lease = lease;
}

const char *sandbox_id(const struct sandbox *s)
{
	return s->id;
}

struct tenant *sandbox_tenant(const struct sandbox *s)
{
	return s->spec.tenant;
}

const struct spec *sandbox_spec(const struct sandbox *s)
{
	return &s->spec;
}

int64_t sandbox_created_unix_ms(const struct sandbox *s)
{
	return s->created_unix_ms;
}

const char *sandbox_reason(const struct sandbox *s)
{
	return s->reason;
}

const char *sandbox_detail(const struct sandbox *s)
{
	return s->fault[0] != '\0' ? s->fault : s->detail;
}

const char *sandbox_cgroup(const struct sandbox *s)
{
	return s->cgroup;
}

bool sandbox_stream_begin(struct sandbox *s, unsigned max)
{
	if (s->streams >= max)
		return false;
	s->streams++;
	return true;
}

void sandbox_stream_end(struct sandbox *s)
{
	BUG_ON(s->streams == 0);
	s->streams--;
}

void sandbox_set_profile(struct sandbox *s, struct profile *p)
{
	profile_free(s->profile);
	s->profile = p;
}

const struct profile *sandbox_profile(const struct sandbox *s)
{
	return s->profile;
}

int64_t sandbox_end_unix_ms(const struct sandbox *s)
{
	return s->end_unix_ms;
}

void sandboxes_each(const struct sandboxes *t, bool (*fn)(struct sandbox *s, void *arg), void *arg)
{
	for (struct sandbox *s = t->first, *next; s != NULL; s = next) {
		next = s->next;
		if (s->kind == SANDBOX_KIND_TENANT && !fn(s, arg))
			return;
	}
}

static const char *const path_names[] = {
	[SANDBOX_PATH_COLD] = "cold",	 [SANDBOX_PATH_RESTORE] = "restore",
	[SANDBOX_PATH_POOL] = "pool",	 [SANDBOX_PATH_FORK] = "fork",
	[SANDBOX_PATH_DISK] = "disk",	 [SANDBOX_PATH_SNAPSHOT] = "snapshot",
	[SANDBOX_PATH_REBOOT] = "reboot"
};
_Static_assert(ARRAY_SIZE(path_names) == SANDBOX_PATH_COUNT, "each has a name");

const char *sandbox_path_name(enum sandbox_path p)
{
	return path_names[p];
}

enum sandbox_path sandbox_path(const struct sandbox *s)
{
	return s->path;
}

int sandbox_path_find(const char *name, enum sandbox_path *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(path_names); i++)
		if (strcmp(path_names[i], name) == 0) {
			*ret = (enum sandbox_path)i;
			return 0;
		}
	return -EINVAL;
}

enum sandbox_state sandbox_state(const struct sandbox *s)
{
	return s->state;
}

unsigned sandbox_fault(const struct sandbox *s, const char **ret_code, const char **ret_msg)
{
	*ret_code = s->fault_code;
	*ret_msg = s->fault;
	return s->fault_status;
}

const char *sandbox_console_tail(const struct sandbox *s, size_t *ret_len)
{
	*ret_len = s->tail_len;
	return s->tail;
}

const char *sandbox_vmm_log(const struct sandbox *s, size_t *ret_len)
{
	return vmlog_text(s->log, ret_len);
}

struct rpc_conn *sandbox_vmm(const struct sandbox *s)
{
	return s->vmm;
}

/* ---- As JSON --------------------------------------------------------------------------------
 * Written as text: a list has thousands of them, and a tree of each costs three times the time.
 * Each function appends members that begin with a comma, except where it says otherwise.
 */

static int put_member(struct buf *out, const char *name, const char *value)
{
	int r = json_printf(out, ",\"%s\":", name);

	return r < 0 ? r : json_put_string(out, value, strlen(value));
}

/* Milliseconds between two points of the boot, null while the second isn't reached. No comma. */
static int put_span(struct buf *out, const char *name, const struct sandbox *s,
		    enum sandbox_time from, enum sandbox_time to)
{
	const uint64_t ns = s->time_ns[to] - s->time_ns[from];

	if (s->time_ns[from] == 0 || s->time_ns[to] == 0)
		return json_printf(out, "\"%s\":null", name);
	return json_printf(out, "\"%s\":%" PRIu64 ".%06" PRIu64, name, ns / NS_PER_MS,
			   ns % NS_PER_MS);
}

static int put_timings(struct buf *out, const struct sandbox *s)
{
	static const struct {
		const char *name;
		enum sandbox_time from, to;
	} spans[] = {
		{ "jail_ms", SANDBOX_T_BEGIN, SANDBOX_T_JAILED },
		{ "configure_ms", SANDBOX_T_JAILED, SANDBOX_T_CONFIGURED },
		{ "start_ms", SANDBOX_T_CONFIGURED, SANDBOX_T_STARTED },
		{ "boot_ms", SANDBOX_T_STARTED, SANDBOX_T_RUNNING },
		{ "total_ms", SANDBOX_T_BEGIN, SANDBOX_T_RUNNING },
	};
	int r = json_printf(out, ",\"timings\":{");

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(spans); i++) {
		r = i > 0 ? json_printf(out, ",") : 0;
		if (r == 0)
			r = put_span(out, spans[i].name, s, spans[i].from, spans[i].to);
	}
	return r < 0 ? r : json_printf(out, "}");
}

/* What it was asked to be. */
static int put_spec(struct buf *out, const struct sandbox *s)
{
	const struct spec *p = &s->spec;
	int r = json_printf(out, ",\"vcpus\":%" PRIu32 ",\"memory_bytes\":%" PRIu64, p->vcpus,
			    p->memory_bytes);

	if (r == 0)
		r = put_member(out, "kernel", p->kernel);
	if (r == 0)
		r = put_member(out, "image", p->image);
	if (r == 0 && p->digest[0] != '\0')
		r = json_printf(out, ",\"image_digest\":\"sha256:%s\"", p->digest);
	if (r == 0)
		r = json_printf(out, ",\"scratch_bytes\":%" PRIu64 ",\"timeout_ms\":%" PRIu64,
				p->scratch_bytes, p->timeout_ms);
	if (r == 0)
		r = put_member(out, "on_timeout", spec_on_timeout(p));
	return r < 0 ? r : json_printf(out, ",\"lease\":%s", p->lease ? "true" : "false");
}

static int put_jail_and_guest(struct buf *out, const struct sandbox *s)
{
	int r = json_printf(out, ",\"jail\":{\"pid\":%" PRId32 ",\"uid\":%" PRIu32, s->pid, s->uid);

	if (r == 0)
		r = put_member(out, "cgroup", s->cgroup);
	if (r == 0)
		r = put_member(out, "label", s->label);
	if (r == 0)
		r = json_printf(out, "},\"guest\":{\"kernel_release\":");
	if (r == 0)
		r = json_put_string(out, s->kernel_release, strlen(s->kernel_release));
	if (r == 0)
		r = put_member(out, "agent_version", s->agent_version);
	return r < 0 ? r : json_printf(out, "}");
}

/* Where it came from, and how it ended. */
static int put_life(struct buf *out, const struct sandbox *s)
{
	const char *where = !sandbox_rests(s)		 ? "no"
			    : s->state == SANDBOX_PAUSED ? "disk"
							 : "memory";
	int r = put_member(out, "paused", where);

	if (r == 0 && s->build[0] != '\0')
		r = put_member(out, "build", s->build);
	if (r == 0)
		r = s->parent[0] != '\0' ? put_member(out, "parent", s->parent)
					 : json_printf(out, ",\"parent\":null");
	if (r < 0 || s->reason[0] == '\0')
		return r < 0 ? r : json_printf(out, ",\"end\":null");
	r = json_printf(out, ",\"end\":{\"reason\":");
	if (r == 0)
		r = json_put_string(out, s->reason, strlen(s->reason));
	if (r == 0)
		r = put_member(out, "detail", sandbox_detail(s));
	return r < 0 ? r : json_printf(out, "}");
}

int sandbox_put_json(const struct sandbox *s, struct buf *out)
{
	int r = json_printf(out, "{\"id\":\"%s\",\"state\":\"%s\",\"path\":\"%s\"", s->id,
			    sandbox_state_name(s->state), sandbox_path_name(s->path));

	if (r == 0)
		r = put_spec(out, s);
	if (r == 0)
		r = json_printf(out, ",\"created_unix_ms\":%" PRId64, s->created_unix_ms);
	if (r == 0)
		r = put_timings(out, s);
	if (r == 0)
		r = put_jail_and_guest(out, s);
	if (r == 0)
		r = put_life(out, s);
	return r < 0 ? r : json_printf(out, "}");
}

void sandboxes_forget_image(struct sandboxes *t, const char *digest)
{
	if (t->pool != NULL)
		pool_forget(t->pool, digest);
}

json_t *sandboxes_pool_json(const struct sandboxes *t)
{
	return t->pool != NULL ? pool_json(t->pool) : json_array();
}
