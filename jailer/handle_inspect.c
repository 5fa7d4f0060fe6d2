/* SPDX-License-Identifier: Apache-2.0 */
/* handle_inspect.c - Jailer.Inspect and Usage: the kernel's view of a jail, as a message. */
#include <errno.h>
#include <fcntl.h>
#include <jailer.pb-c.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/handlers.h"
#include "jailer/inspect.h"

/* The message and all that it points to. One for all calls: the loop has one thread, and a reply is
 * encoded before the next call. */
struct answer {
	struct inspection seen;
	Casemate__Jailer__V1__InspectResponse out;
	Casemate__Jailer__V1__JailInfo jail;
	Casemate__Jailer__V1__InspectResponse__Fact facts[3][INSPECT_FACTS_MAX];
	Casemate__Jailer__V1__InspectResponse__Fact *fact_list[3][INSPECT_FACTS_MAX];
	Casemate__Jailer__V1__InspectResponse__Thread threads[INSPECT_THREADS_MAX];
	Casemate__Jailer__V1__InspectResponse__Thread *thread_list[INSPECT_THREADS_MAX];
	Casemate__Jailer__V1__InspectResponse__Namespace namespaces[INSPECT_FACTS_MAX];
	Casemate__Jailer__V1__InspectResponse__Namespace *namespace_list[INSPECT_FACTS_MAX];
	Casemate__Jailer__V1__InspectResponse__Descriptor fds[INSPECT_FDS_MAX];
	Casemate__Jailer__V1__InspectResponse__Descriptor *fd_list[INSPECT_FDS_MAX];
};

static void put_facts(struct answer *a, unsigned which, struct inspect_facts *f)
{
	for (unsigned i = 0; i < f->count; i++) {
		Casemate__Jailer__V1__InspectResponse__Fact *x = &a->facts[which][i];
		casemate__jailer__v1__inspect_response__fact__init(x);
		x->name = f->list[i].name;
		x->value = f->list[i].value;
		a->fact_list[which][i] = x;
	}
}

static void put_all_facts(struct answer *a)
{
	put_facts(a, 0, &a->seen.status);
	a->out.n_status = a->seen.status.count;
	a->out.status = a->fact_list[0];
	put_facts(a, 1, &a->seen.rlimits);
	a->out.n_rlimits = a->seen.rlimits.count;
	a->out.rlimits = a->fact_list[1];
	put_facts(a, 2, &a->seen.cgroup);
	a->out.n_cgroup = a->seen.cgroup.count;
	a->out.cgroup = a->fact_list[2];
}

static void put_threads(struct answer *a)
{
	for (unsigned i = 0; i < a->seen.threads_count; i++) {
		Casemate__Jailer__V1__InspectResponse__Thread *t = &a->threads[i];
		casemate__jailer__v1__inspect_response__thread__init(t);
		t->tid = a->seen.threads[i].tid;
		t->name = a->seen.threads[i].name;
		t->seccomp_mode = a->seen.threads[i].seccomp_mode;
		t->seccomp_filters = a->seen.threads[i].seccomp_filters;
		a->thread_list[i] = t;
	}
	a->out.n_threads = a->seen.threads_count;
	a->out.threads = a->thread_list;
}

static void put_namespaces(struct answer *a)
{
	for (unsigned i = 0; i < a->seen.namespaces_count; i++) {
		Casemate__Jailer__V1__InspectResponse__Namespace *n = &a->namespaces[i];
		casemate__jailer__v1__inspect_response__namespace__init(n);
		n->name = a->seen.namespaces[i].name;
		n->inode = a->seen.namespaces[i].inode;
		n->host_inode = a->seen.namespaces[i].host_inode;
		a->namespace_list[i] = n;
	}
	a->out.n_namespaces = a->seen.namespaces_count;
	a->out.namespaces = a->namespace_list;
}

static void put_fds(struct answer *a)
{
	for (unsigned i = 0; i < a->seen.fds_count; i++) {
		Casemate__Jailer__V1__InspectResponse__Descriptor *d = &a->fds[i];
		casemate__jailer__v1__inspect_response__descriptor__init(d);
		d->number = a->seen.fds[i].number;
		d->kind = a->seen.fds[i].kind;
		d->mode = a->seen.fds[i].mode;
		a->fd_list[i] = d;
	}
	a->out.n_descriptors = a->seen.fds_count;
	a->out.descriptors = a->fd_list;
}

/* A jail that runs by its id, or NULL and the call has been refused. */
static const struct jail *find_running(struct rpc_call *call, const struct session *s,
				       const char *id)
{
	const struct jail *j = request_id_ok(id) ? jail_find(s->jails, id) : NULL;

	if (j != NULL && j->state == JAIL_RUNNING)
		return j;
	rpc_fail(call, RPC_NOT_FOUND, "no such jail is running");
	return NULL;
}

void handle_usage(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__UsageRequest *m = (const void *)in;
	Casemate__Jailer__V1__UsageResponse out = CASEMATE__JAILER__V1__USAGE_RESPONSE__INIT;
	const struct jail *j = find_running(call, arg, m->id);
	struct cgroup_usage u;
	struct err err;
	int r;

	(void)fds;
	if (j == NULL)
		return;
	r = cgroup_usage(&j->cell->cgroup, j->pid, &u);
	if (r < 0) {
		(void)err_sys(&err, r, "usage of %s", m->id);
		rpc_fail(call, RPC_INTERNAL, "%s", err.msg);
		return;
	}
	out.cpu_usec = u.cpu_us;
	out.memory_bytes = u.memory_bytes;
	out.memory_peak_bytes = u.memory_peak_bytes;
	rpc_reply(call, &out.base, NULL);
}

void handle_inspect(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__InspectRequest *m = (const void *)in;
	CLEANUP(fd_closep) int proc = -1;
	static struct answer a;
	struct session *s = arg;
	struct err err = { 0 };
	const struct jail *j = find_running(call, s, m->id);

	(void)fds;
	if (j == NULL)
		return;
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || inspect_process(proc, j->pid, &a.seen, &err) < 0) {
		rpc_fail(call, RPC_INTERNAL, "inspect: %s", proc < 0 ? "no /proc" : err.msg);
		return;
	}
	inspect_cgroup(&j->cell->cgroup, &a.seen);
	casemate__jailer__v1__inspect_response__init(&a.out);
	describe_jail(j, &a.jail);
	a.out.jail = &a.jail;
	a.out.label = a.seen.label;
	put_all_facts(&a);
	put_threads(&a);
	put_namespaces(&a);
	put_fds(&a);
	rpc_reply(call, &a.out.base, NULL);
}
