/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_fds.h - the descriptors of a casemate-vmm, at fixed numbers: the ABI between jailer and
 * VMM, and what the seccomp policies compare against. Nothing else is open in the process.
 */
#ifndef VMM_VMM_FDS_H
#define VMM_VMM_FDS_H

/* Left by the jailer (0 and 1 are /dev/null, 2 is the log pipe). */
#define VMM_FD_CONTROL 3 /* ttrpc, api/proto/vmm.proto */
#define VMM_FD_KVM     4 /* /dev/kvm; closed once the VM exists */
#define VMM_FD_KERNEL  5 /* read-only; closed once loaded */
#define VMM_FD_INITRD  6 /* read-only, optional; closed once loaded */
#define VMM_FD_DRIVE0  8 /* drives: 8..15 */
#define VMM_DRIVES_MAX 8

/* Pinned by the VMM itself before the filters go on. */
#define VMM_FD_VM 16
/* Left by the jailer, to restore: gmem_attach_file. It stays open for gmem_learn_zeros. */
#define VMM_FD_MEMORY 17
#define VMM_FD_STATE  18 /* the same: the state file; closed once loaded */
/* The same, when the memory lies in two files: gmem_attach_split. */
#define VMM_FD_REST 21
/* Left by the jailer, optional: a SOCK_SEQPACKET, non-blocking, of which each message is one byte
 * and a non-blocking control socket, which replaces the one before (control_handover.c). */
#define VMM_FD_HANDOVER 19
/* Left by the jailer, optional: what KVM offers a guest, struct kvm_cpuid_entry2 one behind the
 * other. Read while the VM is built, then closed. Without it KVM is asked. */
#define VMM_FD_CPUID  20
#define VMM_FD_TAP0   24 /* left by the jailer: tap queues, 24..31 */
#define VMM_TAPS_MAX  8
#define VMM_FD_VCPU0  32 /* vCPUs: 32..63, so that a filter can test (fd & ~31) == 32 */
#define VMM_VCPUS_MAX 32

/* Everything that is made while running (connections, eventfds) is numbered from here... */
#define VMM_FD_DYNAMIC 64
/* ...to here: the jail's RLIMIT_NOFILE, and the filters know no higher number. */
#define VMM_FD_END 256

#endif
