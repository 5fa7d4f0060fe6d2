/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_filters.c - in the place of vmm/seccomp.c and base/landlock.c in a casemate-vmm that is built
 * with sanitizers, whose runtime needs system calls and files that the real filters rightly refuse.
 * The linker takes these objects first and leaves those of the library alone. Part of no product.
 */
#include "base/landlock.h"
#include "vmm/seccomp.h"

int vmm_seccomp_install(enum seccomp_role role)
{
	(void)role;
	return 0;
}

int landlock_deny_all(int *ret_abi)
{
	*ret_abi = 0;
	return 0;
}

/* The sanitizer's allocator has no such knobs and says so; main.c insists. */
int __wrap_mallopt(int param, int value);

int __wrap_mallopt(int param, int value)
{
	(void)param;
	(void)value;
	return 1;
}
