/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - what a caller may ask of the jailer. Everything that casemated sends is checked
 * here again, whatever casemated checked before: the caller is the process that talks to
 * tenants. Pure functions; no memory, no log.
 */
#ifndef JAILER_REQUEST_H
#define JAILER_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define REQUEST_NAME_MAX       64 /* bytes of an id or of the name of a kernel or image */
#define REQUEST_VCPUS_MAX      32
#define REQUEST_MEMORY_MIN     (UINT64_C(64) << 20)
#define REQUEST_MEMORY_ALIGN   (UINT64_C(2) << 20)
#define REQUEST_SCRATCH_MAX    (UINT64_C(256) << 30)
#define REQUEST_NIC_QUEUES_MAX 8
#define REQUEST_SCRATCH_ALIGN  UINT64_C(4096)
#define REQUEST_SNAPSHOTS_MAX  8   /* at a time, of one VM */
#define REQUEST_CPUSET_MAX     128 /* characters */
#define REQUEST_IMAGE_ID_BYTES 32

struct request {
	char id[REQUEST_NAME_MAX + 1];
	char kernel[REQUEST_NAME_MAX + 1];
	char image[REQUEST_NAME_MAX + 1];
	unsigned vcpus;
	uint64_t memory_bytes;
	uint64_t scratch_bytes; /* 0 = none */
	bool snapshot;		/* one will be taken */
	bool map_image;		/* the VMM will have it in its address space */
	bool image_known;	/* it must be the one of this id */
	uint8_t image_id[REQUEST_IMAGE_ID_BYTES];
	/* To restore: borrowed; else -1. */
	int state, memory;
	int rest;    /* the second file of a memory in two; -1 = it is in one */
	int scratch; /* what the scratch disk is to begin as; only with scratch_bytes, and as long
		      */
	/* Whose kept disk that is, when it boots: "" = none, and it begins empty. */
	char disk_id[REQUEST_NAME_MAX + 1];
	unsigned nic_queues;		   /* 0 = no network */
	char cpus[REQUEST_CPUSET_MAX + 1]; /* lists as in cpuset.h; "" = any */
	char mems[REQUEST_CPUSET_MAX + 1];
};

/* The host's side of the bounds. */
struct request_limits {
	uint64_t memory_max; /* the host's RAM */
};

/* [a-z0-9-]{1,64}; as a file name it can be neither hidden nor a path. */
bool request_id_ok(const char *s);

/* [a-z0-9._-]{1,64} that doesn't begin with a dot. */
bool request_name_ok(const char *s);

/*
 * The request is for a VM that goes on from a snapshot, checked by request_check first: these two
 * must be memfds that nobody can change any more. 0, or -EINVAL with err.
 */
#define REQUEST_STATE_MAX (UINT64_C(1) << 20)
MUST_USE int request_check_snapshot(struct request *q, int state, int memory, struct err *err);
/* The same for a memory in two files: both are as long as the memory. */
MUST_USE int request_check_split(struct request *q, int state, int memory, int rest,
				 struct err *err);

/* A casemate.jailer.v1.CreateRequest; `restore`: it has no kernel. 0 and *ret, or -EINVAL/-ERANGE
 * and err's text. */
struct Casemate__Jailer__V1__CreateRequest;
MUST_USE int request_check(const struct Casemate__Jailer__V1__CreateRequest *in, bool restore,
			   const struct request_limits *limits, struct request *ret,
			   struct err *err);

#endif
