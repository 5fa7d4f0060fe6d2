/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - puts a filter that casemate_seccomp() compiled on the calling thread.
 *
 *     #include "seccomp/vmm_vcpu.h"           from policies/seccomp/vmm-vcpu.policy
 *     r = SECCOMP_INSTALL(seccomp_vmm_vcpu, 0);
 */
#ifndef POLICIES_SECCOMP_FILTER_H
#define POLICIES_SECCOMP_FILTER_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"

/*
 * Needs no_new_privs. flags: 0, or SECCOMP_FILTER_FLAG_TSYNC for all threads of the process.
 * 0 or -errno; with TSYNC, -ESRCH when some thread could not follow.
 */
MUST_USE static inline int seccomp_install(const struct sock_filter *f, size_t len, unsigned flags)
{
	struct sock_fprog prog = { .len = (unsigned short)len };
	long r;

	/* The kernel only reads it; the field is not const for history's sake. */
	prog.filter = (struct sock_filter *)(size_t)f;
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (r < 0)
		return -errno;
	return r > 0 ? -ESRCH : 0;
}

/* A sanitizer's runtime needs calls that no policy of ours allows: a build with one is for tests,
 * and has no filters (CMakeLists.txt). */
#ifdef CASEMATE_NO_FILTERS
#define SECCOMP_INSTALL(array, flags) ((void)(array), (void)(flags), 0)
#else
#define SECCOMP_INSTALL(array, flags) seccomp_install((array), ARRAY_SIZE(array), (flags))
#endif

#endif
