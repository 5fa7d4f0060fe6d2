/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.h - one virtual CPU and its thread, which does nothing but KVM_RUN and answer its exits.
 *
 * The thread is made while the VM is built; it puts its seccomp filter on, reports, and waits at
 * the gate for vcpus_run. vcpus_pause closes the gate again and gets every vCPU there; before one
 * waits, it has KVM finish the instruction whose exit was answered last, so that the registers are
 * whole. The thread ends when the VM has a result.
 *
 * To get it out of the guest it is sent a signal (a kick) that is blocked except inside KVM_RUN, so
 * that no handler ever runs and no kick is lost; the thread then takes the signal off its queue.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/bus.h"
#include "vmm/ioapic.h"
#include "vmm/result.h"

struct cpuid;

#define VCPUS_MAX 32U

/* What exits are counted by. */
enum vcpu_exit {
	VCPU_EXIT_MMIO,
	VCPU_EXIT_IO,
	VCPU_EXIT_EOI,	    /* of a level-triggered interrupt, for our IOAPIC */
	VCPU_EXIT_INTR,	    /* a kick */
	VCPU_EXIT_BUS_LOCK, /* the guest locked the bus (kvm_limits.c) */
	VCPU_EXIT_NOTIFY,   /* it kept events out for too long */
	VCPU_EXIT_SHUTDOWN,
	VCPU_EXIT_INTERNAL_ERROR,
	VCPU_EXIT_FAIL_ENTRY,
	VCPU_EXIT_OTHER, /* any other: it ends the VM */
	VCPU_EXIT_COUNT
};

/* What a vCPU's exits reach. Belongs to the VM. */
struct vcpu_world {
	struct bus mmio;
	struct bus pio;
	struct ioapic ioapic;
	struct result *result;
	/* The gate in front of KVM_RUN. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned ready;	 /* threads that have their filter; with lock */
	int failed;	 /* -errno of one that couldn't; with lock */
	unsigned parked; /* threads that wait at the gate or have ended; with lock */
	bool open;	 /* written with lock; read without, atomic */
};

struct vcpu {
	struct vcpu_world *world;
	unsigned index;
	int fd;		     /* VMM_FD_VCPU0 + index */
	struct cpuid *cpuid; /* what KVM was given; the VM's builder sets it */
	struct kvm_run *run;
	size_t run_bytes;
	pthread_t thread;
	pid_t pid;			 /* for tgkill */
	pid_t tid;			 /* set before the thread reports */
	uint64_t exits[VCPU_EXIT_COUNT]; /* written by the thread alone, atomic for readers */
};

/* Makes vCPU `index` of the VM and pins its descriptor. 0 or -errno with err. */
MUST_USE int vcpu_init(struct vcpu *v, struct vcpu_world *w, int kvm_fd, int vm_fd, unsigned index,
		       struct err *err);
/* Starts the threads and waits until each has its filter. */
MUST_USE int vcpus_start_threads(struct vcpu *vcpus, unsigned count, struct err *err);
/* Opens the gate. */
void vcpus_run(struct vcpu_world *w);
/* Closes it, and returns when no vCPU is in the guest or answers an exit. Devices must be able to
 * serve vCPUs until it has returned. */
void vcpus_pause(struct vcpu *vcpus, unsigned count);
/* Gets all vCPUs out of the guest; after the result is set they don't go back. */
void vcpus_kick(struct vcpu *vcpus, unsigned count);
/* How often this kind of exit happened, and its name in GetMetrics. Any thread. */
uint64_t vcpu_exits(const struct vcpu *v, enum vcpu_exit exit);
const char *vcpu_exit_name(enum vcpu_exit exit);

#endif
