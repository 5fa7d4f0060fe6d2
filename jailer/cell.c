/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "jailer/layer.h"

/* Stages take a millisecond; this is for a host that is out of breath. */
#define STEP_MS_MAX 10000
#define REAP_MS_MAX 1000
#define CLEAN_MS                                                                        \
	5 /* between two tries to remove a cgroup, where nothing tells that it is empty \
	   */
#define CLEAN_SLOW_MS  1000
#define CLEAN_FAST_MAX 400 /* tries before it becomes a reported problem */

static void clean(struct cell *c);
static void on_clean_timer(void *arg);

#ifdef CASEMATE_TEST
/* Where the jailer waits to be killed, for the tests of what is left then. */
static void stop_here(const struct host *h, const char *point)
{
	if (h->stop_point != NULL && strcmp(h->stop_point, point) == 0)
		(void)raise(SIGSTOP);
}
#define stop_point(point) stop_here(c->cells->host, point)
#else
#define stop_point(point) ((void)0)
#endif

/* The process is reaped: only the group is left. */
static void close_process(struct cell *c)
{
	loop_io_del(c->io_process);
	c->io_process = NULL;
	loop_io_del(c->io_report);
	c->io_report = NULL;
	fd_closep(&c->process.pidfd);
	fd_closep(&c->process.report);
	fd_closep(&c->egress[0]);
	fd_closep(&c->egress[1]);
}

static void set_deadline(struct cell *c, uint64_t ms, loop_timer_fn *fn)
{
	loop_timer_del(c->deadline);
	c->deadline = NULL;
	if (ms > 0 && loop_timer_add(c->cells->loop, ms, fn, c, &c->deadline) < 0)
		log_error("cell.timer", "slot=%u: out of memory", c->slot);
}

/* Nothing is left of it. */
static void finish(struct cell *c)
{
	const struct cell_ops *ops = c->ops;

	set_deadline(c, 0, NULL);
	loop_io_del(c->io_empty);
	fd_closep(&c->events);
	slot_put(&c->cells->slots, c->slot);
	c->cells->count--;
	if (ops != NULL)
		ops->ended(c, &c->how, c->oom, c->arg);
	free(c);
}

static void on_empty(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	char text[128];

	(void)events;
	(void)io;
	/* Reading takes the event away. */
	(void)lseek(fd, 0, SEEK_SET);
	if (read(fd, text, sizeof(text)) < 0)
		log_error("cell.events", "%s", strerror(errno));
	clean(arg);
}

/* v2 tells when the group has become empty; then the timer is only for what no event comes for. */
static void watch_group(struct cell *c)
{
	c->events = cgroup_open_events(&c->cells->host->cgroups, &c->cgroup);
	if (c->events < 0) {
		c->events = -1;
	} else if (loop_io_add(c->cells->loop, c->events, EPOLLPRI, on_empty, c, &c->io_empty) <
		   0) {
		c->io_empty = NULL;
	}
}

static void clean(struct cell *c)
{
	int r = cgroup_remove(&c->cells->host->cgroups, &c->cgroup);
	bool slow;

	if (r == 0) {
		finish(c);
		return;
	}
	if (c->retries == 0)
		watch_group(c);
	/* Something is still in it: the kernel is slow, or it must be killed again. */
	cgroup_kill(&c->cgroup);
	if (++c->retries == CLEAN_FAST_MAX)
		log_error("cell.stuck", "slot=%u cgroup=%s error=%s", c->slot, c->cgroup.name,
			  strerror(-r));
	/* Without the timer it keeps its slot: safe, and swept at the next start. */
	slow = c->io_empty != NULL || c->retries >= CLEAN_FAST_MAX;
	set_deadline(c, slow ? CLEAN_SLOW_MS : CLEAN_MS, on_clean_timer);
}

static void on_clean_timer(void *arg)
{
	struct cell *c = arg;

	c->deadline = NULL;
	clean(c);
}

/* It has never become a running jail. The process ends, and then the cell. */
static void fail(struct cell *c, const struct err *why)
{
	const struct cell_ops *ops = c->ops;

	BUG_ON(c->state == CELL_CLEANING || c->state == CELL_RUNNING);
	c->state = CELL_CLEANING;
	c->ops = NULL;
	set_deadline(c, 0, NULL);
	c->early = (struct stage_report){ 0 };
	cell_kill(c);
	if (ops != NULL)
		ops->failed(c, why, c->arg);
}

/* Reaped: *how. */
static void process_ended(struct cell *c)
{
	struct err err;

	close_process(c);
	set_deadline(c, 0, NULL);
	if (c->state == CELL_RUNNING) {
		c->oom = cgroup_was_oom(&c->cgroup);
		c->state = CELL_CLEANING;
	} else if (c->state != CELL_CLEANING) {
		(void)err_set(&err, -EIO, "jail: its process ended at once (%s %d)",
			      c->how.exited ? "status" : "signal", c->how.status);
		fail(c, &err);
	}
	clean(c);
}

