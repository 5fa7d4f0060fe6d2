/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_files.h - the archives that clients send for COPY steps, until their builds use them. One
 * is known by its template and the key that the client gave it: SDKs hash what they put into it,
 * not the archive, so the key says nothing about the bytes. They are passed on to guests and never
 * looked at.
 *
 * Files without a name, beside the state (or in memory, without one): they end with the process,
 * whatever it dies of, and clients send them again. Each is kept for a day, or until its template
 * is gone; a tenant has a quota.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_BUILD_FILES_H
#define API_DAEMON_BUILD_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/daemon/recipe.h"
#include "api/daemon/template_ref.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

#define BUILD_FILES_MAX	       64U		    /* of a tenant */
#define BUILD_FILES_BYTES      (UINT64_C(1) << 30)  /* the same */
#define BUILD_FILES_BYTES_ALL  (UINT64_C(8) << 30)  /* of all tenants */
#define BUILD_FILES_BYTES_MEM  (UINT64_C(64) << 20) /* the same, without a state directory */
#define BUILD_FILES_LIFE_MS    (UINT64_C(24) * 3600 * 1000)
#define BUILD_FILES_DIGEST_LEN 64U

struct build_files;
struct build_file; /* one that is coming in */
struct tenant;

/* state: the state's file, beside which they lie; NULL = in memory. */
MUST_USE int build_files_new(struct loop *l, const char *state, struct build_files **ret);
void build_files_free(struct build_files *f); /* NULL is fine */

struct build_files_key {
	char template[TEMPLATE_ID_LEN + 1];
	char hash[RECIPE_FILES_LEN + 1];
};

bool build_files_has(struct build_files *f, const struct build_files_key *key);
/* A descriptor of its own for reading (pread), and its SHA-256 in hexadecimal digits. The
 * descriptor or -ENOENT, -errno. */
MUST_USE int build_files_open(struct build_files *f, const struct build_files_key *key,
			      char digest[BUILD_FILES_DIGEST_LEN + 1]);
/* The template is gone. */
void build_files_drop(struct build_files *f, const char *template);

/* Begins to take one of so many bytes, which count from now on. -EDQUOT, -errno with err. */
MUST_USE int build_files_begin(struct build_files *f, const struct tenant *tenant,
			       const struct build_files_key *key, uint64_t bytes,
			       struct build_file **ret, struct err *err);
/* 0; -EFBIG: more than was said; -ENOSPC, -errno. */
MUST_USE int build_file_put(struct build_file *b, const void *data, size_t len);
/* All of it is there: it takes the place of an earlier one. -EPROTO: less than was said; it is then
 * as after build_file_drop. b is gone. */
MUST_USE int build_file_commit(struct build_file *b);
void build_file_drop(struct build_file *b); /* NULL is fine */

#endif
