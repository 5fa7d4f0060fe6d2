/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live.h - a snapshot of a VM that runs and goes on running.
 *
 * Theory of operation. Copying a guest's memory takes too long to let it wait: 64 MiB are some
 * 22 ms of a processor. So all that isn't known to be zero (gmem_learn_zeros) is copied while the
 * guest runs, in parts between which the control thread does its other work; meanwhile the pages
 * that are written again are marked, by KVM's dirty log and by gmem. Then the VM is paused, and
 * what is marked is copied a second time, with the state. The files are of that last moment. A VM
 * that keeps no marks is paused from the beginning to the end.
 *
 * With a second memory file, another thread (copier.h) copies half of the pages to that one at the
 * same time. Where the memory is split is decided when it begins, and the state file says it.
 *
 * Why the dirty log and not write protection by userfaultfd: no descriptor, no thread and no call
 * more in the jail, and what can go wrong is a pause that is longer, never a page that is wrong.
 * The price is that children can't begin before all has been copied.
 *
 * Belongs to the control thread.
 */
#ifndef VMM_SNAPSHOT_LIVE_H
#define VMM_SNAPSHOT_LIVE_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "vmm/vm.h"

struct live;

/* r: 0, or -errno with err. paused: it was to stay so; else the VM runs in either case. paused_ns:
 * how long it did not. */
typedef void live_done_fn(int r, bool paused, uint64_t paused_ns, const struct err *err, void *arg);

/*
 * Begins one of a running VM, which nobody else may pause until done was called, later and once;
 * *ret is gone then. The files are as vm_state_save wants them, rest_fd too (-1 = all goes to one
 * file), and stay the caller's, who keeps them open until then. stay_paused: when it succeeds, the
 * VM stands still at its moment. 0, or -errno with err and done is never called.
 */
MUST_USE int live_begin(struct vm *vm, struct loop *loop, int state_fd, int memory_fd, int rest_fd,
			bool stay_paused, live_done_fn *done, void *arg, struct live **ret,
			struct err *err);
/* It isn't to stay paused after all. False: it wasn't to. */
bool live_let_run(struct live *l);
/* Gives up: the VM has ended. done is not called. NULL is fine. */
void live_cancel(struct live *l);

#endif
