/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem_watch.h - sees every fetch of guest memory that the code under test makes. The linker routes
 * gmem's reading functions through wrappers (--wrap; casemate_watch_gmem() in cmake finds their
 * names in gmem.h, so that a new one can't be forgotten), and each calls the watcher when it has
 * fetched. What the watcher then does to the memory is what a guest's other processor could have
 * done.
 *
 * The fake driver is the guest: it reaches its memory directly and is not seen.
 */
#ifndef TESTS_UNIT_GMEM_WATCH_H
#define TESTS_UNIT_GMEM_WATCH_H

#include <stddef.h>

#include "vmm/gmem.h"

enum gmem_fetch {
	GMEM_FETCH_COPY,  /* gmem_read */
	GMEM_FETCH_VALUE, /* gmem_read_le* */
	GMEM_FETCH_IOV,	  /* gmem_iov: the kernel will read or write there */
};

/* On the thread that fetched, after a fetch that succeeded; calls that it makes itself are not
 * seen. NULL ends the watch. Set it while no device thread runs. */
typedef void gmem_watch_fn(const struct gmem *m, gpa_t a, size_t len, enum gmem_fetch kind,
			   void *arg);
void gmem_watch(gmem_watch_fn *fn, void *arg);

#endif
