/* SPDX-License-Identifier: Apache-2.0 */
/* service_record.c - what the store knows of sandboxes, kept true; and those of an earlier
 * casemated. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/profile.h"
#include "api/daemon/record.h"
#include "api/daemon/service.h"
#include "api/store/store.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"

static int64_t unix_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* What people ask of it when it is gone. */
static char *profile_text(const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);
	const struct spec *spec = sandbox_spec(s);
	json_t *o = json_pack("{s:s, s:s, s:i, s:I}", "kernel", spec->kernel, "image", spec->image,
			      "vcpus", (int)spec->vcpus, "memory_bytes",
			      (json_int_t)spec->memory_bytes);
	char *text;

	if (o != NULL && p != NULL && p->template[0] != '\0')
		(void)json_object_set_new(o, "template", json_string(p->template));
	if (o != NULL && p != NULL && p->metadata != NULL)
		(void)json_object_set(o, "metadata", p->metadata);
	text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(o);
	return text;
}

static int put(const struct service *sv, const struct sandbox *s)
{
	struct store_sandbox b = { .id = sandbox_id(s),
				   .tenant = sandbox_tenant(s)->limits.name,
				   .created_ms = sandbox_created_unix_ms(s) };
	char *text = profile_text(s), *life = sandbox_record(s);
	int r = -ENOMEM;

	b.profile = text;
	b.life = life; /* NULL: it ends with us */
	if (text != NULL)
		r = store_sandbox_put(sv->store, &b);
	free(text);
	if (life != NULL)
		explicit_bzero(life, strlen(life));
	free(life);
	return r;
}

/* It goes on as it was: an earlier word of it is in the store. */
void service_touched(struct sandbox *s, void *arg)
{
	int r = sandbox_tenant(s) == NULL ? 0 : put(arg, s);

	if (r < 0)
		log_error("store.sandbox", "id=%s error=%d", sandbox_id(s), r);
}

/* Called before whoever waits for the sandbox gets an answer: what is acknowledged is stored. */
void service_changed(struct sandbox *s, void *arg)
{
	struct service *sv = arg;
	int r = 0;

	service_publish(sv, s);
	if (sandbox_tenant(s) == NULL)
		return;
	switch (sandbox_state(s)) {
	case SANDBOX_RUNNING:
		sv->started[sandbox_path(s)] += !sandbox_resumed(s);
		r = put(sv, s);
		break;
	case SANDBOX_PARKING:
		service_touched(s, sv);
		break;
	case SANDBOX_ENDED:
	case SANDBOX_FAILED:
		if (sandbox_state(s) == SANDBOX_ENDED)
			sv->ended++;
		else
			sv->failed++;
		r = store_sandbox_end(sv->store, sandbox_id(s), unix_ms(), sandbox_reason(s));
		break;
	case SANDBOX_CREATING:
	case SANDBOX_SPARE:
	case SANDBOX_PAUSED:
	case SANDBOX_STOPPING:
		break;
	case SANDBOX_STATE_COUNT:
		BUG("not a state");
	}
	if (r == 0)
		return;
	log_error("store.sandbox", "id=%s error=%d", sandbox_id(s), r);
	sandbox_stop(s, "store-failed"); /* one that runs; the ended don't care */
}

/* ---- Reading ------------------------------------------------------------------------------- */

struct lost {
	struct lost *next;
	char id[SANDBOX_ID_LEN + 1];
};

struct recalling {
	struct service *sv;
	struct lost *lost;
	unsigned recalled;
};

/* The store can't be written while it is read. */
static int keep_lost(struct recalling *q, const char *id)
{
	struct lost *l = strlen(id) > SANDBOX_ID_LEN ? NULL : calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	memcpy(l->id, id, strlen(id) + 1);
	l->next = q->lost;
	q->lost = l;
	return 0;
}

static int recall_one(const struct store_sandbox *b, void *arg)
{
	struct recalling *q = arg;
	struct service *sv = q->sv;
	struct tenant *t = tenants_find(sv->auth.tenants, b->tenant);
	struct record rec;
	struct err err = { 0 };
	int r;

	if (b->life[0] == '\0' || t == NULL)
		return keep_lost(q, b->id);
	r = record_read(b->life, &rec, &err);
	if (r == 0) {
		r = sandbox_recall(sv->sandboxes, b->id, t, b->created_ms, &rec);
		if (r < 0)
			(void)err_sys(&err, r, "sandbox");
		record_done(&rec);
	}
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		log_error("store.recall", "id=%s error=\"%s\"", b->id, err.msg);
		return keep_lost(q, b->id);
	}
	q->recalled++;
	return 0;
}

int service_recall(struct service *sv)
{
	struct recalling q = { .sv = sv };
	unsigned lost = 0;
	int r = store_sandboxes_living(sv->store, recall_one, &q);

	while (q.lost != NULL) {
		struct lost *l = q.lost;
		q.lost = l->next;
		if (r == 0)
			r = store_sandbox_end(sv->store, l->id, unix_ms(), "daemon-restart");
		lost++;
		free(l);
	}
	if (r == 0)
		sandboxes_recalled(sv->sandboxes);
	if (lost > 0 || q.recalled > 0)
		log_info("store.recall", "sandboxes=%u lost=%u", q.recalled, lost);
	return r;
}
