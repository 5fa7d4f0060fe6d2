/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the directory of kernels and images, and what the jailer opens in it.
 *
 *     STORE/kernels/NAME/kernel   STORE/kernels/NAME/initrd (optional)
 *     STORE/images/NAME/root.erofs
 *     STORE/scratch/              unnamed files only
 *     STORE/paused/ID             paused sandboxes (saves.h)
 *     STORE/snapshots/NAME        snapshots (the same)
 *     STORE/blobs/DIGEST          images that came through the API (blobs.h)
 *
 * Paths are resolved by the kernel below one directory descriptor, without symbolic links, so a
 * name can lead nowhere else. What is opened must be a non-empty regular file or a block device,
 * and root's: nobody else may write it.
 */
#ifndef JAILER_STORE_H
#define JAILER_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define STORE_LIST_MAX 64
#define STORE_FREE_MIN (UINT64_C(64) << 20) /* never to be used up */

struct store {
	int dir;
};

/* Makes it the working directory too. Refuses one that is not root's or that others may write. */
MUST_USE int store_open(struct store *s, const char *path, struct err *err);
void store_close(struct store *s);

/* Read-only descriptors. *ret_initrd is -1 when the kernel has none. */
MUST_USE int store_open_kernel(const struct store *s, const char *name, int *ret_kernel,
			       int *ret_initrd, struct err *err);
/* name: of images/, or the digest of one in blobs/. */
MUST_USE int store_open_image(const struct store *s, const char *name, int *ret, struct err *err);

/* A sparse file without a name, read-write: it is gone when its last descriptor is. */
MUST_USE int store_open_scratch(const struct store *s, uint64_t bytes, int *ret, struct err *err);

/* Is there room on scratch's disk for what `from` takes on its own, and STORE_FREE_MIN besides?
 * -ENOSPC or another -errno, with err. */
MUST_USE int store_check_room(int scratch, int from, struct err *err);

/* The directory of paused sandboxes: root's, and nobody else writes there. */
MUST_USE int store_open_paused(const struct store *s, int *ret, struct err *err);

/* The same of snapshots. */
MUST_USE int store_open_snapshots(const struct store *s, int *ret, struct err *err);

/* The same of images that came through the API. */
MUST_USE int store_open_blobs(const struct store *s, int *ret, struct err *err);

/* The names below `kind` ("kernels" or "images"), at most STORE_LIST_MAX, sorted; the count.
 * Each is freed by the caller. */
size_t store_list(const struct store *s, const char *kind, char *names[STORE_LIST_MAX]);

/* A file that others can't have changed: root's, not writable for group and others. */
MUST_USE int store_open_trusted(const char *path, int *ret, struct err *err);

#endif
