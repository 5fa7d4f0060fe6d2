/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - accepts the guest's connections and keeps at most so many of them as flows.
 * When there are as many, the rest waits in the kernel's queue. The loop's thread.
 */
#ifndef EGRESS_PROXY_H
#define EGRESS_PROXY_H

#include <stddef.h>

#include "base/compiler.h"
#include "egress/egress.h"

#define PROXY_LISTENERS_MAX 4U

struct proxy;

/* max: at most EGRESS_FLOWS_MAX. */
MUST_USE int proxy_new(struct egress *e, size_t max, struct proxy **ret);
/* Resets all connections. NULL is fine. */
void proxy_free(struct proxy *p);
/* fd: listening, non-blocking, not owned; at most PROXY_LISTENERS_MAX. */
MUST_USE int proxy_listen(struct proxy *p, int fd);
/* Puts another policy in the place of the present one, which is freed, and ends what it doesn't
 * allow any more. How many that were. */
size_t proxy_set_policy(struct proxy *p, struct policy *policy);
size_t proxy_count(const struct proxy *p);

#endif
