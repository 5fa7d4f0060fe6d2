/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealer.h - seals snapshots and checks seals, in small steps of the jailer's loop.
 *
 * Who may seal what: only this process has the key. It seals memfds that nobody can change any
 * more, for a jail that runs and belongs to the caller, and takes the machine's description from
 * its own record of that jail. So a seal says: this host, this machine, these bytes. It doesn't say
 * that the bytes are harmless; the VMM that wrote them may have been its guest's.
 *
 * A memory's digest is computed once: a memfd that is sealed stays as it is, and those of the last
 * few are remembered.
 *
 * Everything belongs to the loop's thread.
 */
#ifndef JAILER_SEALER_H
#define JAILER_SEALER_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "jailer/request.h"
#include "jailer/sealkey.h"

#define SEALER_JOBS_MAX 8U /* digests under way */

struct sealer;
struct sealer_job;

/* The end of a job, which is gone when this returns: r = 0, or -errno with err. seal:
 * SNAPSEAL_BYTES, for sealer_seal. */
typedef void sealer_fn(void *arg, int r, const uint8_t *seal, const struct err *err);

/* k outlives it. */
MUST_USE int sealer_new(struct loop *l, const struct sealkey *k, struct sealer **ret);
/* Drops all jobs without a word. NULL is fine. */
void sealer_free(struct sealer *s);

/*
 * Both: q's state and memory were checked by request_check_snapshot; q and its descriptors are the
 * caller's and may go when this returns. 0: fn is called once, perhaps before this returns (then
 * *ret is NULL); else -errno with err: -EBUSY when too much is under way.
 */
MUST_USE int sealer_seal(struct sealer *s, const struct request *q, sealer_fn *fn, void *arg,
			 struct sealer_job **ret, struct err *err);
/* Is this the seal of these files, of such a machine? What can be told at once is told by the
 * result. */
MUST_USE int sealer_check(struct sealer *s, const struct request *q, const void *seal, size_t len,
			  sealer_fn *fn, void *arg, struct sealer_job **ret, struct err *err);
/* fn won't be called any more. */
void sealer_cancel(struct sealer_job *j);

#endif