static void on_process(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct cell *c = arg;
	int r = spawn_reap(fd, &c->how);

	(void)io;
	(void)events;
	if (r == -EAGAIN)
		return;
	BUG_ON(r < 0); /* nobody else reaps our children */
	process_ended(c);
}

/* There never was a process. */
static void unborn(struct cell *c, const struct err *why)
{
	close_process(c);
	if (c->state != CELL_CLEANING)
		fail(c, why);
	clean(c);
}

/* The report socket has ended without a word: after an exec, or because the child has died. */
static void on_report_closed(struct cell *c)
{
	struct err err;

	if (c->process.pidfd < 0) {
		(void)err_set(&err, -EPIPE, "jail: the spawner has died");
		unborn(c, &err);
		return;
	}
	loop_io_del(c->io_report);
	c->io_report = NULL;
	fd_closep(&c->process.report);
	if (c->state != CELL_STARTING)
		return; /* on_process follows */
	if (spawn_reap(c->process.pidfd, &c->how) == 0) {
		process_ended(c);
		return;
	}
	c->state = CELL_RUNNING;
	set_deadline(c, 0, NULL);
	if (c->ops != NULL)
		c->ops->started(c, c->arg);
}

static void on_message(struct cell *c, const struct stage_report *rep)
{
	struct err err;
	int r;

	if (rep->kind == REPORT_FAILED) {
		(void)err_sys(&err, rep->err, "jail: stage %s", stage_name(rep->stage));
		fail(c, &err);
	} else if (c->state != CELL_PREPARING) {
		(void)err_set(&err, -EPROTO, "jail: its process spoke out of turn");
		fail(c, &err);
	} else if (rep->kind == REPORT_MAP) {
		r = spawn_map(&c->process, c->map_uid);
		if (r < 0) {
			(void)err_sys(&err, r, "jail: map of its user namespace");
			fail(c, &err);
		}
	} else {
		c->state = CELL_READY;
		c->ready_once = true;
		set_deadline(c, 0, NULL);
		if (c->ops != NULL)
			c->ops->ready(c, c->arg);
	}
}

/* Waits for a process of our own that SIGKILL has been sent to and that holds nothing up. */
static void reap_now(struct cell *c)
{
	struct pollfd p = { .fd = c->process.pidfd, .events = POLLIN };

	spawn_kill(c->process.pidfd);
	(void)poll(&p, 1, REAP_MS_MAX);
	if (spawn_reap(c->process.pidfd, &c->how) < 0)
		log_error("cell.unreaped", "pid=%d", (int)c->process.pid);
}

/* From here on the process can be waited for, and be killed. */
static void on_born(struct cell *c, const struct stage_report *rep)
{
	struct stage_report early = c->early;
	struct err err;
	int r;

	if (rep->err < 0) {
		(void)err_sys(&err, rep->err, "jail: new process");
		unborn(c, &err);
		return;
	}
	stop_point("clone");
	r = loop_io_add(c->cells->loop, c->process.pidfd, EPOLLIN, on_process, c, &c->io_process);
	if (r < 0) {
		reap_now(c);
		close_process(c);
		(void)err_sys(&err, r, "jail: event loop");
		unborn(c, &err);
		return;
	}
	if (c->doomed)
		cell_kill(c);
	else if (early.kind != 0)
		on_message(c, &early);
}

static void on_report(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct cell *c = arg;
	struct stage_report rep;
	struct err err;
	int r = spawn_receive(&c->process, &rep);

	(void)io;
	(void)fd;
	(void)events;
	if (r == -EAGAIN)
		return;
	if (r == 0) {
		on_report_closed(c);
	} else if (r > 0 && rep.kind == REPORT_BORN) {
		on_born(c, &rep);
	} else if (c->state == CELL_CLEANING) {
		return; /* killed already; what it says doesn't matter */
	} else if (r > 0 && c->process.pidfd < 0 && c->early.kind == 0) {
		c->early = rep; /* until it can be answered */
	} else if (r < 0 || c->process.pidfd < 0) {
		(void)err_sys(&err, r, "jail: its process sent no proper report");
		fail(c, &err);
	} else {
		on_message(c, &rep);
	}
}

static void on_late(void *arg)
{
	struct cell *c = arg;
	struct err err;

	c->deadline = NULL;
	(void)err_set(&err, -ETIMEDOUT, "jail: its %s takes longer than %d s",
		      c->state == CELL_PREPARING ? "set-up" : "start", STEP_MS_MAX / 1000);
	fail(c, &err);
}

