/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/jail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "jailer/plan.h"
#include "jailer/slot.h"

#define CLEAN_MS       10 /* between two tries to remove a cgroup */
#define CLEAN_SLOW_MS  1000
#define CLEAN_FAST_MAX 500 /* tries before it becomes a reported problem */

struct jails {
	struct loop *loop;
	const struct host *host;
	struct jail *first;
	struct slots slots;
	unsigned count;
	unsigned max;
};

int jails_new(struct loop *l, const struct host *h, unsigned max, struct jails **ret)
{
	struct jails *js = calloc(1, sizeof(*js));

	if (js == NULL)
		return -ENOMEM;
	BUG_ON(max > SLOT_COUNT);
	js->loop = l;
	js->host = h;
	js->max = max;
	*ret = js;
	return 0;
}

void jails_free(struct jails *js)
{
	if (js == NULL)
		return;
	BUG_ON(js->first != NULL);
	free(js);
}

unsigned jails_count(const struct jails *js)
{
	return js->count;
}

unsigned jails_max(const struct jails *js)
{
	return js->max;
}

const struct jail *jails_first(const struct jails *js)
{
	return js->first;
}

struct jail *jail_find(struct jails *js, const char *id)
{
	for (struct jail *j = js->first; j != NULL; j = j->next) {
		if (strcmp(j->req.id, id) == 0)
			return j;
	}
	return NULL;
}

static void unlink_jail(struct jail *j)
{
	struct jail **at = &j->jails->first;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	j->jails->count--;
	free(j);
}

/* Tells those who wait, and forgets the jail once anybody knows or nobody can ask any more. */
static void announce(struct jail *j)
{
	bool told = j->waiters != NULL;

	BUG_ON(j->state != JAIL_ENDED);
	while (j->waiters != NULL) {
		struct jail_waiter *w = j->waiters;
		j->waiters = w->next;
		w->ended(w, &j->how, j->oom);
	}
	if (told || j->owner == NULL)
		unlink_jail(j);
}

static void clean(void *arg)
{
	struct jail *j = arg;
	int r;

	j->retry = NULL;
	r = cgroup_remove(&j->jails->host->cgroups, &j->cgroup);
	if (r == 0) {
		slot_put(&j->jails->slots, j->slot);
		j->state = JAIL_ENDED;
		announce(j);
		return;
	}
	/* Something is still in it: the kernel is slow, or it must be killed again. */
	cgroup_kill(&j->cgroup);
	if (++j->retries == CLEAN_FAST_MAX)
		log_error("jail.stuck", "id=%s cgroup=%s error=%s", j->req.id, j->cgroup_path,
			  strerror(-r));
	r = loop_timer_add(j->jails->loop, j->retries < CLEAN_FAST_MAX ? CLEAN_MS : CLEAN_SLOW_MS,
			   clean, j, &j->retry);
	/* Without the timer the jail stays CLEANING and keeps its slot: safe, and swept at the
	 * next start. */
	if (r < 0)
		log_error("jail.stuck", "id=%s error=%s", j->req.id, strerror(-r));
}

static void on_pidfd(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct jail *j = arg;
	int r = spawn_reap(fd, &j->how);

	(void)io;
	(void)events;
	if (r == -EAGAIN)
		return;
	BUG_ON(r < 0); /* nobody else reaps our children */
	loop_io_del(j->io);
	j->io = NULL;
	fd_closep(&j->pidfd);
	j->oom = cgroup_was_oom(&j->cgroup);
	j->state = JAIL_CLEANING;
	log_info("jail.end", "id=%s pid=%d %s=%d oom=%d", j->req.id, (int)j->pid,
		 j->how.exited ? "status" : "signal", j->how.status, (int)j->oom);
	clean(j);
}

