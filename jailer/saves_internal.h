/* SPDX-License-Identifier: Apache-2.0 */
/* saves_internal.h - what saves.c (files and copies) and saves_scan.c (what was there) share. */
#ifndef JAILER_SAVES_INTERNAL_H
#define JAILER_SAVES_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "jailer/saves.h"

#define SAVES_BLOCK_BYTES 512U	  /* of st_blocks */
#define SAVES_DISK_SUFFIX ".disk" /* no id has a dot */
#define SAVES_DISK_NAME	  (REQUEST_NAME_MAX + sizeof(SAVES_DISK_SUFFIX))

/* A file, or one that is being made. */
struct save {
	struct save *next;
	const void *owner;
	char id[REQUEST_NAME_MAX + 1];
	uint64_t memory_bytes, state_bytes; /* 0: there is a disk alone */
	uint64_t scratch_bytes;		    /* of its disk; 0 = none */
	uint64_t charged;		    /* of the bytes that there may be */
	unsigned jobs;
	bool whole; /* it has its name */
};

struct saves {
	struct loop *loop;
	enum saves_kind kind;
	int dir;
	uint64_t bytes_max, bytes;
	struct save *first;
	unsigned count;
	struct saves_job *jobs;
	unsigned jobs_count;
};

/* Where they lie, below the store. */
const char *saves_place(const struct saves *ss);
void saves_disk_name(const char *id, char ret[SAVES_DISK_NAME]);
/* A record, charged for; NULL: no memory. */
struct save *saves_add(struct saves *ss, const void *owner, const char *id, uint64_t memory_bytes,
		       uint64_t state_bytes, uint64_t charge);

/* saves_scan.c: removes what is there, or takes it over. 0 or -errno with err. */
MUST_USE int saves_scan(struct saves *ss, const struct sealkey *k, struct err *err);
/* A file that was written here, for reading: 0 or -errno with err. */
MUST_USE int saves_open_ours(int dir, const char *name, int *ret, struct stat *st, struct err *err);

#endif
