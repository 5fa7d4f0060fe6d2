/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "vmm/snapshot/dirty.h"
#include "vmm/snapshot/vm_state.h"
#include "vmm/vmm_fds.h"

#define PART_BYTES (4 * MIB) /* some 1.5 ms of copying, between two looks at the devices */

struct live {
	struct vm *vm;
	struct loop *loop;
	struct loop_timer *next;
	int state_fd, memory_fd;
	uint64_t at; /* so much of the memory file is written */
	uint64_t paused_ns;
	live_done_fn *done;
	void *arg;
};

/* Marks mean what was written from now on. Paused, so that no transfer into the guest's memory is
 * under way that began before. */
static int begin_marking(struct live *l, struct err *err)
{
	int r = gmem_learn_zeros(&l->vm->gmem, VMM_FD_MEMORY);
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
	r = vm_state_save_again(l->vm, l->state_fd, l->memory_fd, err);
	vm_resume(l->vm);
	l->paused_ns += now_ns() - begin;
	return r;
}

static void end(struct live *l, int r, const struct err *err)
{
	live_done_fn *done = l->done;
	uint64_t paused_ns = l->paused_ns;
	void *arg = l->arg;

	free(l);
	done(r, paused_ns, err, arg);
}

static void on_next(void *arg)
{
	struct live *l = arg;
	struct err err = { 0 };
	int r = gmem_save_part(&l->vm->gmem, l->memory_fd, l->at, PART_BYTES, &l->at);

	l->next = NULL;
	if (r < 0)
		(void)err_sys(&err, r, "memory file");
	else if (l->at == l->vm->gmem.bytes)
		r = finish(l, &err);
	else if (loop_timer_add(l->loop, 0, on_next, l, &l->next) == 0)
		return;
	else
		r = err_sys(&err, -ENOMEM, "timer");
	end(l, r, &err);
}

/* All of it with the guest stopped. */
static void on_unmarked(void *arg)
{
	struct live *l = arg;
	struct err err = { 0 };
	uint64_t begin = now_ns();
	int r;

	vm_pause(l->vm);
	r = vm_state_save(l->vm, false, l->state_fd, l->memory_fd, &err);
	vm_resume(l->vm);
	l->paused_ns = now_ns() - begin;
	end(l, r, &err);
}

int live_begin(struct vm *vm, struct loop *loop, int state_fd, int memory_fd, live_done_fn *done,
	       void *arg, struct live **ret, struct err *err)
{
	bool marking = gmem_is_marking(&vm->gmem);
	struct live *l = calloc(1, sizeof(*l));
	int r;

	if (l == NULL)
		return err_sys(err, -ENOMEM, "live snapshot");
	*l = (struct live){ .vm = vm,
			    .loop = loop,
			    .state_fd = state_fd,
			    .memory_fd = memory_fd,
			    .done = done,
			    .arg = arg };
	r = marking ? begin_marking(l, err) : 0;
	if (r == 0) {
		r = loop_timer_add(loop, 0, marking ? on_next : on_unmarked, l, &l->next);
		if (r < 0)
			(void)err_sys(err, r, "timer");
	}
	if (r < 0)
		free(l);
	else
		*ret = l;
	return r;
}

void live_cancel(struct live *l)
{
	if (l == NULL)
		return;
	loop_timer_del(l->next);
	free(l);
}
