/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - one more certificate authority that the guest's programs believe: that of the sandbox's
 * own egress proxy, where its policy sets headers in requests by TLS.
 *
 * It becomes a file of its own, which update-ca-certificates(8) takes up again, and the end of the
 * bundle that OpenSSL, GnuTLS and curl read, behind a line of ours: a later one takes its place.
 * Programs with a bundle of their own are told by the environment. One that pins its server's key
 * believes nobody: its connections fail.
 */
#ifndef AGENT_TRUST_H
#define AGENT_TRUST_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/agent.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

#define TRUST_PEM_MAX	 4096U
#define TRUST_BUNDLE_MAX (2U * 1024U * 1024U)

/* For all that is started from now on. 0; -EINVAL: no certificate's text; -errno; and *err. */
MUST_USE int trust_apply(struct agent *a, const char *pem, struct err *err);

/* Its parts, for tests. */

/* The bundle anew: what of the old one isn't ours, and pem. *ret_others: there was something. 0 or
 * -EFBIG, -ENOMEM. Pure. */
MUST_USE int trust_make_bundle(const char *old, size_t len, const char *pem, struct buf *out,
			       bool *ret_others);
/* The two files below the directory root. */
MUST_USE int trust_install(int root, const char *pem, bool *ret_others, struct err *err);

#endif
