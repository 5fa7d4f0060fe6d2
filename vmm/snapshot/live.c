/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "vmm/snapshot/copier.h"
#include "vmm/snapshot/dirty.h"
#include "vmm/snapshot/vm_state.h"
#include "vmm/vmm_fds.h"

struct live {
	struct vm *vm;
	struct loop *loop;
	struct loop_timer *next;
	struct vm_state_files files;
	uint64_t at, end;    /* so much of the memory file is written, of so much */
	bool rest_is_copied; /* by the other thread; or there is nothing for it */
	bool stay_paused;    /* if it succeeds */
	uint64_t paused_ns;
	live_done_fn *done;
	void *arg;
};

/* Marks mean what was written from now on. Paused, so that no transfer into the guest's memory is
 * under way that began before. */
static int begin_marking(struct live *l, struct err *err)
{
	int r = gmem_learn_zeros(&l->vm->gmem, VMM_FD_MEMORY, VMM_FD_REST);
	uint64_t begin = now_ns();

	if (r < 0)
		return err_sys(err, r, "memory file that it came from");
	vm_pause(l->vm);
	/* If this comes to nothing, there is nothing that an incremental one could build on. */
	memset(l->vm->snapshot, 0, sizeof(l->vm->snapshot));
	r = dirty_collect(&l->vm->gmem, VMM_FD_VM, err);
	if (r == 0)
		gmem_unmark(&l->vm->gmem);
	vm_resume(l->vm);
	l->paused_ns += now_ns() - begin;
	return r;
}

/* The moment of the snapshot: what is marked, and the state. */
static int finish(struct live *l, struct err *err)
{
	uint64_t begin = now_ns();
	int r;

	vm_pause(l->vm);
	r = vm_state_save_again(l->vm, &l->files, err);
	if (r < 0 || !l->stay_paused)
		vm_resume(l->vm);
	l->paused_ns += now_ns() - begin;
	return r;
}

static void end(struct live *l, int r, const struct err *err)
{
	live_done_fn *done = l->done;
	const bool paused = r == 0 && l->stay_paused;
	const uint64_t paused_ns = l->paused_ns;
	void *arg = l->arg;

	free(l);
	done(r, paused, paused_ns, err, arg);
}

static void fail(struct live *l, int r, const char *what)
{
	struct err err = { 0 };

	loop_timer_del(l->next);
	if (l->vm->copier != NULL)
		copier_cancel(l->vm->copier);
	(void)err_sys(&err, r, "%s", what);
	end(l, r, &err);
}

/* One of the two is through. */
static void finish_if_copied(struct live *l)
{
	struct err err = { 0 };
	int r;

	if (l->at < l->end || !l->rest_is_copied)
		return;
	r = finish(l, &err);
	end(l, r, &err);
}

static void on_rest(int r, void *arg)
{
	struct live *l = arg;

	if (r < 0) {
		fail(l, r, "memory's second file");
		return;
	}
	l->rest_is_copied = true;
	finish_if_copied(l);
}

static void on_next(void *arg)
{
	struct live *l = arg;
	uint64_t to = MIN(l->end, l->at + COPIER_PART_BYTES);
	int r = gmem_save_part(&l->vm->gmem, l->files.memory, l->at, to);

	l->next = NULL;
	l->at = to;
	if (r < 0)
		fail(l, r, "memory file");
	else if (to == l->end)
		finish_if_copied(l);
	else if ((r = loop_timer_add(l->loop, 0, on_next, l, &l->next)) < 0)
		fail(l, r, "timer");
}

/* Marks are kept. */
static int begin_copying(struct live *l, struct err *err)
{
	const struct gmem *m = &l->vm->gmem;
	int r = begin_marking(l, err);

	if (r < 0)
		return r;
	r = gmem_check_empty(m, l->files.memory);
	if (r == 0 && l->files.rest >= 0)
		r = gmem_check_empty(m, l->files.rest);
	if (r < 0)
		return err_sys(err, r, "memory file");
	l->files.split = l->end = l->files.rest >= 0 ? gmem_middle(m) : m->bytes;
	l->rest_is_copied = l->end == m->bytes;
	r = loop_timer_add(l->loop, 0, on_next, l, &l->next);
	if (r < 0)
		return err_sys(err, r, "timer");
	if (!l->rest_is_copied)
		copier_begin(l->vm->copier, l->files.rest, l->end, m->bytes, on_rest, l);
	return 0;
}

/* All of it with the guest stopped. */
static void on_unmarked(void *arg)
{
	struct live *l = arg;
	struct err err = { 0 };
	uint64_t begin = now_ns();
	int r;

	vm_pause(l->vm);
	r = vm_state_save(l->vm, false, l->files.state, l->files.memory, &err);
	if (r < 0 || !l->stay_paused)
		vm_resume(l->vm);
	l->paused_ns = now_ns() - begin;
	end(l, r, &err);
}

int live_begin(struct vm *vm, struct loop *loop, int state_fd, int memory_fd, int rest_fd,
	       bool stay_paused, live_done_fn *done, void *arg, struct live **ret, struct err *err)
{
	struct live *l = calloc(1, sizeof(*l));
	int r;

	if (l == NULL)
		return err_sys(err, -ENOMEM, "live snapshot");
	*l = (struct live){ .vm = vm,
			    .loop = loop,
			    .files = { .state = state_fd, .memory = memory_fd, .rest = rest_fd },
			    .stay_paused = stay_paused,
			    .done = done,
			    .arg = arg };
	if (gmem_is_marking(&vm->gmem)) {
		r = begin_copying(l, err);
	} else {
		r = loop_timer_add(loop, 0, on_unmarked, l, &l->next);
		if (r < 0)
			(void)err_sys(err, r, "timer");
	}
	if (r < 0)
		free(l);
	else
		*ret = l;
	return r;
}

bool live_let_run(struct live *l)
{
	const bool was = l->stay_paused;

	l->stay_paused = false;
	return was;
}

void live_cancel(struct live *l)
{
	if (l == NULL)
		return;
	loop_timer_del(l->next);
	if (l->vm->copier != NULL)
		copier_cancel(l->vm->copier);
	free(l);
}
