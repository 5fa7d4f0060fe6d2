/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.h - one virtual machine: memory, processors, interrupt controller, devices.
 *
 * There is one in a process and it is never taken apart: when it ends, or when building it fails,
 * the process ends and the kernel takes everything back. So there is no vm_free and no half-built
 * state to get right. All functions belong to the control thread.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/num.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/cpu_template.h"
#include "vmm/genid.h"
#include "vmm/gmem.h"
#include "vmm/result.h"
#include "vmm/vcpu.h"
#include "vmm/virtio/virtio.h"
#include "vmm/vmm_fds.h"

#define VM_ID_MAX	 64U
#define VM_MEMORY_MIN	 (64 * MIB)
#define VM_MEMORY_MAX	 (512 * GIB)
#define VM_MEMORY_STEP	 (2 * MIB)
#define VM_SERIAL_MAX	 20U
#define VM_GUEST_CID_MIN 3U
#define VM_NICS_MAX	 4U
#define VM_DEVICES_MAX	 (VMM_DRIVES_MAX + VM_NICS_MAX + 4U) /* and console, rng, vsock, balloon */

struct vm_drive {
	const char *serial;
	bool read_only;
	bool discard;
	bool pmem;	 /* as memory instead of a disk: read_only, and none of the other options */
	unsigned queues; /* 0 = 1 */
	struct limits limits;
};

struct vm_nic {
	uint8_t mac[VIRTIO_NET_MAC_BYTES];
	unsigned mtu, pairs;
	struct limits receive, send;
};

struct vm_config {
	const char *id;
	unsigned vcpus;
	uint64_t memory_bytes;
	const char *cmdline;
	bool initrd;
	enum boot_protocol boot;
	struct vm_drive drives[VMM_DRIVES_MAX];
	unsigned drives_count;
	struct vm_nic nics[VM_NICS_MAX]; /* their taps in this order, from VMM_FD_TAP0 */
	unsigned nics_count;
	uint32_t guest_cid;	     /* 0 = no vsock */
	const uint8_t *generation;   /* GENID_BYTES; NULL = random */
	bool restore;		     /* from a snapshot: cmdline, initrd and boot mean nothing */
	bool track_dirty;	     /* for incremental snapshots */
	const uint32_t *working_set; /* with restore: pairs as of api/proto/working_set.h... */
	size_t working_set_count;    /* ...of numbers */
	bool rng;
	bool console;
	bool balloon;
	struct virtio_balloon_options balloon_options;
	enum gmem_pages pages;
	struct cpu_template cpu; /* all zero = nothing to narrow */
};

struct copier;

struct vm {
	struct gmem gmem;
	struct vcpu_world world;
	struct vcpu vcpus[VCPUS_MAX];
	unsigned vcpus_count;
	struct virtio_dev *devices[VM_DEVICES_MAX];
	unsigned devices_count;
	struct virtio_dev *drives[VMM_DRIVES_MAX]; /* of devices: blk or pmem */
	unsigned drives_count;
	struct virtio_dev *nics[VM_NICS_MAX]; /* of devices */
	unsigned nics_count;
	struct virtio_dev *console; /* one of devices, or NULL */
	struct virtio_dev *vsock;   /* one of devices, or NULL */
	struct copier *copier;	    /* NULL: no marks are kept */
	struct genid genid;
	uint64_t pauses;
	uint32_t guest_cid;
	uint8_t snapshot[16];	    /* the id of the last one; zeros = none yet */
	bool restored;		    /* vm_start resumes... */
	uint64_t clock_ns;	    /* ...at this time of the guest */
	struct virtio_dev *balloon; /* one of devices, or NULL */
};

/* Everything that can be wrong with a configuration by itself: 0 or -EINVAL with err. Pure. */
MUST_USE int vm_check_config(const struct vm_config *cfg, struct err *err);

/*
 * Builds the VM from the descriptors of vmm_fds.h, up to vCPU threads that wait for vm_start; its
 * devices are served on `loop`. Closes the descriptors that are not needed any more. vm is zeroed
 * memory that lives as long as the process. 0, -EINVAL (the caller's or the files' fault) or
 * another -errno, with err.
 */
MUST_USE int vm_build(struct vm *vm, const struct vm_config *cfg, struct loop *loop,
		      struct result *result, struct err *err);
/* Lets it run, from its first instruction or from where the snapshot was taken. 0, or
 * -errno with err. */
MUST_USE int vm_start(struct vm *vm, struct err *err);
/* Stops vCPUs and devices: when vm_pause has returned, no thread touches guest memory until
 * vm_resume. The guest's clocks run on. */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
/* Gets the vCPUs out of the guest for good; after the result is set. */
void vm_halt(struct vm *vm);

#endif
