/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile.h - what every end of TLS of ours has in common, casemate-tls's and casemate-egress's:
 * TLS 1.2 and 1.3, forward secrecy, no resumption, HTTP/1.1; and the parts of a certificate that is
 * made. Any thread.
 */
#ifndef API_TLS_PROFILE_H
#define API_TLS_PROFILE_H

#include <openssl/types.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

/* As a list of names on the wire (RFC 7301). */
#define PROFILE_HTTP11	   "\x08http/1.1"
#define PROFILE_HTTP11_LEN (sizeof(PROFILE_HTTP11) - 1)

/* False: OpenSSL is without what is to be offered. */
MUST_USE bool profile_apply(SSL_CTX *ctx);
/* A client that says what it speaks has to speak HTTP/1.1. */
void profile_serve_http11(SSL_CTX *ctx);

/* OpenSSL's oldest complaint about `what`, which is the cause, and no complaints left: code. */
int profile_fail(struct err *err, int code, const char *what);

/* A random serial number: false = no memory or no randomness. */
MUST_USE bool profile_set_serial(X509 *x);
/* value: OpenSSL's syntax (x509v3_config(5)), so ours or checked. False: it can't be added. */
MUST_USE bool profile_add_extension(X509 *x, X509 *issuer, int nid, const char *value);

#endif
