/* SPDX-License-Identifier: Apache-2.0 */
/* handle_snapshot.c - Restore and Seal: what may take a while, because a memory is digested. */
#include <errno.h>
#include <jailer.pb-c.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "jailer/handlers.h"

/* A call that waits for a digest. */
struct waiting {
	struct rpc_call *call;
	struct session *session;
	struct sealer_job *job; /* NULL once it is over */
	struct request q;	/* its descriptors are ours */
	bool seal;		/* else Restore */
};

static void waiting_free(struct waiting *w)
{
	fd_closep(&w->q.state);
	fd_closep(&w->q.memory);
	fd_closep(&w->q.scratch);
	free(w);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	struct waiting *w = arg;

	(void)call;
	if (w->job != NULL)
		sealer_cancel(w->job);
	waiting_free(w);
}

static void reply_sealed(struct rpc_call *call, const uint8_t *seal)
{
	Casemate__Jailer__V1__SealResponse out = CASEMATE__JAILER__V1__SEAL_RESPONSE__INIT;
	uint8_t bytes[SNAPSEAL_BYTES];

	memcpy(bytes, seal, sizeof(bytes));
	out.seal.data = bytes;
	out.seal.len = sizeof(bytes);
	rpc_reply(call, &out.base, NULL);
}

static void on_digested(void *arg, int r, const uint8_t *seal, const struct err *err)
{
	struct waiting *w = arg;
	struct rpc_call *call = w->call;

	w->job = NULL;
	rpc_call_watch(call, NULL, NULL);
	if (r < 0)
		refuse_call(call, err);
	else if (w->seal)
		reply_sealed(call, seal);
	else
		create_restored(call, &w->q, w->session);
	waiting_free(w);
}

/* seal NULL: they are to be sealed. q's scratch disk is taken over. */
static void wait_for(struct rpc_call *call, struct request *q, int *fds,
		     const ProtobufCBinaryData *seal, struct session *s)
{
	static const struct rpc_call_ops ops = { .cancelled = on_cancelled };
	struct waiting *w = calloc(1, sizeof(*w));
	struct sealer_job *job = NULL;
	struct err err = { 0 };
	int r;

	if (w == NULL) {
		fd_closep(&q->scratch);
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "the jailer is out of memory");
		return;
	}
	*w = (struct waiting){ .call = call, .session = s, .q = *q, .seal = seal == NULL };
	w->q.state = fd_steal(&fds[0]);
	w->q.memory = fd_steal(&fds[1]);
	r = seal == NULL ? sealer_seal(s->sealer, &w->q, on_digested, w, &job, &err)
			 : sealer_check(s->sealer, &w->q, seal->data, seal->len, on_digested, w,
					&job, &err);
	if (r < 0) {
		refuse_call(call, &err);
		waiting_free(w);
	} else if (job != NULL) { /* else on_digested has been called, and w is gone */
		w->job = job;
		rpc_call_watch(call, &ops, w);
	}
}

const struct jail *running_jail(struct rpc_call *call, const char *id, struct session *s)
{
	const struct jail *j;

	if (!request_id_ok(id)) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "not an id");
		return NULL;
	}
	j = jail_find(s->jails, id);
	if (j == NULL || j->owner != session_owner(s)) {
		rpc_fail(call, RPC_NOT_FOUND, "no jail %s", id);
		return NULL;
	}
	if (j->state != JAIL_RUNNING) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "jail %s doesn't run", id);
		return NULL;
	}
	return j;
}

/* That of a jail which runs, and of whose memory the new one's is. */
static bool take_disk_of_jail(struct rpc_call *call, const char *id, struct session *s,
			      struct request *q)
{
	const struct jail *j = running_jail(call, id, s);

	if (j == NULL)
		return false;
	if (j->req.scratch_bytes != q->scratch_bytes) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "jail %s has another scratch disk", id);
		return false;
	}
	q->scratch = fd_dup(j->scratch, STDERR_FILENO + 1);
	if (q->scratch >= 0)
		return true;
	rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "jail %s: its scratch disk: %s", id,
		 strerror(-q->scratch));
	return false;
}

/* A memory goes with its disk: q's, ours to close. False: answered. */
static bool take_disk(struct rpc_call *call, const Casemate__Jailer__V1__RestoreRequest *m,
		      struct session *s, struct request *q)
{
	const bool of_jail = m->disk_jail[0] != '\0';
	struct err err = { 0 };
	const void *owner;
	const char *name;
	struct saves *ss;

	if (m->unsealed != of_jail) {
		rpc_fail(call, RPC_FAILED_PRECONDITION,
			 of_jail ? "a jail's disk goes with a memory that was never kept"
				 : "a scratch disk goes with what was kept, or is a jail's");
		return false;
	}
	if (of_jail)
		return take_disk_of_jail(call, m->disk_jail, s, q);
	if (!save_of(call, m->disk_id, m->disk_snapshot, s, &ss, &owner, &name))
		return false;
	if (saves_open_disk(ss, owner, name, q->scratch_bytes, &q->scratch, &err) == 0)
		return true;
	refuse_call(call, &err);
	return false;
}

void handle_restore(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__RestoreRequest *m = (const void *)in;
	struct session *s = arg;
	struct request q = { .scratch = -1 };
	struct err err = { 0 };

	if (m->create == NULL) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "an empty request");
		return;
	}
	if (request_check(m->create, true, &s->host->limits, &q, &err) < 0 ||
	    request_check_snapshot(&q, fds[0], fds[1], &err) < 0) {
		refuse_call(call, &err);
	} else if (q.scratch_bytes > 0 && !take_disk(call, m, s, &q)) {
		return;
	} else if (m->unsealed && m->seal.len == 0) {
		create_restored(call, &q, s);
		fd_closep(&q.scratch);
	} else {
		wait_for(call, &q, fds, &m->seal, s);
	}
}

/* Never one that was on a disk: what a seal says of a memory, it says of one file. */
void handle_restore_split(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__RestoreRequest *m = (const void *)in;
	struct session *s = arg;
	struct request q = { .scratch = -1 };
	struct err err = { 0 };

	if (m->create == NULL || !m->unsealed || m->seal.len > 0) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "a memory in two files has no seal");
		return;
	}
	if (request_check(m->create, true, &s->host->limits, &q, &err) < 0 ||
	    request_check_split(&q, fds[0], fds[1], fds[2], &err) < 0) {
		refuse_call(call, &err);
		return;
	}
	if (q.scratch_bytes > 0 && !take_disk(call, m, s, &q))
		return;
	create_restored(call, &q, s);
	fd_closep(&q.scratch);
}

/* The machine is what we know of the jail: the caller's word isn't asked for. */
const struct jail *snapshot_of_jail(struct rpc_call *call, const char *id, const int *fds,
				    struct session *s, struct request *q)
{
	const struct jail *j = running_jail(call, id, s);
	struct err err = { 0 };

	if (j == NULL)
		return NULL;
	*q = j->req;
	if (request_check_snapshot(q, fds[0], fds[1], &err) < 0) {
		refuse_call(call, &err);
		return NULL;
	}
	return j;
}

void handle_seal(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__SealRequest *m = (const void *)in;
	struct session *s = arg;
	struct request q;

	if (snapshot_of_jail(call, m->id, fds, s, &q) != NULL)
		wait_for(call, &q, fds, NULL, s);
}
