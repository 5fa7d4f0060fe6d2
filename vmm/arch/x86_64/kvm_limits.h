/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm_limits.h - what KVM is told to withhold from this VM, or to watch it for, where the host's
 * KVM and processor can: the table in kvm_limits.c has each with its reason.
 */
#ifndef VMM_ARCH_X86_64_KVM_LIMITS_H
#define VMM_ARCH_X86_64_KVM_LIMITS_H

#include "base/compiler.h"
#include "base/err.h"

/* On a VM that has no vCPUs yet. What the host doesn't have is left out; a refusal of what it has
 * is an error: 0 or -errno with err. */
MUST_USE int kvm_limits_set(int vm_fd, struct err *err);

#endif
