/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/handlers.h"

#include <errno.h>
#include <jailer.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "api/proto/contract.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"

/* A call that waits for the end of a jail. */
struct pending {
	struct jail_waiter waiter;
	struct jail *jail;
	struct rpc_call *call;
	bool destroy; /* else Wait */
};

/* What we say of a jail. The strings are the jail's own; protobuf-c only reads them. */
void describe_jail(const struct jail *j, Casemate__Jailer__V1__JailInfo *ret)
{
	casemate__jailer__v1__jail_info__init(ret);
	ret->id = (char *)(size_t)j->req.id;
	ret->pid = j->pid;
	ret->uid = j->uid;
	ret->cgroup = (char *)(size_t)j->cgroup_path;
	ret->label = (char *)(size_t)j->label;
	ret->image_id.data = (uint8_t *)(size_t)j->req.image_id;
	ret->image_id.len = sizeof(j->req.image_id);
}

/* A client that makes the same mistake for ever must not fill the log. */
void refuse_call(struct rpc_call *call, const struct err *err)
{
	static struct log_limit limit = LOG_LIMIT(20);

	if (log_allowed(&limit))
		log_warn("jail.refused", "%s", err->msg);
	rpc_fail_err(call, err);
}

static void reply_created(struct rpc_call *call, const struct jail *j, struct jail_ends *ends,
			  bool restored, const struct err *err)
{
	Casemate__Jailer__V1__RestoreResponse around = CASEMATE__JAILER__V1__RESTORE_RESPONSE__INIT;
	Casemate__Jailer__V1__CreateResponse out = CASEMATE__JAILER__V1__CREATE_RESPONSE__INIT;
	Casemate__Jailer__V1__JailInfo info;
	int pass[2];

	if (j == NULL) {
		refuse_call(call, err);
		return;
	}
	describe_jail(j, &info);
	out.jail = &info;
	out.initrd = ends->initrd;
	around.created = &out;
	pass[0] = ends->control;
	pass[1] = ends->log;
	rpc_reply(call, restored ? &around.base : &out.base, pass);
	fd_closep(&ends->control);
	fd_closep(&ends->log);
}

static void on_created(void *arg, const struct jail *j, struct jail_ends *ends,
		       const struct err *err)
{
	reply_created(arg, j, ends, false, err);
}

static void on_restored(void *arg, const struct jail *j, struct jail_ends *ends,
			const struct err *err)
{
	reply_created(arg, j, ends, true, err);
}

static void handle_create(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__CreateRequest *m = (const void *)in;
	struct session *s = arg;
	struct request q = { .scratch = -1 };
	struct err err = { 0 };
	int r = request_check(m, false, &s->host->limits, &q, &err);

	(void)fds;
	if (r == 0 && q.disk_id[0] != '\0')
		r = saves_open_disk(s->saves, session_owner(s), q.disk_id, q.scratch_bytes,
				    &q.scratch, &err);
	if (r == 0)
		r = jail_create(s->jails, &q, session_owner(s), on_created, call, &err);
	fd_closep(&q.scratch);
	if (r < 0)
		refuse_call(call, &err);
}

void create_restored(struct rpc_call *call, const struct request *q, struct session *s)
{
	struct err err = { 0 };

	if (jail_create(s->jails, q, session_owner(s), on_restored, call, &err) < 0)
		refuse_call(call, &err);
}

static void handle_reserve(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__ReserveRequest *m = (const void *)in;
	const Casemate__Jailer__V1__ReserveResponse out =
		CASEMATE__JAILER__V1__RESERVE_RESPONSE__INIT;
	struct session *s = arg;
	struct err err = { 0 };
	struct jail *j;

	(void)fds;
	if (!request_id_ok(m->id) || m->snapshots > REQUEST_SNAPSHOTS_MAX) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "not an id, or more than %d snapshots",
			 REQUEST_SNAPSHOTS_MAX);
		return;
	}
	j = jail_find(s->jails, m->id);
	if (j == NULL || j->owner != session_owner(s))
		rpc_fail(call, RPC_NOT_FOUND, "no jail %s", m->id);
	else if (jail_reserve(j, m->snapshots, &err) < 0)
		refuse_call(call, &err);
	else
		rpc_reply(call, &out.base, NULL);
}

