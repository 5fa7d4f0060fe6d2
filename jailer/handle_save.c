/* SPDX-License-Identifier: Apache-2.0 */
/* handle_save.c - Save, Load and Discard: sandboxes that are paused on the disk, and snapshots. */
#include <jailer.pb-c.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "jailer/handlers.h"

/* A call that waits for a digest (Save), then for a copy. */
struct copying {
	struct rpc_call *call;
	struct session *session;
	struct sealer_job *digest;	     /* NULL: not yet, or over */
	struct saves_job *copy;		     /* the same */
	struct request q;		     /* Save's; its descriptors are ours */
	char snapshot[REQUEST_NAME_MAX + 1]; /* its name; "" = a paused sandbox */
	enum { COPYING_SAVE, COPYING_SAVE_DISK, COPYING_LOAD } what;
};

static void copying_free(struct copying *c)
{
	fd_closep(&c->q.state);
	fd_closep(&c->q.memory);
	fd_closep(&c->q.scratch);
	free(c);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	struct copying *c = arg;

	(void)call;
	if (c->digest != NULL)
		sealer_cancel(c->digest);
	if (c->copy != NULL)
		saves_cancel(c->copy);
	copying_free(c);
}

static const struct rpc_call_ops copying_ops = { .cancelled = on_cancelled };

static struct copying *copying_new(struct rpc_call *call, struct session *s)
{
	struct copying *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "the jailer is out of memory");
		return NULL;
	}
	*c = (struct copying){ .call = call,
			       .session = s,
			       .q = { .state = -1, .memory = -1, .rest = -1, .scratch = -1 } };
	return c;
}

bool save_of(struct rpc_call *call, const char *id, const char *snapshot, struct session *s,
	     struct saves **ret, const void **ret_owner, const char **ret_name)
{
	const bool named = snapshot[0] != '\0';

	*ret = named ? s->snapshots : s->saves;
	*ret_owner = named ? saves_nobody(s->snapshots) : session_owner(s);
	*ret_name = named ? snapshot : id;
	if (request_id_ok(*ret_name))
		return true;
	rpc_fail(call, RPC_INVALID_ARGUMENT, named ? "not a snapshot's name" : "not an id");
	return false;
}

static void reply(const struct copying *c, const uint8_t *seal)
{
	Casemate__Jailer__V1__SaveResponse saved = CASEMATE__JAILER__V1__SAVE_RESPONSE__INIT;
	Casemate__Jailer__V1__SaveDiskResponse disk =
		CASEMATE__JAILER__V1__SAVE_DISK_RESPONSE__INIT;
	Casemate__Jailer__V1__LoadResponse loaded = CASEMATE__JAILER__V1__LOAD_RESPONSE__INIT;
	uint8_t bytes[SNAPSEAL_BYTES];

	if (c->what == COPYING_SAVE_DISK) {
		disk.bytes = saves_bytes(c->session->saves, session_owner(c->session), c->q.id);
		rpc_reply(c->call, &disk.base, NULL);
		return;
	}
	if (c->what == COPYING_SAVE) {
		const bool named = c->snapshot[0] != '\0';
		const struct saves *ss = named ? c->session->snapshots : c->session->saves;
		saved.bytes = saves_bytes(ss, named ? saves_nobody(ss) : session_owner(c->session),
					  named ? c->snapshot : c->q.id);
		rpc_reply(c->call, &saved.base, NULL);
		return;
	}
	memcpy(bytes, seal, sizeof(bytes));
	loaded.seal.data = bytes;
	loaded.seal.len = sizeof(bytes);
	rpc_reply(c->call, &loaded.base, NULL);
}

static void on_copied(void *arg, int r, const uint8_t *seal, const struct err *err)
{
	struct copying *c = arg;

	c->copy = NULL;
	rpc_call_watch(c->call, NULL, NULL);
	if (r < 0)
		refuse_call(c->call, err);
	else
		reply(c, seal);
	copying_free(c);
}