/* The process runs; from here on only its end takes the jail away. */
static int adopt(struct jails *js, const struct request *q, const void *owner, uint32_t slot,
		 const struct plan *p, const struct spawned *s, struct jail **ret)
{
	struct jail *j = calloc(1, sizeof(*j));
	int r;

	if (j == NULL)
		return -ENOMEM;
	j->jails = js;
	j->owner = owner;
	j->req = *q;
	j->req.state = j->req.memory = -1; /* were the caller's */
	j->slot = slot;
	j->uid = p->env.uid;
	j->pid = s->pid;
	j->pidfd = s->pidfd;
	j->cgroup = p->cgroup;
	(void)snprintf(j->cgroup_path, sizeof(j->cgroup_path), "%s/%s", js->host->cgroups.parent,
		       p->cgroup.name);
	memcpy(j->label, p->env.label, sizeof(j->label));
	r = loop_io_add(js->loop, j->pidfd, EPOLLIN, on_pidfd, j, &j->io);
	if (r < 0) {
		free(j);
		return r;
	}
	j->next = js->first;
	js->first = j;
	js->count++;
	*ret = j;
	return 0;
}

/* Everything that plan_make and spawn made, undone. */
static void undo(struct jails *js, struct plan *p, struct spawned *s, uint32_t slot)
{
	bool clean_now;

	if (s->pidfd >= 0) {
		spawn_end(s->pidfd);
		fd_closep(&s->pidfd);
	}
	clean_now = cgroup_remove(&js->host->cgroups, &p->cgroup) == 0;
	plan_close(p);
	/* A group that can't be removed keeps its slot for as long as we live. */
	if (clean_now)
		slot_put(&js->slots, slot);
	else
		log_error("jail.leftover", "cgroup=%s", p->cgroup.name);
}

static int build(struct jails *js, const struct request *q, const void *owner, uint32_t slot,
		 struct jail **ret, struct jail_ends *ret_ends, struct err *err)
{
	struct spawned s = { .pidfd = -1 };
	struct plan p;
	int r = plan_make(&p, js->host, q, slot, err);

	if (r < 0) {
		slot_put(&js->slots, slot);
		return r;
	}
	r = spawn(&p.env, &s, err);
	if (r == 0) {
		r = adopt(js, q, owner, slot, &p, &s, ret);
		if (r < 0)
			(void)err_sys(err, r, "jail %s", q->id);
	}
	if (r < 0) {
		undo(js, &p, &s, slot);
		return r;
	}
	ret_ends->initrd = p.initrd >= 0;
	ret_ends->control = fd_steal(&p.control_host);
	ret_ends->log = fd_steal(&p.log_read);
	plan_close(&p);
	return 0;
}

int jail_create(struct jails *js, const struct request *q, const void *owner,
		const struct jail **ret, struct jail_ends *ret_ends, struct err *err)
{
	struct jail *j = NULL;
	uint32_t slot;
	int r;

	if (jail_find(js, q->id) != NULL)
		return err_set(err, -EEXIST, "the id %s is in use", q->id);
	slot = js->count >= js->max ? SLOT_NONE : slot_take(&js->slots);
	if (slot == SLOT_NONE)
		return err_set(err, -EDQUOT, "all %u jails are in use", js->max);
	r = build(js, q, owner, slot, &j, ret_ends, err);
	if (r < 0)
		return r;
	BUG_ON(j == NULL);
	log_info("jail.start", "id=%s pid=%d uid=%u cgroup=%s label=%s", j->req.id, (int)j->pid,
		 j->uid, j->cgroup_path, j->label[0] == '\0' ? "none" : j->label);
	*ret = j;
	return 0;
}

void jail_wait(struct jail *j, struct jail_waiter *w)
{
	w->next = j->waiters;
	j->waiters = w;
	if (j->state == JAIL_ENDED)
		announce(j);
}

void jail_unwait(struct jail *j, struct jail_waiter *w)
{
	struct jail_waiter **at = &j->waiters;

	while (*at != w) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = w->next;
}

void jail_kill(struct jail *j)
{
	if (j->state == JAIL_RUNNING)
		spawn_kill(j->pidfd);
}

/* Nobody will ask for it any more. */
static void abandon(struct jail *j)
{
	j->owner = NULL;
	if (j->state == JAIL_ENDED)
		unlink_jail(j);
	else
		jail_kill(j);
}

void jails_drop_owner(struct jails *js, const void *owner)
{
	struct jail *j, *next;

	for (j = js->first; j != NULL; j = next) {
		next = j->next;
		if (j->owner == owner)
			abandon(j);
	}
}

void jails_kill_all(struct jails *js)
{
	struct jail *j, *next;

	for (j = js->first; j != NULL; j = next) {
		next = j->next;
		abandon(j);
	}
}
