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
#include "base/log.h"
#include "base/num.h"

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

const char *sandbox_path_name(const struct sandbox *s)
{
	return path_names[s->path];
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

/* Milliseconds between two points of the boot, null while the second isn't reached. */
static json_t *span_json(const struct sandbox *s, enum sandbox_time from, enum sandbox_time to)
{
	if (s->time_ns[from] == 0 || s->time_ns[to] == 0)
		return json_null();
	return json_real((double)(s->time_ns[to] - s->time_ns[from]) / 1e6);
}

static json_t *timings_json(const struct sandbox *s)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "jail_ms",
			 span_json(s, SANDBOX_T_BEGIN, SANDBOX_T_JAILED), "configure_ms",
			 span_json(s, SANDBOX_T_JAILED, SANDBOX_T_CONFIGURED), "start_ms",
			 span_json(s, SANDBOX_T_CONFIGURED, SANDBOX_T_STARTED), "boot_ms",
			 span_json(s, SANDBOX_T_STARTED, SANDBOX_T_RUNNING), "total_ms",
			 span_json(s, SANDBOX_T_BEGIN, SANDBOX_T_RUNNING));
}

/* All texts in it are ASCII by now: checked by spec.c, or escaped when they came in. */
json_t *sandbox_json(const struct sandbox *s)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:I, s:s, s:s, s:I, s:I, s:s, s:b, s:I, s:o}",
			      "id", s->id, "state", sandbox_state_name(s->state), "path",
			      sandbox_path_name(s), "vcpus", (int)s->spec.vcpus, "memory_bytes",
			      (json_int_t)s->spec.memory_bytes, "kernel", s->spec.kernel, "image",
			      s->spec.image, "scratch_bytes", (json_int_t)s->spec.scratch_bytes,
			      "timeout_ms", (json_int_t)s->spec.timeout_ms, "on_timeout",
			      spec_on_timeout(&s->spec), "lease", s->spec.lease, "created_unix_ms",
			      (json_int_t)s->created_unix_ms, "timings", timings_json(s));
	json_t *jail = json_pack("{s:i, s:I, s:s, s:s}", "pid", (int)s->pid, "uid",
				 (json_int_t)s->uid, "cgroup", s->cgroup, "label", s->label);
	json_t *guest = json_pack("{s:s, s:s}", "kernel_release", s->kernel_release,
				  "agent_version", s->agent_version);
	const char *where = !sandbox_rests(s)		 ? "no"
			    : s->state == SANDBOX_PAUSED ? "disk"
							 : "memory";
	json_t *end = json_pack("{s:s, s:s}", "reason", s->reason, "detail",
				s->fault[0] != '\0' ? s->fault : s->detail);

	if (o == NULL || jail == NULL || guest == NULL || end == NULL) {
		json_decref(o);
		json_decref(jail);
		json_decref(guest);
		json_decref(end);
		return NULL;
	}
	/* The setters take the references over, also when they fail. */
	if (json_object_set_new(o, "jail", jail) < 0 ||
	    json_object_set_new(o, "guest", guest) < 0 ||
	    json_object_set_new(o, "paused", json_string(where)) < 0 ||
	    (s->spec.digest[0] != '\0' &&
	     json_object_set_new(o, "image_digest", json_sprintf("sha256:%s", s->spec.digest)) <
		     0) ||
	    (s->build[0] != '\0' && json_object_set_new(o, "build", json_string(s->build)) < 0) ||
	    json_object_set_new(o, "parent",
				s->parent[0] != '\0' ? json_string(s->parent) : json_null()) < 0 ||
	    json_object_set_new(o, "end", s->reason[0] != '\0' ? json_incref(end) : json_null()) <
		    0) {
		json_decref(end);
		json_decref(o);
		return NULL;
	}
	json_decref(end);
	return o;
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
