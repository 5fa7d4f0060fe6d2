/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copier.h - the thread that writes a part of a guest's memory to a file while the control thread
 * writes another part to another one (live.h). Two threads are no faster at one file, whose lock
 * excludes them from each other.
 *
 * The thread is made while the VM is built, because the filters let none be made later, and has a
 * filter of its own (vmm-copy.policy). It touches nothing but what copier_begin names, and nothing
 * at all before that and after the end.
 *
 * Functions belong to the control thread.
 */
#ifndef VMM_SNAPSHOT_COPIER_H
#define VMM_SNAPSHOT_COPIER_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/loop.h"
#include "vmm/gmem.h"

/* Between two looks at what else there is to do: some 1.5 ms of copying. */
#define COPIER_PART_BYTES (UINT64_C(4) << 20)

struct copier;

/* r: what gmem_save_part said. */
typedef void copier_done_fn(int r, void *arg);

/* Starts the thread; virtio_set_thread_hook's function locks it down, as role "copy". m must
 * outlive it; it is there until the process ends. 0 or -errno. */
MUST_USE int copier_new(const struct gmem *m, struct loop *loop, struct copier **ret);
/* Waits until it is locked down. Once, before the VM runs; 0, or -errno and the start must end. */
MUST_USE int copier_ready(struct copier *c);

/* Writes [from, to) of the memory's file to fd, which stays the caller's, as gmem_save_part does.
 * done is called later, once. One at a time. */
void copier_begin(struct copier *c, int fd, uint64_t from, uint64_t to, copier_done_fn *done,
		  void *arg);
/* Gives up, and waits until the thread is at rest, some 1.5 ms at most: done is not called. No
 * effect when nothing was begun, or done was called. */
void copier_cancel(struct copier *c);

#endif
