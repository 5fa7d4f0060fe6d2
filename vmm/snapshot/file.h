/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - the state file of a snapshot: a header and sections. docs/SNAPSHOT.md describes every
 * byte.
 *
 * A section has a type, an instance (which vCPU, which device) and a payload. A reader refuses
 * what it doesn't know when the section is marked mandatory, and skips it otherwise; so a later
 * version can say more without a new format, and can't say anything essential that an older one
 * would overlook. Everything about the file itself (version, lengths, duplicates) is checked by
 * snap_open, before anything is taken out of it. The file is hostile until then, and what is in
 * the sections stays so.
 *
 * Memory isn't in it: that is a file of its own, because it is mapped.
 *
 * Pure. One thread.
 */
#ifndef VMM_SNAPSHOT_FILE_H
#define VMM_SNAPSHOT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/le.h"

#define SNAP_VERSION	  1U
#define SNAP_BYTES_MAX	  (1024U * 1024U)
#define SNAP_SECTIONS_MAX 1024U
#define SNAP_INSTANCE_MAX 64U

enum snap_type {
	SNAP_MACHINE = 1, /* what the VM is made of; vm_state.c */
	SNAP_CLOCK = 2,	  /* struct kvm_clock_data */
	SNAP_IOAPIC = 3,
	SNAP_ID = 4,	/* struct snap_id; not mandatory */
	SNAP_SPLIT = 5, /* le64: the memory lies in two files, split there */
	/* Instance = vCPU: the kernel's structures as they are, which are ABI of x86_64. */
	SNAP_CPUID = 16,     /* struct kvm_cpuid_entry2[] */
	SNAP_REGS = 17,	     /* struct kvm_regs */
	SNAP_SREGS = 18,     /* struct kvm_sregs */
	SNAP_XSAVE = 19,     /* struct kvm_xsave */
	SNAP_XCRS = 20,	     /* struct kvm_xcrs */
	SNAP_DEBUGREGS = 21, /* struct kvm_debugregs */
	SNAP_LAPIC = 22,     /* struct kvm_lapic_state */
	SNAP_EVENTS = 23,    /* struct kvm_vcpu_events */
	SNAP_MP_STATE = 24,  /* struct kvm_mp_state */
	SNAP_MSRS = 25,	     /* struct kvm_msr_entry[] */
	SNAP_TSC_KHZ = 26,   /* le32 */
	/* Instance = device. */
	SNAP_VIRTIO = 48,	  /* transport and queues; virtio/state.c */
	SNAP_VIRTIO_PRIVATE = 49, /* what the device type keeps */
	SNAP_TYPE_END = 64,
};

/* What must be the same for the rest to make sense. */
struct snap_machine {
	le32_t vcpus, devices;
	le64_t memory_bytes;
	le32_t guest_cid, zero;
};
_Static_assert(sizeof(struct snap_machine) == 24, "docs/SNAPSHOT.md");

/* Which snapshot it is, and after which one of the same VM its memory has changed. Names, no more:
 * whoever writes a file chooses them. */
struct snap_id {
	uint8_t self[16];
	uint8_t parent[16];
};

/* The memory file of an incremental snapshot ends with a bit for each page: does it have it? */
#define SNAP_MEMORY_ALIGN (UINT64_C(2) << 20)
#define SNAP_MEMORY_MAX	  (UINT64_C(512) << 30)
static inline uint64_t snap_bitmap_bytes(uint64_t memory_bytes)
{
	return memory_bytes / 4096 / 8;
}

struct snap_writer {
	struct buf buf;
	uint32_t sections;
	int failed; /* the first error; later calls do nothing */
};

void snap_writer_init(struct snap_writer *w);
void snap_writer_done(struct snap_writer *w);
/* Appends a section. An error is kept for snap_writer_finish. */
void snap_put(struct snap_writer *w, enum snap_type type, uint32_t instance, bool mandatory,
	      const void *data, size_t len);
/* The whole file; the bytes live until snap_writer_done. 0, -ENOSPC (SNAP_BYTES_MAX or
 * SNAP_SECTIONS_MAX), -ENOMEM. */
MUST_USE int snap_writer_finish(struct snap_writer *w, const uint8_t **ret, size_t *ret_len);

struct snap_section {
	const uint8_t *data;
	uint32_t len;
};

struct snap_reader {
	struct snap_section sections[SNAP_TYPE_END][SNAP_INSTANCE_MAX]; /* data NULL: not there */
};

/* Reads `data`, which must outlive r and which nobody may change any more. 0, -EINVAL (not a state
 * file, damaged), -ENOTSUP (another version, or it needs something unknown), with err. */
MUST_USE int snap_open(struct snap_reader *r, const void *data, size_t len, struct err *err);
/* A section, or NULL. type < SNAP_TYPE_END. */
const struct snap_section *snap_find(const struct snap_reader *r, enum snap_type type,
				     uint32_t instance);
/* Copies a section of exactly `size` bytes out. -EINVAL with err: missing, or of another size. */
MUST_USE int snap_take(const struct snap_reader *r, enum snap_type type, uint32_t instance,
		       void *dst, size_t size, struct err *err);

#endif
