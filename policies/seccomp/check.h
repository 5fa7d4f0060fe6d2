/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - proof that a filter says what its policy says: the BPF program is run in a small
 * interpreter against the text, on every number and on the edges of every condition. It doesn't
 * trust libseccomp, and it keeps a policy that libseccomp would silently widen from being built.
 */
#ifndef POLICIES_SECCOMP_CHECK_H
#define POLICIES_SECCOMP_CHECK_H

#include <linux/filter.h>

#include "policies/seccomp/policy.h"

/* false with a message on stderr. *ret_cases: how many calls were compared. */
MUST_USE bool check_filter(const struct policy *p, const struct sock_filter *f, size_t len,
			   size_t *ret_cases);

#endif
