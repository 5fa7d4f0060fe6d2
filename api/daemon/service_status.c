/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/status: the daemon, the jailer as it describes itself, and (with ?checks=true) the
 * host checks of doctor. The checks run here because the daemon is on the host they are about;
 * the CLI may not be.
 */
#include <fcntl.h>
#include <jailer.pb-c.h>
#include <string.h>

#include "api/daemon/jailer.h"
#include "api/daemon/service.h"
#include "api/host/hostcheck.h"
#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#define STATUS_MS	 3000U
#define STATUS_NAMES_MAX 256U

struct status {
	struct http_req *req;
	struct service *sv;
	struct rpc_pending *call;
	bool checks;
};

static void status_done(void *state)
{
	struct status *st = state;

	if (st->call != NULL)
		rpc_cancel(st->call);
}

static void add_check(const struct hostcheck *c, void *arg)
{
	(void)json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:s, s:s}", "code", c->code,
						   "level", hostcheck_level_name(c->level), "what",
						   c->what, "why", c->why, "fix", c->fix));
}

static json_t *checks_json(void)
{
	CLEANUP(fd_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	json_t *list = json_array();

	if (root >= 0 && list != NULL)
		hostcheck_run(root, add_check, list);
	return list;
}

static json_t *text_json(const char *s)
{
	char shown[512];

	(void)log_escape(shown, sizeof(shown), s, strlen(s));
	return json_string(shown);
}

static json_t *names_json(char *const *names, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count && i < STATUS_NAMES_MAX; i++)
		(void)json_array_append_new(list, text_json(names[i]));
	return list;
}

static json_t *jailer_json(const Casemate__Jailer__V1__StatusResponse *j)
{
	return json_pack(
		"{s:b, s:o, s:o, s:i, s:b, s:b, s:o, s:i, s:i, s:i, s:o, s:o}", "reachable", 1,
		"version", text_json(j->version), "selinux", text_json(j->selinux), "cgroup",
		(int)j->cgroup, "user_namespaces", (int)j->user_namespaces, "kvm", (int)j->kvm,
		"kvm_error", text_json(j->kvm_error), "jails", (int)j->jails, "jails_max",
		(int)j->jails_max, "jails_ready", (int)j->jails_ready, "kernels",
		names_json(j->kernels, j->n_kernels), "images", names_json(j->images, j->n_images));
}

static json_t *no_jailer_json(const char *why)
{
	return json_pack("{s:b, s:o}", "reachable", 0, "error", text_json(why));
}

/* Which boot of which host this is: whoever asks may be on another. */
static json_t *boot_id_json(void)
{
	char id[64] = "";

	if (fd_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", id, sizeof(id)) < 0)
		id[0] = '\0';
	id[strcspn(id, "\n")] = '\0';
	return text_json(id);
}

/* jailer: reference taken over. */
static void answer(struct status *st, json_t *jailer)
{
	const struct service *sv = st->sv;
	json_t *o = json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "version",
			      CASEMATE_VERSION, "boot_id", boot_id_json(), "uptime_ms",
			      (json_int_t)(now_ms() - sv->started_ms), "sandboxes",
			      (json_int_t)sandboxes_live(sv->sandboxes), "sandboxes_max",
			      (json_int_t)sv->sandboxes_max, "memory_max_bytes",
			      (json_int_t)sv->limits.memory_max, "pool",
			      sandboxes_pool_json(sv->sandboxes), "jailer", jailer);

	if (o != NULL && st->checks)
		(void)json_object_set_new(o, "checks", checks_json());
	http_answer(st->req, 200, o);
}

static void on_status(const struct rpc_status *rs, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct status *st = arg;

	(void)fds;
	st->call = NULL;
	if (rs->code == RPC_OK)
		answer(st, jailer_json((const Casemate__Jailer__V1__StatusResponse *)out));
	else
		answer(st, no_jailer_json(rs->msg));
}

/* The cancelled call's callback answers; nobody reads it. */
static void on_client_gone(struct http_req *req, void *state)
{
	struct status *st = state;

	(void)req;
	if (st->call != NULL)
		rpc_cancel(st->call);
}

void service_status(struct http_req *req, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_status };
	Casemate__Jailer__V1__StatusRequest in = CASEMATE__JAILER__V1__STATUS_REQUEST__INIT;
	struct service *sv = arg;
	struct status *st = http_set_state(req, sizeof(*st), status_done);
	struct rpc_conn *jailer = jailer_conn(sv->jailer);
	const char *checks = http_query(req, "checks");

	if (!auth_admin(req))
		return;
	if (st == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	st->req = req;
	st->sv = sv;
	st->checks = checks != NULL && strcmp(checks, "true") == 0;
	if (jailer == NULL)
		answer(st, no_jailer_json(jailer_problem(sv->jailer)));
	else if (rpc_start(jailer, &jailer_methods[JAILER_STATUS], &in.base, NULL, STATUS_MS, &ops,
			   st, &st->call) < 0)
		answer(st, no_jailer_json("cannot ask it"));
	else
		http_hold(req, on_client_gone);
}
