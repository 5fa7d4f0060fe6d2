/* SPDX-License-Identifier: Apache-2.0 */
/* context.h - what casemate-tls offers to clients: TLS 1.2 and 1.3, HTTP/1.1, no resumption. */
#ifndef API_TLS_CONTEXT_H
#define API_TLS_CONTEXT_H

#include "api/tls/pair.h"

/* Before a filter forbids what OpenSSL's set-up does. Reads no configuration. 0 or -EIO, *err. */
MUST_USE int context_prepare(struct err *err);
/* For SSL_CTX_free. *ret_end as pair_use has it. 0 or -errno and *err. Wants context_prepare. */
MUST_USE int context_new(const struct pair *p, SSL_CTX **ret, int64_t *ret_end, struct err *err);

#endif
