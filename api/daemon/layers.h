/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers.h - what builds of templates were after one of their steps: snapshots that later builds of
 * the tenant's go on from, found by what has made them (build_layers.c). A cache: each may go at
 * any time, and what goes on from one keeps what it has.
 *
 * A layer is a snapshot whose name is "layer." and its key; nobody else can give a snapshot such a
 * name. A tenant has so many of them, and half as many bytes as its snapshots may have; more than
 * that, and those go that weren't used for longest (what counts after a restart is when they were
 * made). They don't count as the tenant's snapshots.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_LAYERS_H
#define API_DAEMON_LAYERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define LAYER_PREFIX	"layer."
#define LAYER_KEY_BYTES 28U /* of a SHA-256: a name has no room for more */
#define LAYER_NAME_MAX	(6U + 2U * LAYER_KEY_BYTES)
#define LAYERS_TENANT	16U

struct snapshot;
struct snapshots;
struct tenant;

/* Is it the name of one? */
bool layer_named(const char *name);
void layer_name(const uint8_t key[LAYER_KEY_BYTES], char ret[LAYER_NAME_MAX + 1]);
/* All bytes of a tenant's. */
uint64_t layers_bytes_max(const struct tenant *t);
/* The tenant's of this key, which counts as used now, or NULL. */
struct snapshot *layers_find(const struct snapshots *ss, const struct tenant *t,
			     const uint8_t key[LAYER_KEY_BYTES]);
/* So many more of the tenant's are about to come: those that are too many go. */
void layers_trim(const struct snapshots *ss, const struct tenant *t, unsigned more);
/* The image with this digest is about to go: its layers go. */
void layers_forget_image(const struct snapshots *ss, const char *digest);

#endif
