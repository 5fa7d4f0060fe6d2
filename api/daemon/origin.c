/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/origin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "api/daemon/jailer.h"
#include "api/daemon/pool.h"
#include "api/daemon/sandbox_internal.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"

#define RESERVE_MS 5000U

_Static_assert(SANDBOX_TOKEN_BYTES == ORIGIN_TOKEN_BYTES, "a parent's token is its children's");

struct origin {
	struct sandboxes *table;
	unsigned refs;
	uint64_t number;
	int fds[ORIGIN_FILES];
	char parent[SANDBOX_ID_LEN + 1];
	uint8_t token[ORIGIN_TOKEN_BYTES];
	uint8_t image_id[SANDBOX_IMAGE_BYTES];
};

int origin_new(struct sandbox *parent, struct origin **ret)
{
	struct origin *o;
	int r;

	if (parent->origins >= ORIGIN_LIVE_MAX)
		return -EDQUOT;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return -ENOMEM;
	o->fds[2] = -1;
	r = pool_files(&parent->spec, o->fds);
	if (r == 0)
		r = pool_memory_file(&parent->spec, &o->fds[2]);
	if (r < 0) {
		origin_close_files(o);
		free(o);
		return r;
	}
	o->table = parent->table;
	o->refs = 1;
	do
		BUG_ON(getrandom(&o->number, sizeof(o->number), 0) != (ssize_t)sizeof(o->number));
	while (o->number == 0);
	memcpy(o->parent, parent->id, sizeof(o->parent));
	memcpy(o->token, parent->token, sizeof(o->token));
	memcpy(o->image_id, parent->image_id, sizeof(o->image_id));
	parent->origins++;
	*ret = o;
	return 0;
}

struct origin *origin_revive(struct sandboxes *t, const char *parent, uint64_t number)
{
	struct sandbox *p = sandboxes_find(t, parent);
	struct origin *o;

	for (struct sandbox *s = t->first; s != NULL; s = s->next)
		if (s->origin != NULL && s->origin->number == number &&
		    strcmp(s->origin->parent, parent) == 0)
			return origin_ref(s->origin);
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return NULL;
	*o = (struct origin){ .table = t, .refs = 1, .number = number, .fds = { -1, -1, -1 } };
	(void)snprintf(o->parent, sizeof(o->parent), "%s", parent);
	if (p != NULL)
		p->origins++;
	return o;
}

uint64_t origin_number(const struct origin *o)
{
	return o->number;
}

struct origin *origin_ref(struct origin *o)
{
	o->refs++;
	return o;
}

static void on_reserved(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	(void)out;
	(void)fds;
	(void)arg;
	/* The parent may have ended meanwhile. */
	if (st->code != RPC_OK && st->code != RPC_NOT_FOUND && st->code != RPC_CANCELLED &&
	    st->code != RPC_UNAVAILABLE)
		log_warn("fork.reserve", "error=\"%s\"", st->msg);
}

/* The parent's jail may have less again. */
void origin_settle(const struct sandbox *parent)
{
	static const struct rpc_pending_ops ops = { .done = on_reserved };
	Casemate__Jailer__V1__ReserveRequest req = CASEMATE__JAILER__V1__RESERVE_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(parent->table->cfg.jailer);
	struct rpc_pending *p;

	req.id = (char *)(uintptr_t)parent->id;
	req.snapshots = parent->origins;
	if (jailer != NULL && rpc_start(jailer, &jailer_methods[JAILER_RESERVE], &req.base, NULL,
					RESERVE_MS, &ops, NULL, &p) < 0)
		log_warn("fork.reserve", "id=%s: can't ask the jailer", parent->id);
}

void origin_unref(struct origin *o)
{
	struct sandbox *parent;

	if (o == NULL || --o->refs > 0)
		return;
	origin_close_files(o);
	parent = sandboxes_find(o->table, o->parent);
	if (parent != NULL) {
		BUG_ON(parent->origins == 0);
		parent->origins--;
		if (sandbox_lives(parent))
			origin_settle(parent);
	}
	explicit_bzero(o->token, sizeof(o->token));
	free(o);
}

const int *origin_fds(const struct origin *o)
{
	return o->fds;
}

int origin_seal(struct origin *o)
{
	return pool_freeze(o->fds, ORIGIN_FILES);
}

void origin_close_files(struct origin *o)
{
	for (unsigned i = 0; i < ORIGIN_FILES; i++)
		fd_closep(&o->fds[i]);
}

const char *origin_parent(const struct origin *o)
{
	return o->parent;
}

const uint8_t *origin_image_id(const struct origin *o)
{
	return o->image_id;
}

const uint8_t *origin_token(const struct origin *o)
{
	return o->token;
}
