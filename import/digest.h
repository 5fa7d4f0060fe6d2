/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest.h - "sha256:" and 64 lower-case hexadecimal digits. Pure; any thread.
 *
 * The hashing itself is SHA256_Init, _Update and _Final of OpenSSL. Not SHA256() and not EVP: those
 * load a provider and read a configuration file at their first call, which confine() forbids.
 */
#ifndef IMPORT_DIGEST_H
#define IMPORT_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define DIGEST_HEX_MAX	65 /* with the NUL */
#define DIGEST_TEXT_MAX 72 /* with "sha256:" */

struct digest {
	uint8_t bytes[32];
};

void digest_of(const void *data, size_t len, struct digest *ret);
/* 64 digits, nothing else: 0, -EINVAL. */
MUST_USE int digest_parse_hex(const char *text, struct digest *ret);
/* With "sha256:" before them. Other algorithms are -EINVAL. */
MUST_USE int digest_parse(const char *text, struct digest *ret);
void digest_hex(const struct digest *d, char ret[DIGEST_HEX_MAX]);
void digest_text(const struct digest *d, char ret[DIGEST_TEXT_MAX]);
bool digest_equal(const struct digest *a, const struct digest *b);

#endif