static void handle_open_network(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
				void *arg)
{
	const Casemate__Jailer__V1__OpenNetworkRequest *m = (const void *)in;
	const Casemate__Jailer__V1__OpenNetworkResponse out =
		CASEMATE__JAILER__V1__OPEN_NETWORK_RESPONSE__INIT;
	struct session *s = arg;
	struct err err = { 0 };
	struct jail *j = NULL;
	int pass[2];

	(void)fds;
	if (request_id_ok(m->id))
		j = jail_find(s->jails, m->id);
	/* Whoever has the socket decides what the sandbox reaches: nobody else's business. */
	if (j == NULL || j->owner != session_owner(s)) {
		rpc_fail(call, RPC_NOT_FOUND, "no such jail of yours");
	} else if (jail_open_network(j, pass, &err) < 0) {
		refuse_call(call, &err);
	} else {
		rpc_reply(call, &out.base, pass);
		fd_closep(&pass[0]);
		fd_closep(&pass[1]);
	}
}

static void reply_destroyed(struct rpc_call *call)
{
	Casemate__Jailer__V1__DestroyResponse out = CASEMATE__JAILER__V1__DESTROY_RESPONSE__INIT;

	rpc_reply(call, &out.base, NULL);
}

static void on_ended(struct jail_waiter *w, const struct ending *how, bool oom)
{
	struct pending *p = CONTAINER_OF(w, struct pending, waiter);
	Casemate__Jailer__V1__WaitResponse out = CASEMATE__JAILER__V1__WAIT_RESPONSE__INIT;

	if (p->destroy) {
		reply_destroyed(p->call);
	} else {
		out.exited = how->exited;
		out.status = how->status;
		out.oom = oom;
		rpc_reply(p->call, &out.base, NULL);
	}
	free(p);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	struct pending *p = arg;

	(void)call;
	jail_unwait(p->jail, &p->waiter);
	free(p);
}

static void wait_for(struct rpc_call *call, struct jail *j, bool destroy)
{
	static const struct rpc_call_ops ops = { .cancelled = on_cancelled };
	struct pending *p = calloc(1, sizeof(*p));
	bool running = j->state != JAIL_ENDED;

	if (p == NULL) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "the jailer is out of memory");
		return;
	}
	*p = (struct pending){
		.waiter = { .ended = on_ended }, .jail = j, .call = call, .destroy = destroy
	};
	rpc_call_watch(call, &ops, p);
	jail_wait(j, &p->waiter);
	/* Last: a jail that was still being made is gone with it. One that has ended is gone by
	 * now. */
	if (destroy && running)
		jail_kill(j);
}

/* Idempotent: an id without a jail is as destroyed as it can be. */
static void handle_destroy(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__DestroyRequest *m = (const void *)in;
	struct session *s = arg;
	struct jail *j;

	(void)fds;
	if (!request_id_ok(m->id)) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "not an id");
		return;
	}
	j = jail_find(s->jails, m->id);
	if (j == NULL)
		reply_destroyed(call);
	else
		wait_for(call, j, true);
}

static void handle_wait(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__WaitRequest *m = (const void *)in;
	struct session *s = arg;
	struct jail *j;

	(void)fds;
	if (!request_id_ok(m->id)) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "not an id");
		return;
	}
	j = jail_find(s->jails, m->id);
	if (j == NULL)
		rpc_fail(call, RPC_NOT_FOUND, "no jail %s", m->id);
	else
		wait_for(call, j, false);
}

