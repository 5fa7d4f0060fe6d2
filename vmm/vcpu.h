/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.h - one virtual CPU and its thread, which does nothing but KVM_RUN and answer its exits.
 *
 * The thread is made while the VM is built; it puts its seccomp filter on, reports, and waits for
 * vcpus_run. It ends when the VM has a result. To get it out of the guest, vcpus_kick sends it a
 * signal that is blocked except inside KVM_RUN, so that no handler ever runs and no kick is lost.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/bus.h"
#include "vmm/ioapic.h"
#include "vmm/result.h"

#define VCPUS_MAX 8U

/* What a vCPU's exits reach. Belongs to the VM. */
struct vcpu_world {
	struct bus mmio;
	struct bus pio;
	struct ioapic ioapic;
	struct result *result;
	/* The gate in front of KVM_RUN. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned ready; /* threads that have their filter; with lock */
	int failed;	/* -errno of one that couldn't; with lock */
	bool open;	/* vcpus_run; with lock */
};

struct vcpu {
	struct vcpu_world *world;
	unsigned index;
	int fd; /* VMM_FD_VCPU0 + index */
	struct kvm_run *run;
	size_t run_bytes;
	pthread_t thread;
	pid_t pid; /* for tgkill */
	pid_t tid; /* set before the thread reports */
};

/* Makes vCPU `index` of the VM and pins its descriptor. 0 or -errno with err. */
MUST_USE int vcpu_init(struct vcpu *v, struct vcpu_world *w, int kvm_fd, int vm_fd, unsigned index,
		       struct err *err);
/* Starts the threads and waits until each has its filter. */
MUST_USE int vcpus_start_threads(struct vcpu *vcpus, unsigned count, struct err *err);
/* Opens the gate. */
void vcpus_run(struct vcpu_world *w);
/* Gets all vCPUs out of the guest; call after the result is set. They don't go back. */
void vcpus_kick(struct vcpu *vcpus, unsigned count);

#endif