static void fill_env(const struct cell *c, struct stage_env *e)
{
	const struct host *h = c->cells->host;

	*e = (struct stage_env){ .null = h->null,
				 .report = -1,
				 .exec = h->vmm,
				 .root = h->root,
				 .uid = c->uid,
				 .userns = h->userns,
				 .nic = c->nic,
				 .egress = h->egress,
				 .hostnet = h->netns,
				 .egress_control = -1,
				 .egress_log = -1,
				 .egress_uid = slot_egress_uid(c->slot, h->uid_base) };
	label_of_egress(h->label, c->slot, e->egress_label);
	memcpy(e->cgroup, c->cgroup.dir, sizeof(e->cgroup));
	memcpy(e->label, c->label, sizeof(e->label));
#ifdef CASEMATE_TEST
	e->off = h->off;
	e->stop = h->stop;
#endif
}

/* What the jailer and the process behind the gateway share: our ends are the cell's. */
static int open_egress(struct cell *c, struct stage_env *e, struct err *err)
{
	int pair[2], log[2];

	if (!c->nic || e->egress < 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(err, -errno, "jail: control socket of its network");
	c->egress[0] = pair[0];
	e->egress_control = pair[1];
	if (pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, -errno, "jail: log pipe of its network");
	c->egress[1] = log[0];
	e->egress_log = log[1];
	return 0;
}

/* Everything that needs undoing when it fails half-way; the slot is the caller's. */
static int build(struct cell *c, struct err *err)
{
	const struct host *h = c->cells->host;
	struct stage_env env;
	int r = cgroup_create(&h->cgroups, c->slot, &c->cgroup, err);

	if (r < 0)
		return r;
	stop_point("cgroup");
	fill_env(c, &env);
	r = open_egress(c, &env, err);
	if (r == 0)
		r = spawn(&c->cells->spawner, &env, &c->process, err);
	fd_closep(&env.egress_control);
	fd_closep(&env.egress_log);
	if (r < 0)
		return r;
	/* On failure its report socket is closed, and with it the process ends that nobody knows.
	 */
	r = loop_io_add(c->cells->loop, c->process.report, EPOLLIN, on_report, c, &c->io_report);
	return r < 0 ? err_sys(err, r, "jail: event loop") : 0;
}

int cell_new(struct cells *cs, bool nic, const struct cell_ops *ops, void *arg, struct cell **ret,
	     struct err *err)
{
	struct cell *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return err_sys(err, -ENOMEM, "jail");
	*c = (struct cell){
		.cells = cs, .ops = ops, .arg = arg, .nic = nic, .events = -1, .egress = { -1, -1 }
	};
	c->process = (struct spawned){ .pidfd = -1, .report = -1 };
	cgroup_clear(&c->cgroup);
	c->slot = slot_take(&cs->slots);
	if (c->slot == SLOT_NONE) {
		free(c);
		return err_set(err, -EDQUOT, "all identities of jails are in use");
	}
	c->uid = slot_uid(c->slot, cs->host->uid_base);
	c->map_uid = layer_is_off(cs->host, LAYER_UID) ? 0 : c->uid;
	label_of_slot(cs->host->label, c->slot, c->label);
	cs->count++;
	r = build(c, err);
	if (r < 0) {
		/* Nothing has run in it as anything but ourselves; what is left is cleaned up as
		 * for any other. */
		c->ops = NULL;
		c->state = CELL_CLEANING;
		close_process(c);
		clean(c);
		return r;
	}
	set_deadline(c, STEP_MS_MAX, on_late);
	*ret = c;
	return 0;
}

void cell_give(struct cell *c, const struct cell_ops *ops, void *arg)
{
	c->ops = ops;
	c->arg = arg;
}

void cell_drop(struct cell *c)
{
	c->ops = NULL;
	cell_kill(c);
}

int cell_claim(struct cell *c, const struct cell_claim *q, struct err *err)
{
	struct stage_order o = { .fds_count = q->fds_count,
				 .nic_queues = q->nic_queues,
				 .file_bytes_max = q->file_bytes_max,
				 .address_bytes_max = q->limits.memory_bytes + q->map_bytes +
						      CELL_ADDRESS_ALLOWANCE };
	int r = cgroup_limit(&c->cells->host->cgroups, &c->cgroup, &q->limits, err);

	BUG_ON(c->state != CELL_READY);
	if (r < 0)
		return r;
	stop_point("claim");
	r = spawn_claim(&c->process, &o, q->fds);
	if (r < 0)
		return err_sys(err, r, "jail: its process");
	c->state = CELL_STARTING;
	set_deadline(c, STEP_MS_MAX, on_late);
	return 0;
}

int cell_open_egress(const struct cell *c, int ret[2])
{
	CLEANUP(fd_closep) int control = -1;
	int log;

	if (c->egress[0] < 0)
		return -ENOENT;
	control = fd_dup(c->egress[0], STDERR_FILENO + 1);
	if (control < 0)
		return control;
	log = fd_dup(c->egress[1], STDERR_FILENO + 1);
	if (log < 0)
		return log;
	ret[0] = fd_steal(&control);
	ret[1] = log;
	return 0;
}

void cell_kill(struct cell *c)
{
	c->doomed = true;
	if (c->process.pidfd >= 0)
		spawn_kill(c->process.pidfd);
}
