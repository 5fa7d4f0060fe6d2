/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/jailer.h"
#include "api/daemon/snapshot_internal.h"
#include "api/daemon/tenant.h"
#include "api/store/store.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#define DISCARD_MS	 20000U
#define DISCARD_RETRY_MS 1000U
#define TAG		 ":default" /* what E2B's clients put behind an id */

_Static_assert(SNAPSHOT_ID_LEN == SANDBOX_ID_LEN, "made the same way");

/* ---- The list ------------------------------------------------------------------------------ */

struct snapshot *snapshot_add(struct snapshots *ss, struct tenant *tenant)
{
	struct snapshot *p = calloc(1, sizeof(*p));
	int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);

	if (p == NULL)
		return NULL;
	if (ss->first != NULL)
		now = MAX(now, ss->first->created_unix_ms + 1);
	*p = (struct snapshot){ .next = ss->first,
				.all = ss,
				.tenant = tenant,
				.created_unix_ms = now,
				.fds = { -1, -1 } };
	sandbox_id_make(p->id);
	p->id[0] = 's';
	ss->first = p;
	ss->count++;
	return p;
}

static void drop(struct snapshot *p)
{
	struct snapshot **at = &p->all->first;
	struct rpc_pending *call;

	while (*at != p) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = p->next;
	p->all->count--;
	snapshot_make_end(p);
	snapshot_unload(p);
	call = p->discard;
	p->discard = NULL;
	if (call != NULL)
		rpc_cancel(call);
	loop_timer_del(p->retry);
	explicit_bzero(p->rec.token, sizeof(p->rec.token));
	record_done(&p->rec);
	free(p);
}

int snapshot_store(const struct snapshot *p)
{
	struct store_snapshot row = { .id = p->id,
				      .tenant = p->tenant->limits.name,
				      .name = p->name,
				      .sandbox = p->sandbox,
				      .bytes = p->bytes,
				      .created_ms = p->created_unix_ms,
				      .whole = p->state == SNAPSHOT_WHOLE };
	char *life = record_write(&p->rec);
	int r;

	if (life == NULL)
		return -ENOMEM;
	row.life = life;
	r = store_snapshot_put(p->all->store, &row);
	explicit_bzero(life, strlen(life)); /* it has a token */
	free(life);
	return r;
}

static int on_row(const struct store_snapshot *row, void *arg)
{
	struct snapshots *ss = arg;
	struct tenant *t = tenants_find(ss->tenants, row->tenant);
	struct err err = { 0 };
	struct snapshot *p;
	int r;

	if (t == NULL || strlen(row->id) != SNAPSHOT_ID_LEN ||
	    strlen(row->name) >= sizeof(p->name) || strlen(row->sandbox) >= sizeof(p->sandbox)) {
		log_error("snapshot.row", "not one of ours");
		return 0;
	}
	p = snapshot_add(ss, t);
	if (p == NULL)
		return -ENOMEM;
	memcpy(p->id, row->id, strlen(row->id) + 1);
	memcpy(p->name, row->name, strlen(row->name) + 1);
	memcpy(p->sandbox, row->sandbox, strlen(row->sandbox) + 1);
	p->bytes = row->bytes;
	p->created_unix_ms = row->created_ms;
	p->state = row->whole ? SNAPSHOT_WHOLE : SNAPSHOT_GOING;
	r = record_read(row->life, &p->rec, &err);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		log_error("snapshot.row", "id=%s error=\"%s\"", p->id, err.msg);
		p->state = SNAPSHOT_GOING;
	}
	return 0;
}

int snapshots_new(struct sandboxes *t, struct store *store, const struct tenants *tenants,
		  struct snapshots **ret)
{
	struct snapshots *ss = calloc(1, sizeof(*ss));
	int r;

	if (ss == NULL)
		return -ENOMEM;
	*ss = (struct snapshots){ .table = t, .store = store, .tenants = tenants };
	r = store_snapshots_each(store, on_row, ss);
	if (r < 0) {
		snapshots_free(ss);
		return r;
	}
	t->snapshots = ss;
	*ret = ss;
	return 0;
}

void snapshots_stop(struct snapshots *ss)
{
	for (struct snapshot *p = ss == NULL ? NULL : ss->first; p != NULL; p = p->next) {
		snapshot_make_end(p);
		snapshot_unload(p);
	}
}

void snapshots_free(struct snapshots *ss)
{
	while (ss != NULL && ss->first != NULL)
		drop(ss->first);
	free(ss);
}

struct snapshots *sandboxes_snapshots(const struct sandboxes *t)
{
	return t->snapshots;
}

/* ---- Their end ----------------------------------------------------------------------------- */

static void on_retry(void *arg)
{
	struct snapshot *p = arg;

	p->retry = NULL;
	snapshot_poke(p);
}

static void on_discarded(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			 void *arg)
{
	struct snapshot *p = arg;
	int r = 0;

	(void)out;
	(void)fds;
	if (p->discard == NULL) /* we have ended it */
		return;
	p->discard = NULL;
	if (st->code == RPC_CANCELLED || st->code == RPC_UNAVAILABLE)
		return; /* when the jailer is back */
	if (st->code == RPC_OK)
		r = store_snapshot_remove(p->all->store, p->id);
	if (st->code == RPC_OK && r == 0) {
		log_info("snapshot.gone", "id=%s", p->id);
		p->state = SNAPSHOT_GONE;
		snapshot_poke(p);
		return;
	}
	log_error("snapshot.discard", "id=%s error=\"%s\"", p->id, r < 0 ? strerror(-r) : st->msg);
	if (p->retry == NULL &&
	    loop_timer_add(p->all->table->cfg.loop, DISCARD_RETRY_MS, on_retry, p, &p->retry) < 0)
		log_error("snapshot.discard", "id=%s: not until the next start", p->id);
}

