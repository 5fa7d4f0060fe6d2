/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authority.h - the sandbox's own certificate authority, and what is told from it: our ends of TLS.
 *
 * Towards the guest we are the server of a name, with a certificate that this authority signs for
 * it on the spot; towards the server of that name we are a client that believes the host's bundle
 * of authorities, and nothing else. The authority's key is made here, leaves the process in no form
 * and ends with it; its certificate allows no further authorities. Both ends speak TLS 1.2 or 1.3
 * and HTTP/1.1 only, resume nothing and keep no session.
 *
 * The loop's thread. OpenSSL reads no file and no configuration.
 */
#ifndef EGRESS_AUTHORITY_H
#define EGRESS_AUTHORITY_H

#include <openssl/types.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"

#define AUTHORITY_ROOTS_BYTES (1024U * 1024U) /* of the bundle */
#define AUTHORITY_ROOTS_MAX   1024U	      /* certificates in it */
#define AUTHORITY_PEM_MAX     2048U	      /* ours as text, with its NUL */

struct authority;

/*
 * roots: a file with the authorities that servers may have theirs from, as PEM texts; read from its
 * beginning, not kept. 0; -EINVAL: there is no certificate in it, or what isn't one; -EFBIG;
 * -ENOMEM; -errno; and *err.
 */
MUST_USE int authority_new(int roots, struct authority **ret, struct err *err);
/* NULL is fine. */
void authority_free(struct authority *a);

/* Its certificate, which isn't a secret, for who is to trust it. Lives as long as a. */
const char *authority_certificate(const struct authority *a);

/* An end of TLS in accept state, as the server of name (normalized). The caller's; NULL = no
 * memory. */
MUST_USE SSL *authority_server(struct authority *a, const char *name);
/* An end of TLS in connect state, to the server of name: the handshake fails unless its certificate
 * is good for that. The caller's; NULL = no memory. */
MUST_USE SSL *authority_client(struct authority *a, const char *name);

#endif
