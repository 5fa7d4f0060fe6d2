/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/cpuid.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/fd.h"

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3; Debian 12's headers are older */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static union {
	struct kvm_cpuid2 h;
	unsigned char
		room[sizeof(struct kvm_cpuid2) + CPUID_OFFER_MAX * sizeof(struct kvm_cpuid_entry2)];
} offer;

static int make_memfd(void)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("casemate-cpuid", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("casemate-cpuid", flags);
	return fd < 0 ? -errno : fd;
}

int cpuid_offer(int kvm, struct err *err)
{
	CLEANUP(fd_closep) int fd = make_memfd();
	char path[32];
	int r;

	if (fd < 0)
		return err_sys(err, fd, "cpuid: memfd");
	offer.h.nent = CPUID_OFFER_MAX;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &offer) < 0)
		return err_sys(err, -errno, "KVM_GET_SUPPORTED_CPUID");
	r = fd_write_full(fd, offer.h.entries, offer.h.nent * sizeof(offer.h.entries[0]));
	if (r < 0)
		return err_sys(err, r, "cpuid: memfd");
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return err_sys(err, -errno, "cpuid: seals");
	/* For reading only, which is all that the VMM's domain may do with it. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, O_RDONLY | O_CLOEXEC);
	return r < 0 ? err_sys(err, -errno, "cpuid: memfd") : r;
}
