/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobs.h - images that came through the API: STORE/blobs/DIGEST, one file each, root's and mode
 * 0400, named by the SHA-256 of its bytes.
 *
 * Theory of operation. A file gets its name when it is whole, on the disk, and hashed by a process
 * of ours (keeper.h): what has a name is what the name says, whoever sent it. From then on only
 * root could change it, and where the file system has fs-verity, not even root: then the kernel
 * checks each block that is read. The bytes are never looked at; only guests' kernels mount them.
 *
 * One thread; nothing here waits for anything but the file system.
 */
#ifndef JAILER_BLOBS_H
#define JAILER_BLOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "jailer/store.h"

#define BLOBS_MAX	  1024U
#define BLOB_BYTES_MAX	  (UINT64_C(64) << 30) /* of one */
#define BLOB_DIGEST_LEN	  64U		       /* lower-case hex */
#define BLOB_DIGEST_BYTES 32U

struct blobs {
	int dir;
	uint64_t bytes_max; /* of all together; 0 = none is kept */
};

struct blob_info {
	char digest[BLOB_DIGEST_LEN + 1];
	uint64_t bytes;
	int64_t stored_ms; /* Unix */
	bool verity;
};

/* Is it the form of a digest? Such names are never those of an operator's images. Pure. */
bool blob_digest_ok(const char *s);
void blob_digest_text(const uint8_t digest[BLOB_DIGEST_BYTES], char ret[BLOB_DIGEST_LEN + 1]);

MUST_USE int blobs_open(struct blobs *b, const struct store *s, uint64_t bytes_max,
			struct err *err);
void blobs_close(struct blobs *b);

/* Is there room for `bytes` more, beside `coming` that are promised already? -EOPNOTSUPP (none is
 * kept), -ERANGE, -EDQUOT, -ENOSPC with err. */
MUST_USE int blobs_room(const struct blobs *b, uint64_t bytes, uint64_t coming, struct err *err);
/* A file without a name, to be written to, and the same to be read only. */
MUST_USE int blobs_create(const struct blobs *b, int *ret_write, int *ret_read, struct err *err);
/* Gives the whole file of blobs_create its name, on the disk when this returns. *ret_existed: there
 * was one already, which stays. */
MUST_USE int blobs_name(const struct blobs *b, int file, const char *digest, bool *ret_existed,
			struct err *err);
/* -ENOENT. */
MUST_USE int blobs_find(const struct blobs *b, const char *digest, struct blob_info *ret);
MUST_USE int blobs_remove(const struct blobs *b, const char *digest);
/* At most BLOBS_MAX; how many, or -errno. */
MUST_USE int blobs_list(const struct blobs *b, struct blob_info ret[BLOBS_MAX]);

#endif
