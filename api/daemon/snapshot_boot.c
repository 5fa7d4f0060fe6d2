/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot_boot.c - sandboxes that go on from a snapshot. Its file is copied to two memfds when the
 * first of them is made, which all share; those that come while it is being copied wait, without a
 * jail. The jailer checks the seal on the memfds, once nobody can change them any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/jailer.h"
#include "api/daemon/memory.h"
#include "api/daemon/pool.h"
#include "api/daemon/snapshot_internal.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"

void snapshot_unload(struct snapshot *p)
{
	struct rpc_pending *call = p->load;

	p->load = NULL;
	if (call != NULL)
		rpc_cancel(call);
	p->loaded = false;
	memory_settle(&p->all->table->memory, &p->promised);
	fd_closep(&p->fds[0]);
	fd_closep(&p->fds[1]);
}

void snapshot_give(struct snapshot *p, struct sandbox *s)
{
	p->users++;
	s->snapshot = p;
	s->path = SANDBOX_PATH_SNAPSHOT;
	memcpy(s->token_saved, p->rec.token, sizeof(s->token_saved));
	memcpy(s->image_id, p->rec.image, sizeof(s->image_id));
}

void snapshot_unuse(struct snapshot *p)
{
	if (p == NULL)
		return;
	BUG_ON(p->users == 0);
	if (--p->users > 0)
		return;
	snapshot_unload(p);
	snapshot_poke(p);
}

const int *snapshot_files(const struct snapshot *p, ProtobufCBinaryData *ret_seal)
{
	BUG_ON(!p->loaded);
	ret_seal->data = (uint8_t *)(uintptr_t)p->seal;
	ret_seal->len = p->seal_len;
	return p->fds;
}

static bool waits(const struct sandbox *s, const struct snapshot *p)
{
	return s->snapshot == p && s->state == SANDBOX_CREATING && !s->jailed;
}

/* One of those that wait, or NULL. */
static struct sandbox *waiter(const struct snapshot *p)
{
	struct sandbox *s = p->all->table->first;

	while (s != NULL && !waits(s, p))
		s = s->next;
	return s;
}

static void let_begin(struct snapshot *p)
{
	struct rpc_conn *jailer = jailer_conn(p->all->table->cfg.jailer);
	struct sandbox *s;

	/* Each that can't begin leaves the state that is looked for. */
	while ((s = waiter(p)) != NULL) {
		int r = jailer == NULL ? -ENOTCONN : boot_begin(s, jailer);
		if (r < 0)
			sandbox_fail(s, 503, "unavailable", "jailer Restore: %s", strerror(-r));
	}
}

static void refuse_all(struct snapshot *p, unsigned status, const char *code, const char *msg)
{
	struct sandbox *s;

	while ((s = waiter(p)) != NULL)
		sandbox_fail(s, status, code, "snapshot %s: %s", p->id, msg);
}

static void on_loaded(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	const Casemate__Jailer__V1__LoadResponse *m = (const void *)out;
	struct snapshot *p = arg;
	int r;

	(void)fds;
	if (p->load == NULL) /* we have ended it */
		return;
	p->load = NULL;
	memory_settle(&p->all->table->memory, &p->promised);
	p->users++; /* stays while those that can't begin go */
	if (st->code != RPC_OK) {
		const bool busy = st->code == RPC_RESOURCE_EXHAUSTED ||
				  st->code == RPC_UNAVAILABLE || st->code == RPC_CANCELLED;
		log_error("snapshot.load", "id=%s error=\"%s\"", p->id, st->msg);
		snapshot_unload(p);
		refuse_all(p, busy ? 503 : 500, busy ? "unavailable" : "snapshot_lost", st->msg);
	} else {
		r = m->seal.len > sizeof(p->seal) ? -EPROTO : pool_freeze(p->fds, 2);
		if (r == 0) {
			memcpy(p->seal, m->seal.data, m->seal.len);
			p->seal_len = m->seal.len;
			p->loaded = true;
			let_begin(p);
		} else {
			snapshot_unload(p);
			refuse_all(p, 500, "internal", strerror(-r));
		}
	}
	snapshot_unuse(p);
	/* p may be gone. */
}

static int load(struct snapshot *p, struct err *err)
{
	static const struct rpc_pending_ops ops = { .done = on_loaded };
	Casemate__Jailer__V1__LoadRequest req = CASEMATE__JAILER__V1__LOAD_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(p->all->table->cfg.jailer);
	int r = memory_promise(&p->all->table->memory, p->rec.spec.memory_bytes, &p->promised, err);

	if (r < 0)
		return r;
	r = pool_files(&p->rec.spec, p->fds);
	req.snapshot = p->id;
	if (r == 0)
		r = jailer == NULL ? -ENOTCONN
				   : rpc_start(jailer, &jailer_methods[JAILER_LOAD], &req.base,
					       p->fds, SNAPSHOT_COPY_MS, &ops, p, &p->load);
	if (r < 0) {
		snapshot_unload(p);
		return err_sys(err, r, "snapshot %s: jailer: Load", p->id);
	}
	return 0;
}

int snapshot_begin(struct sandbox *s, struct err *err)
{
	struct snapshot *p = s->snapshot;
	struct rpc_conn *jailer = jailer_conn(p->all->table->cfg.jailer);
	int r = 0;

	if (p->load != NULL)
		return 0;
	if (!p->loaded)
		return load(p, err);
	r = jailer == NULL ? -ENOTCONN : boot_begin(s, jailer);
	return r < 0 ? err_sys(err, r, "jailer: Restore") : 0;
}

/* ---- What they are ------------------------------------------------------------------------- */

/* What src has and dst says nothing of. */
static int inherit(const struct spec *src, struct spec *dst)
{
	struct spec all;
	int r = spec_copy(src, &all);

	if (r < 0)
		return r;
	if (dst->user[0] == '\0')
		memcpy(dst->user, all.user, sizeof(dst->user));
	if (dst->cwd[0] == '\0')
		memcpy(dst->cwd, all.cwd, sizeof(dst->cwd));
	if (dst->envs_count == 0) {
		dst->envs = all.envs;
		dst->envs_count = all.envs_count;
		all.envs = NULL;
		all.envs_count = 0;
	}
	if (!dst->nic && all.nic) {
		free(dst->network);
		dst->network = all.network;
		all.network = NULL;
	}
	spec_done(&all);
	return 0;
}

int snapshot_shape(const struct snapshot *p, struct spec *spec, struct err *err)
{
	const struct spec *q = &p->rec.spec;
	int r;

	if (spec->nic && !q->nic)
		return err_set(err, -EINVAL, "network: snapshot %s has no network card", p->id);
	r = inherit(q, spec);
	if (r < 0)
		return err_set(err, r, "out of memory");
	spec->nic = q->nic;
	spec->vcpus = q->vcpus;
	spec->memory_bytes = q->memory_bytes;
	spec->scratch_bytes = q->scratch_bytes;
	spec->root = q->root;
	spec->huge_pages = SPEC_PAGES_NONE;
	memcpy(spec->kernel, q->kernel, sizeof(spec->kernel));
	memcpy(spec->image, q->image, sizeof(spec->image));
	memcpy(spec->digest, q->digest, sizeof(spec->digest));
	return 0;
}
