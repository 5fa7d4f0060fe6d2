/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h - how much of an archive is believed. What is over a limit is refused, never cut.
 */
#ifndef IMPORT_LIMITS_H
#define IMPORT_LIMITS_H

#include <limits.h>
#include <stdint.h>

#define IMPORT_NAME_MAX	   255	/* bytes of a path component: EROFS, ext4 and Linux agree */
#define IMPORT_PATH_MAX	   4095 /* bytes of a path, and of a symbolic link's target */
#define IMPORT_DEPTH_MAX   128	/* components of a path */
#define IMPORT_LAYERS_MAX  128	/* Docker's own limit is 127 */
#define IMPORT_BLOBS_MAX   512	/* files of an OCI layout or docker-save archive */
#define IMPORT_JSON_MAX	   (UINT32_C(4) << 20)
#define IMPORT_JSON_DEPTH  32
#define IMPORT_XATTR_MAX   3072 /* bytes of one inode's extended attributes, as EROFS stores them */
#define IMPORT_INDEXES_MAX 4	/* an OCI index that names an index that names ... */

struct import_limits {
	uint64_t image_bytes;	 /* of the result */
	uint64_t stream_bytes;	 /* of all layers together, uncompressed, headers included */
	uint64_t metadata_bytes; /* names, link targets and attributes, in memory */
	uint32_t entries;	 /* of all layers together, and of the tree that they make */
};

#define IMPORT_LIMITS_DEFAULT                                                          \
	{                                                                              \
		.image_bytes = UINT64_C(16) << 30, .stream_bytes = UINT64_C(32) << 30, \
		.metadata_bytes = UINT64_C(256) << 20, .entries = 500000,              \
	}

#endif
