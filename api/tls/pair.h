/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pair.h - a certificate and its private key as PEM text: made, checked, and put to use.
 *
 * Pure but for the clock and random bytes; OpenSSL's parsers read what an operator or we ourselves
 * have written, never what came from a network. Any thread.
 */
#ifndef API_TLS_PAIR_H
#define API_TLS_PAIR_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define PAIR_PEM_MAX	65536U /* either text, with its NUL */
#define PAIR_CHAIN_MAX	8U     /* certificates above the first */
#define PAIR_VALID_DAYS 397U   /* browsers take no more than 398 */

/* Texts with a NUL. The key's is a secret: pair_clear. */
struct pair {
	char certificate[PAIR_PEM_MAX];
	char key[PAIR_PEM_MAX];
};

void pair_clear(struct pair *p);

/*
 * A new P-256 key and a certificate signed with itself: for localhost, this host's loopback
 * addresses, and for each of names for itself and whatever stands one label before it. Valid from
 * an hour before `now` (seconds since 1970) for PAIR_VALID_DAYS. 0 or -errno and *err.
 */
MUST_USE int pair_make(struct pair *p, const char *const *names, size_t names_count, int64_t now,
		       struct err *err);
/*
 * Uses it in ctx: the first certificate is the server's and its key the other text's, the rest is
 * its chain. *ret_end: when the first one of them ends, in seconds since 1970. 0, -EINVAL (no such
 * texts, an encrypted key, a key of another certificate) or -ENOMEM, and *err. A ctx that failed is
 * good for nothing any more.
 */
MUST_USE int pair_use(const struct pair *p, SSL_CTX *ctx, int64_t *ret_end, struct err *err);
/* Is it good for these names? As pair_make would have it, in any order. Any failure is a no. */
bool pair_is_for(const struct pair *p, const char *const *names, size_t names_count);

#endif
