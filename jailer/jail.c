/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/jail.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

struct jails {
	const struct host *host;
	struct cells cells;
	struct pool plain, nics;
	struct jail *first;
	struct jails_watch *watches;
	unsigned count;
	unsigned making; /* of these, that don't run yet */
	unsigned max;
	bool ending;
};

int jails_new(struct loop *l, const struct host *h, const struct jails_config *cfg,
	      struct jails **ret)
{
	struct jails *js = calloc(1, sizeof(*js));

	if (js == NULL)
		return -ENOMEM;
	js->host = h;
	js->max = cfg->max;
	js->cells = (struct cells){ .loop = l, .host = h, .slots = h->slots };
	spawner_init(&js->cells.spawner);
	pool_init(&js->plain, &js->cells, false, cfg->pool);
	pool_init(&js->nics, &js->cells, true, cfg->pool_nics);
	*ret = js;
	return 0;
}

void jails_free(struct jails *js)
{
	if (js == NULL)
		return;
	BUG_ON(js->first != NULL || js->cells.count > 0);
	spawner_stop(&js->cells.spawner);
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

unsigned jails_ready(const struct jails *js)
{
	return js->plain.ready_count + js->nics.ready_count;
}

unsigned jails_left(const struct jails *js)
{
	return js->count + js->cells.count;
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
	fd_closep(&j->handover);
	fd_closep(&j->log);
	free(j);
}

/* Tells those who wait: has anybody been told? */
static bool tell_waiters(struct jail *j)
{
	bool told = j->waiters != NULL;

	while (j->waiters != NULL) {
		struct jail_waiter *w = j->waiters;
		j->waiters = w->next;
		w->ended(w, &j->how, j->oom);
	}
	return told;
}

/* The same for those who watch its owner's. */
static bool tell_watches(const struct jail *j)
{
	bool told = false;

	for (struct jails_watch *w = j->jails->watches; w != NULL; w = w->next)
		if (j->owner == NULL || j->owner == w->owner)
			told |= w->ended(w, j);
	return told;
}

/* Forgets the jail once anybody knows its end or nobody can ask any more. */
static void announce(struct jail *j)
{
	BUG_ON(j->state != JAIL_ENDED);
	if (tell_waiters(j) || tell_watches(j) || j->owner == NULL)
		unlink_jail(j);
}

/* ---- Its making --------------------------------------------------------------------------- */

static void give_up(struct jail *j, const struct err *why)
{
	struct jail_ends none = { .control = -1, .log = -1 };

	loop_timer_del(j->copying);
	j->copying = NULL;
	fd_closep(&j->source);
	plan_close(&j->plan);
	j->jails->making--;
	j->how = (struct ending){ .exited = false, .status = SIGKILL };
	j->created(j->created_arg, NULL, &none, why);
	(void)tell_waiters(j);
	unlink_jail(j);
}

static void on_started(struct cell *c, void *arg)
{
	struct jail *j = arg;
	struct jail_ends ends = { .initrd = j->plan.initrd >= 0 };

	j->state = JAIL_RUNNING;
	j->pid = c->process.pid;
	j->uid = c->uid;
	memcpy(j->label, c->label, sizeof(j->label));
	(void)snprintf(j->cgroup_path, sizeof(j->cgroup_path), "%s%s/%s",
		       j->jails->host->cgroups.above, j->jails->host->cgroups.parent,
		       c->cgroup.name);
	log_info("jail.start", "id=%s pid=%d uid=%u cgroup=%s label=%s", j->req.id, (int)j->pid,
		 j->uid, j->cgroup_path, j->label[0] == '\0' ? "none" : j->label);
	ends.control = fd_steal(&j->plan.control_host);
	ends.log = fd_steal(&j->plan.log_read);
	j->handover = fd_steal(&j->plan.handover_host);
	j->log = fd_dup(ends.log, STDERR_FILENO + 1); /* -EMFILE: then it has none later */
	j->scratch = fd_steal(&j->plan.scratch);
	plan_close(&j->plan);
	j->jails->making--;
	j->created(j->created_arg, j, &ends, NULL);
}

static void on_failed(struct cell *c, const struct err *why, void *arg)
{
	struct jail *j = arg;

	(void)c;
	j->cell = NULL;
	give_up(j, why);
}

static void on_ended(struct cell *c, const struct ending *how, bool oom, void *arg)
{
	struct jail *j = arg;

	(void)c;
	j->cell = NULL;
	fd_closep(&j->handover);
	fd_closep(&j->log);
	fd_closep(&j->scratch);
	j->how = *how;
	j->oom = oom;
	j->state = JAIL_ENDED;
	log_info("jail.end", "id=%s pid=%d %s=%d oom=%d", j->req.id, (int)j->pid,
		 how->exited ? "status" : "signal", how->status, (int)oom);
	announce(j);
}

/*
 * The largest file that the VMM may write to: its disk, or a snapshot's memory, an incremental
 * one's with a bit for each page behind it. So a VMM that was taken over can make its disk as long
 * as its memory, and no longer.
 */
static uint64_t file_bytes_max(const struct request *q)
{
	return MAX(q->scratch_bytes, q->memory_bytes + q->memory_bytes / 4096 / 8);
}

static int claim(struct jail *j, struct cell *c, struct err *err)
{
	struct cell_claim q = {
		/* A snapshot's file is memory too, of whoever writes it. */
		.limits = { .memory_bytes = j->req.memory_bytes * (j->req.snapshot ? 2 : 1),
			    .vcpus = j->req.vcpus,
			    .cpus = j->req.cpus,
			    .mems = j->req.mems },
		.nic_queues = j->req.nic_queues,
		.file_bytes_max = file_bytes_max(&j->req),
		.map_bytes = j->req.map_image ? j->plan.image_bytes : 0,
	};

	q.fds = j->plan.fds;
	q.fds_count = j->plan.fds_count;
	return cell_claim(c, &q, err);
}

static void on_copy(void *arg)
{
	struct jail *j = arg;
	struct cell *c = j->cell;
	struct err err = { 0 };
	int r = sparse_step(&j->copy);

	j->copying = NULL;
	if (r > 0) {
		r = loop_timer_add(j->jails->cells.loop, 0, on_copy, j, &j->copying);
		if (r == 0)
			return;
	}
	if (r < 0) {
		(void)err_sys(&err, r, "jail %s: copy of its scratch disk", j->req.id);
	} else {
		fd_closep(&j->source);
		r = claim(j, c, &err);
	}
	if (r == 0)
		return;
	j->cell = NULL;
	cell_drop(c);
	give_up(j, &err);
}

/* The disk begins as another one: 0 = it does already. */
static int share_disk(struct jail *j, struct err *err)
{
	int r = sparse_share(j->source, j->plan.scratch, j->req.scratch_bytes);

	if (r == 0)
		fd_closep(&j->source);
	else if (r == -EOPNOTSUPP)
		r = store_check_room(j->plan.scratch, j->source, err);
	else
		(void)err_sys(err, r, "jail %s: sharing its scratch disk", j->req.id);
	return r;
}

/* Where the disk lies, and its label, are the cell's. */
static int start(struct jail *j, struct cell *c, struct err *err)
{
	int r = plan_finish(&j->plan, j->jails->host, &j->req, c->slot, err);

	if (r == 0 && j->source >= 0)
		r = share_disk(j, err);
	if (r < 0)
		return r;
	if (j->source < 0)
		return claim(j, c, err);
	j->copy = (struct sparse){ .from = j->source,
				   .to = j->plan.scratch,
				   .left = j->req.scratch_bytes };
	r = loop_timer_add(j->jails->cells.loop, 0, on_copy, j, &j->copying);
	return r < 0 ? err_sys(err, r, "jail %s", j->req.id) : 0;
}

static void on_got(struct pool_waiter *w, struct cell *c)
{
	static const struct cell_ops ops = { .started = on_started,
					     .failed = on_failed,
					     .ended = on_ended };
	struct jail *j = CONTAINER_OF(w, struct jail, line);
	struct err err = { 0 };

	cell_give(c, &ops, j);
	if (start(j, c, &err) < 0) {
		cell_drop(c);
		give_up(j, &err);
		return;
	}
	j->cell = c;
	j->state = JAIL_STARTING;
}

static void on_none(struct pool_waiter *w, const struct err *why)
{
	give_up(CONTAINER_OF(w, struct jail, line), why);
}

int jail_create(struct jails *js, const struct request *q, const void *owner,
		jail_created_fn *created, void *arg, struct err *err)
{
	struct jail *j;
	int r;

	if (js->ending)
		return err_set(err, -ECANCELED, "the jailer is ending");
	if (jail_find(js, q->id) != NULL)
		return err_set(err, -EEXIST, "the id %s is in use", q->id);
	if (js->count >= js->max)
		return err_set(err, -EDQUOT, "all %u jails are in use", js->max);
	if (js->making >= JAILS_MAKING_MAX)
		return err_set(err, -EAGAIN, "%u jails are being made already", js->making);
	r = host_check_label(js->host, err);
	if (r < 0)
		return r;
	j = calloc(1, sizeof(*j));
	if (j == NULL)
		return err_sys(err, -ENOMEM, "jail %s", q->id);
	r = plan_open(&j->plan, js->host, q, err);
	if (r < 0) {
		free(j);
		return r;
	}
	j->jails = js;
	j->handover = j->log = j->scratch = j->source = -1;
	j->owner = owner;
	j->req = *q;
	j->req.state = j->req.memory = j->req.rest = j->req.scratch = -1; /* the plan has its own */
	if (q->scratch_bytes > 0 && q->scratch >= 0) {
		j->source = fd_dup(q->scratch, STDERR_FILENO + 1);
		if (j->source < 0) {
			r = err_sys(err, j->source, "jail %s", q->id);
			plan_close(&j->plan);
			free(j);
			return r;
		}
	}
	memcpy(j->req.image_id, j->plan.image_id, sizeof(j->req.image_id));
	j->created = created;
	j->created_arg = arg;
	j->line = (struct pool_waiter){ .got = on_got, .none = on_none };
	j->next = js->first;
	js->first = j;
	js->count++;
	js->making++;
	pool_get(q->nic_queues > 0 ? &js->nics : &js->plain, &j->line);
	return 0;
}

int jail_reserve(struct jail *j, unsigned snapshots, struct err *err)
{
	if (j->state != JAIL_RUNNING)
		return err_set(err, -EBUSY, "jail %s doesn't run", j->req.id);
	return cgroup_limit_memory(&j->jails->host->cgroups, &j->cell->cgroup,
				   j->req.memory_bytes * (1 + (uint64_t)snapshots), err);
}

int jail_adopt(const struct jail *j, struct jail_ends *ret, struct err *err)
{
	struct jail_ends ends = { .control = -1, .log = -1 };
	CLEANUP(fd_closep) int theirs = -1;
	const char byte = 0;
	ssize_t n;
	int sv[2];

	if (j->state != JAIL_RUNNING || j->handover < 0 || j->log < 0)
		return err_set(err, -EBUSY, "jail %s can't be taken over", j->req.id);
	if (fd_socketpair(sv, true) < 0)
		return err_sys(err, -errno, "control socket");
	ends.control = sv[0];
	theirs = sv[1];
	ends.log = fd_dup(j->log, STDERR_FILENO + 1);
	n = ends.log < 0 ? ends.log : fd_send(j->handover, &byte, sizeof(byte), &theirs, 1);
	if (n < 0) {
		fd_closep(&ends.control);
		fd_closep(&ends.log);
		return err_sys(err, (int)n, "jail %s: its VMM takes no other connection",
			       j->req.id);
	}
	*ret = ends;
	return 0;
}

int jail_open_network(struct jail *j, int ret[2], struct err *err)
{
	int r;

	if (j->state != JAIL_RUNNING)
		return err_set(err, -EBUSY, "jail %s doesn't run", j->req.id);
	if (j->req.nic_queues == 0)
		return err_set(err, -ENOTSUP, "jail %s has no network", j->req.id);
	if (j->jails->host->egress < 0)
		return err_set(err, -ENOTSUP,
			       "no sandbox reaches a network: casemate-egress is not installed");
	r = cell_open_egress(j->cell, ret);
	return r < 0 ? err_sys(err, r, "network of jail %s", j->req.id) : 0;
}

/* ---- Its end ------------------------------------------------------------------------------ */

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

void jails_watch(struct jails *js, struct jails_watch *w)
{
	struct jail *next;

	w->next = js->watches;
	js->watches = w;
	for (struct jail *j = js->first; j != NULL; j = next) {
		next = j->next;
		if (j->state == JAIL_ENDED)
			announce(j);
	}
}

void jails_unwatch(struct jails *js, struct jails_watch *w)
{
	struct jails_watch **at = &js->watches;

	while (*at != w) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = w->next;
}

void jail_kill(struct jail *j)
{
	const struct err why = { .code = -ECANCELED, .msg = "destroyed while it was being made" };

	if (j->cell != NULL) {
		cell_kill(j->cell);
	} else if (j->state == JAIL_WAITING) {
		pool_unget(j->req.nic_queues > 0 ? &j->jails->nics : &j->jails->plain, &j->line);
		give_up(j, &why);
	}
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

unsigned jails_owned(const struct jails *js, const void *owner)
{
	unsigned n = 0;

	for (const struct jail *j = js->first; j != NULL; j = j->next)
		n += j->owner == owner;
	return n;
}

static void drop(struct jails *js, const void *owner, bool all)
{
	struct jail *j, *next;

	for (j = js->first; j != NULL; j = next) {
		next = j->next;
		if (j->owner == owner &&
		    (all || j->state == JAIL_WAITING || j->state == JAIL_STARTING))
			abandon(j);
	}
}

void jails_drop_owner(struct jails *js, const void *owner)
{
	drop(js, owner, true);
}

void jails_drop_unfinished(struct jails *js, const void *owner)
{
	drop(js, owner, false);
}

void jails_kill_all(struct jails *js)
{
	struct jail *j, *next;

	js->ending = true;
	for (j = js->first; j != NULL; j = next) {
		next = j->next;
		abandon(j);
	}
	pool_close(&js->plain);
	pool_close(&js->nics);
}
