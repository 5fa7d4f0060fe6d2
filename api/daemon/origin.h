/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin.h - what sandboxes of one fork go on from: the sealed state and memory of their parent,
 * and what proves to the agent in them that it may take another identity.
 *
 * The memory of an origin is charged to its parent's jail, whose VMM wrote it, until the last child
 * has ended; so a parent has at most ORIGIN_LIVE_MAX of them, and the jailer is told how many there
 * are to be (Reserve).
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_ORIGIN_H
#define API_DAEMON_ORIGIN_H

#include <stdint.h>

#include "api/daemon/sandbox.h"
#include "base/compiler.h"

#define ORIGIN_LIVE_MAX	   8U
#define ORIGIN_TOKEN_BYTES 32U
#define ORIGIN_FILES	   3U

struct origin;

/* One more of parent's. 0 with one reference, -EDQUOT: it has ORIGIN_LIVE_MAX, or another
 * -errno. */
MUST_USE int origin_new(struct sandbox *parent, struct origin **ret);
/* That of a fork of an earlier casemated, whose files are its children's alone. NULL: no memory. */
struct origin *origin_revive(struct sandboxes *t, const char *parent, uint64_t number);
/* Tells it from others of the same parent, for ever; not 0. */
uint64_t origin_number(const struct origin *o);
struct origin *origin_ref(struct origin *o);
/* NULL is fine. */
void origin_unref(struct origin *o);

/* ORIGIN_FILES: state, memory and the rest of the memory (vmm.proto, SnapshotSplit); empty and not
 * yet sealed at first. */
const int *origin_fds(const struct origin *o);
/* Nobody can change them any more: 0 or -errno. */
MUST_USE int origin_seal(struct origin *o);
/* All that are to go on from it have begun: the files are theirs now. */
void origin_close_files(struct origin *o);
const char *origin_parent(const struct origin *o);	/* its id */
const uint8_t *origin_image_id(const struct origin *o); /* SANDBOX_IMAGE_BYTES: its image */
const uint8_t *origin_token(const struct origin *o);

#endif