static void on_digested(void *arg, int r, const uint8_t *seal, const struct err *err)
{
	struct copying *c = arg;
	struct session *s = c->session;
	struct err why = { 0 };

	c->digest = NULL;
	rpc_call_watch(c->call, NULL, NULL);
	if (r == 0) {
		const bool named = c->snapshot[0] != '\0';
		struct saves *ss = named ? s->snapshots : s->saves;
		r = saves_put(ss, named ? saves_nobody(ss) : session_owner(s),
			      named ? c->snapshot : c->q.id, &c->q, seal, on_copied, c, &c->copy,
			      &why);
		err = &why;
	}
	if (r == 0) {
		rpc_call_watch(c->call, &copying_ops, c);
		return;
	}
	refuse_call(c->call, err);
	copying_free(c);
}

void handle_save(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__SaveRequest *m = (const void *)in;
	struct sealer_job *job = NULL;
	struct session *s = arg;
	struct err err = { 0 };
	struct copying *c;
	struct request q;
	const void *owner;
	const char *name;
	struct saves *ss;
	const struct jail *j = snapshot_of_jail(call, m->id, fds, s, &q);

	if (j == NULL || !save_of(call, m->id, m->snapshot, s, &ss, &owner, &name))
		return;
	c = copying_new(call, s);
	if (c == NULL)
		return;
	c->q = q;
	memcpy(c->snapshot, m->snapshot, strlen(m->snapshot) + 1);
	c->q.state = fd_steal(&fds[0]);
	c->q.memory = fd_steal(&fds[1]);
	c->q.scratch = q.scratch_bytes > 0 ? fd_dup(j->scratch, STDERR_FILENO + 1) : -1;
	if (q.scratch_bytes > 0 && c->q.scratch < 0) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "jail %s: its scratch disk: %s", m->id,
			 strerror(-c->q.scratch));
		copying_free(c);
		return;
	}
	if (sealer_seal(s->sealer, &c->q, on_digested, c, &job, &err) < 0) {
		refuse_call(call, &err);
		copying_free(c);
	} else if (job != NULL) { /* else on_digested has been called, and c may be gone */
		c->digest = job;
		rpc_call_watch(call, &copying_ops, c);
	}
}

/* The machine is what we know of the jail, as in Save. */
void handle_save_disk(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__SaveDiskRequest *m = (const void *)in;
	static const uint8_t no_seal[SNAPSEAL_BYTES];
	struct session *s = arg;
	struct err err = { 0 };
	const struct jail *j;
	struct copying *c;

	(void)fds;
	j = running_jail(call, m->id, s);
	if (j == NULL)
		return;
	if (j->req.scratch_bytes == 0) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "jail %s has no scratch disk", m->id);
		return;
	}
	c = copying_new(call, s);
	if (c == NULL)
		return;
	c->what = COPYING_SAVE_DISK;
	c->q = j->req;
	c->q.state = c->q.memory = -1;
	c->q.scratch = fd_dup(j->scratch, STDERR_FILENO + 1);
	if (c->q.scratch < 0) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "jail %s: its scratch disk: %s", m->id,
			 strerror(-c->q.scratch));
		copying_free(c);
	} else if (saves_put(s->saves, session_owner(s), m->id, &c->q, no_seal, on_copied, c,
			     &c->copy, &err) < 0) {
		refuse_call(call, &err);
		copying_free(c);
	} else {
		rpc_call_watch(call, &copying_ops, c);
	}
}

void handle_load(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__LoadRequest *m = (const void *)in;
	struct session *s = arg;
	struct err err = { 0 };
	const void *owner;
	const char *name;
	struct saves *ss;
	struct copying *c;

	if (!save_of(call, m->id, m->snapshot, s, &ss, &owner, &name))
		return;
	c = copying_new(call, s);
	if (c == NULL)
		return;
	c->what = COPYING_LOAD;
	if (saves_get(ss, owner, name, fds[0], fds[1], on_copied, c, &c->copy, &err) < 0) {
		refuse_call(call, &err);
		copying_free(c);
	} else {
		rpc_call_watch(call, &copying_ops, c);
	}
}

void handle_discard(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__DiscardRequest *m = (const void *)in;
	const Casemate__Jailer__V1__DiscardResponse out =
		CASEMATE__JAILER__V1__DISCARD_RESPONSE__INIT;
	const void *owner;
	const char *name;
	struct saves *ss;

	(void)fds;
	if (!save_of(call, m->id, m->snapshot, arg, &ss, &owner, &name))
		return;
	if (saves_discard(ss, owner, name) < 0)
		rpc_fail(call, RPC_FAILED_PRECONDITION, "%s is being written or read", name);
	else
		rpc_reply(call, &out.base, NULL);
}