static void handle_list(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	Casemate__Jailer__V1__ListResponse out = CASEMATE__JAILER__V1__LIST_RESPONSE__INIT;
	Casemate__Jailer__V1__JailInfo *infos = NULL, **list = NULL;
	struct session *s = arg;
	size_t n = jails_count(s->jails), i = 0;

	(void)in;
	(void)fds;
	if (n > 0) {
		infos = calloc(n, sizeof(*infos));
		list = calloc(n, sizeof(void *));
	}
	if (n > 0 && (infos == NULL || list == NULL)) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "the jailer is out of memory");
	} else {
		for (const struct jail *j = jails_first(s->jails); j != NULL; j = j->next, i++) {
			BUG_ON(i >= n || infos == NULL || list == NULL);
			describe_jail(j, &infos[i]);
			infos[i].yours = j->owner == session_owner(s);
			list[i] = &infos[i];
		}
		out.jails = list;
		out.n_jails = n;
		out.save_bytes_max = saves_bytes_max(s->saves);
		out.snapshot_bytes_max = saves_bytes_max(s->snapshots);
		rpc_reply(call, &out.base, NULL);
	}
	free(list);
	free(infos);
}

static void free_names(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
}

static void handle_status(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	static char version[] = CASEMATE_VERSION;
	Casemate__Jailer__V1__StatusResponse out;
	char *kernels[STORE_LIST_MAX], *images[STORE_LIST_MAX];
	struct session *s = arg;
	struct err err = { 0 };
	int kvm = host_open_kvm(&err);

	(void)in;
	(void)fds;
	casemate__jailer__v1__status_response__init(&out);
	out.version = version;
	out.selinux = (char *)(size_t)label_mode_name(label_mode());
	out.cgroup = s->host->cgroups.version;
	out.kvm = kvm >= 0;
	out.kvm_error = err.msg;
	fd_closep(&kvm);
	out.jails = jails_count(s->jails);
	out.jails_max = jails_max(s->jails);
	out.jails_ready = jails_ready(s->jails);
	out.user_namespaces = s->host->userns;
	out.n_kernels = store_list(&s->host->store, "kernels", kernels);
	out.kernels = kernels;
	out.n_images = store_list(&s->host->store, "images", images);
	out.images = images;
	rpc_reply(call, &out.base, NULL);
	free_names(kernels, out.n_kernels);
	free_names(images, out.n_images);
}

const struct rpc_handler session_handlers[] = {
	{ .method = &jailer_methods[JAILER_CREATE], .fn = handle_create },
	{ .method = &jailer_methods[JAILER_RESTORE], .fn = handle_restore },
	{ .method = &jailer_methods[JAILER_RESTORE_SPLIT], .fn = handle_restore_split },
	{ .method = &jailer_methods[JAILER_SEAL], .fn = handle_seal },
	{ .method = &jailer_methods[JAILER_SAVE], .fn = handle_save },
	{ .method = &jailer_methods[JAILER_SAVE_DISK], .fn = handle_save_disk },
	{ .method = &jailer_methods[JAILER_LOAD], .fn = handle_load },
	{ .method = &jailer_methods[JAILER_DISCARD], .fn = handle_discard },
	{ .method = &jailer_methods[JAILER_STORE_IMAGE], .fn = handle_store_image },
	{ .method = &jailer_methods[JAILER_REMOVE_IMAGE], .fn = handle_remove_image },
	{ .method = &jailer_methods[JAILER_LIST_IMAGES], .fn = handle_list_images },
	{ .method = &jailer_methods[JAILER_RESERVE], .fn = handle_reserve },
	{ .method = &jailer_methods[JAILER_OPEN_NETWORK], .fn = handle_open_network },
	{ .method = &jailer_methods[JAILER_DESTROY], .fn = handle_destroy },
	{ .method = &jailer_methods[JAILER_WAIT], .fn = handle_wait },
	{ .method = &jailer_methods[JAILER_HOLD], .fn = handle_hold },
	{ .method = &jailer_methods[JAILER_ADOPT], .fn = handle_adopt },
	{ .method = &jailer_methods[JAILER_EVENTS], .fn = handle_events },
	{ .method = &jailer_methods[JAILER_LIST], .fn = handle_list },
	{ .method = &jailer_methods[JAILER_INSPECT], .fn = handle_inspect },
	{ .method = &jailer_methods[JAILER_USAGE], .fn = handle_usage },
	{ .method = &jailer_methods[JAILER_STATUS], .fn = handle_status },
};
const size_t session_handlers_count = ARRAY_SIZE(session_handlers);
_Static_assert(ARRAY_SIZE(session_handlers) == JAILER_METHOD_COUNT, "each method is served");
