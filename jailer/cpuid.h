/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.h - what this host's KVM offers a guest (KVM_GET_SUPPORTED_CPUID), asked for once and given
 * to every VMM. The answer is made of CPUID instructions; where the host is itself a guest, each is
 * an exit to its own host, and all together take longer than making a VM (0.46 ms of a processor on
 * the development machine).
 */
#ifndef JAILER_CPUID_H
#define JAILER_CPUID_H

#include "base/compiler.h"
#include "base/err.h"

#define CPUID_OFFER_MAX 128U /* entries, as the VMM has room for */

/* The entries (struct kvm_cpuid_entry2, one behind the other) in a memfd that is sealed against
 * every change, open for reading only: the caller's; or -errno. kvm: /dev/kvm. */
MUST_USE int cpuid_offer(int kvm, struct err *err);

#endif