/* Nothing reads or writes the file any more, as far as we know; else whatever does pokes. */
void snapshot_poke(struct snapshot *p)
{
	static const struct rpc_pending_ops ops = { .done = on_discarded };
	Casemate__Jailer__V1__DiscardRequest req = CASEMATE__JAILER__V1__DISCARD_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(p->all->table->cfg.jailer);

	if (p->state == SNAPSHOT_GONE && p->users == 0) {
		drop(p);
		return;
	}
	if (p->state != SNAPSHOT_GOING || p->load != NULL || p->discard != NULL || jailer == NULL)
		return;
	req.snapshot = p->id;
	if (rpc_start(jailer, &jailer_methods[JAILER_DISCARD], &req.base, NULL, DISCARD_MS, &ops, p,
		      &p->discard) < 0)
		log_error("snapshot.discard", "id=%s: can't ask for it", p->id);
}

void snapshot_discard(struct snapshot *p)
{
	p->state = SNAPSHOT_GOING;
	snapshot_poke(p);
}

void snapshot_delete(struct snapshot *p)
{
	int r;

	BUG_ON(p->state != SNAPSHOT_WHOLE);
	p->state = SNAPSHOT_GOING;
	r = snapshot_store(p); /* so that the next start goes on with it */
	if (r < 0)
		log_error("store.snapshot", "id=%s error=%d", p->id, r);
	snapshot_poke(p);
}

void snapshots_settle(struct snapshots *ss)
{
	struct snapshot *next;

	for (struct snapshot *p = ss == NULL ? NULL : ss->first; p != NULL; p = next) {
		next = p->next;
		snapshot_poke(p);
	}
}

/* ---- Looking ------------------------------------------------------------------------------- */

bool snapshot_name_valid(const char *s)
{
	return s[0] != '.' && s[0] != '_' && s[0] != '-' && s[0] != '\0' &&
	       strlen(s) <= SNAPSHOT_NAME_MAX &&
	       s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0';
}

struct snapshot *snapshot_find(const struct snapshots *ss, const struct tenant *tenant,
			       const char *text)
{
	size_t len = strlen(text);

	if (ss == NULL)
		return NULL;
	if (len > sizeof(TAG) - 1 && strcmp(text + len - (sizeof(TAG) - 1), TAG) == 0)
		len -= sizeof(TAG) - 1;
	for (struct snapshot *p = ss->first; p != NULL; p = p->next) {
		if (p->state != SNAPSHOT_WHOLE || p->tenant != tenant)
			continue;
		if ((strlen(p->id) == len && memcmp(p->id, text, len) == 0) ||
		    (len > 0 && strlen(p->name) == len && memcmp(p->name, text, len) == 0))
			return p;
	}
	return NULL;
}

struct snapshot *snapshot_by_id(const struct snapshots *ss, const char *id)
{
	for (struct snapshot *p = ss == NULL ? NULL : ss->first; p != NULL; p = p->next)
		if (p->state == SNAPSHOT_WHOLE && strcmp(p->id, id) == 0)
			return p;
	return NULL;
}

void snapshots_each(const struct snapshots *ss, bool (*fn)(struct snapshot *p, void *arg),
		    void *arg)
{
	for (struct snapshot *p = ss == NULL ? NULL : ss->first; p != NULL; p = p->next)
		if (p->state == SNAPSHOT_WHOLE && !fn(p, arg))
			return;
}

const char *snapshots_image_user(const struct snapshots *ss, const char *digest)
{
	for (struct snapshot *p = ss == NULL ? NULL : ss->first; p != NULL; p = p->next)
		if ((p->state == SNAPSHOT_WHOLE || p->state == SNAPSHOT_MAKING) &&
		    !layer_named(p->name) && strcmp(p->rec.spec.digest, digest) == 0)
			return p->id;
	return NULL;
}

void snapshots_used(const struct snapshots *ss, const struct tenant *t, uint64_t *ret_count,
		    uint64_t *ret_bytes)
{
	*ret_count = *ret_bytes = 0;
	for (const struct snapshot *p = ss->first; p != NULL; p = p->next) {
		if (p->tenant != t || p->state == SNAPSHOT_GONE || layer_named(p->name))
			continue;
		*ret_count += 1;
		*ret_bytes += p->bytes;
	}
}

const char *snapshot_id(const struct snapshot *p)
{
	return p->id;
}

const char *snapshot_name(const struct snapshot *p)
{
	return p->name;
}

const char *snapshot_sandbox(const struct snapshot *p)
{
	return p->sandbox;
}

struct tenant *snapshot_tenant(const struct snapshot *p)
{
	return p->tenant;
}

struct snapshots *snapshot_siblings(const struct snapshot *p)
{
	return p->all;
}

int64_t snapshot_created_unix_ms(const struct snapshot *p)
{
	return p->created_unix_ms;
}

const struct spec *snapshot_spec(const struct snapshot *p)
{
	return &p->rec.spec;
}

const struct profile *snapshot_profile(const struct snapshot *p)
{
	return p->rec.profile;
}

json_t *snapshot_json(const struct snapshot *p)
{
	const struct spec *s = &p->rec.spec;

	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:I, s:I}", "id", p->id,
			 "name", p->name, "sandbox", p->sandbox, "tenant", p->tenant->limits.name,
			 "bytes", (json_int_t)p->bytes, "created_unix_ms",
			 (json_int_t)p->created_unix_ms, "kernel", s->kernel, "image", s->image,
			 "vcpus", (int)s->vcpus, "memory_bytes", (json_int_t)s->memory_bytes,
			 "scratch_bytes", (json_int_t)s->scratch_bytes);
}
