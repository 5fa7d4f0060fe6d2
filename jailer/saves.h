/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saves.h - virtual machines on the disk: one file each, root's and mode 0600, with the memory
 * (sparse), the state behind it, and the seal (snapseal.h) at the end. There are two kinds:
 *
 *     STORE/paused/ID        a sandbox that is paused; it lives as long as its owner (hold.h)
 *     STORE/snapshots/NAME   a snapshot; it lives until it is discarded
 *
 * and beside either, of a VM with a scratch disk, that disk (sparse), with ".disk" behind its name.
 * The seal says how long it is, and nothing of what is in it. A paused sandbox of which only the
 * files are kept has that disk alone, and no seal.
 *
 * Theory of operation. A file has no name until it is whole, so whatever dies in the middle leaves
 * nothing. A jailer that starts removes the paused sandboxes of an earlier one, and takes its
 * snapshots over: how long the parts of one are says its seal, which only this host's key makes.
 * Nothing is flushed. A paused sandbox is never read after a crash; a snapshot that a power cut has
 * torn is not what its seal says, and refused when it is wanted.
 *
 * The bytes of all files together are bounded, and STORE_FREE_MIN of the disk stay free: both are
 * looked at before anything is written, by what the memory holds then.
 *
 * Copying is done in steps of the loop. Everything belongs to its thread.
 */
#ifndef JAILER_SAVES_H
#define JAILER_SAVES_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "jailer/request.h"
#include "jailer/sealkey.h"
#include "jailer/snapseal.h"
#include "jailer/store.h"

#define SAVES_JOBS_MAX 4U    /* copies under way */
#define SAVES_MAX      4096U /* files */

enum saves_kind { SAVES_PAUSED, SAVES_SNAPSHOTS };

struct saves;
struct saves_job;

/* The end of a job, which is gone when this returns: r = 0, or -errno with err. seal:
 * SNAPSEAL_BYTES, as saves_put got it. */
typedef void saves_fn(void *arg, int r, const uint8_t *seal, const struct err *err);

/* Removes what is there, or takes it over; what can't be one of ours is left alone and not known.
 * bytes_max 0: nothing can be kept. k: only read here. -errno and err. */
MUST_USE int saves_new(struct loop *l, const struct store *s, enum saves_kind kind,
		       const struct sealkey *k, uint64_t bytes_max, struct saves **ret,
		       struct err *err);
/* Drops all jobs without a word, and removes the files of paused sandboxes. NULL is fine. */
void saves_free(struct saves *ss);
uint64_t saves_bytes_max(const struct saves *ss);

/* The owner of snapshots: whoever may ask at all. */
const void *saves_nobody(const struct saves *ss);

/*
 * Keeps q's state and memory, which request_check_snapshot has checked, and its scratch disk, which
 * nobody writes meanwhile, under this name (of
 * request_id_ok's form) for owner; with neither (both -1, seal of no meaning) the disk alone, which
 * there must be, of a paused sandbox. q
 * and its descriptors may go when this returns. 0: fn is called once, later; else -errno with err:
 * -EEXIST, -ENOSPC (no room on the disk), -EDQUOT (too many bytes or files), -EBUSY (too much under
 * way), -EOPNOTSUPP (none are kept). After a failure there is no file.
 */
MUST_USE int saves_put(struct saves *ss, const void *owner, const char *id, const struct request *q,
		       const uint8_t seal[SNAPSEAL_BYTES], saves_fn *fn, void *arg,
		       struct saves_job **ret, struct err *err);
/*
 * Copies owner's file to two memfds that can be written: an empty one for the state, and one of the
 * memory's size that holds nothing. What is in them isn't checked: Restore does that, by the seal,
 * once nobody can change them. The file stays. -ENOENT: there is none; -EINVAL: not such memfds;
 * -EBADMSG: it isn't a file as we made it.
 */
MUST_USE int saves_get(struct saves *ss, const void *owner, const char *id, int state, int memory,
		       saves_fn *fn, void *arg, struct saves_job **ret, struct err *err);
/* fn won't be called any more; a file that wasn't whole is gone. */
void saves_cancel(struct saves_job *j);

/* The scratch disk that was kept with it, of so many bytes; the caller's to close. -ENOENT: there
 * is no such file; -EBADMSG: the disk isn't as it was written; or another -errno. */
MUST_USE int saves_open_disk(const struct saves *ss, const void *owner, const char *id,
			     uint64_t bytes, int *ret, struct err *err);

/* Removes owner's file of this id, if there is one. -EBUSY: it is being written or read. */
MUST_USE int saves_discard(struct saves *ss, const void *owner, const char *id);
/* What owner's file of this id takes, with its disk; 0 = there is none. */
uint64_t saves_bytes(const struct saves *ss, const void *owner, const char *id);
/* Has this owner any? */
bool saves_owned(const struct saves *ss, const void *owner);
/* All that are this owner's; none of its jobs may be under way. */
void saves_drop_owner(struct saves *ss, const void *owner);

#endif
