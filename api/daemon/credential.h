/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential.h - API keys, the tokens of sandboxes, and signatures of URLs. Pure but for the random
 * numbers of a new key. Any thread.
 *
 * A key is "e2b_" and 40 hexadecimal digits of randomness (the form that published SDKs check).
 * Only its SHA-256 is kept: 160 random bits need no slow hash. A sandbox's tokens are HMAC-SHA-256
 * of its id under the store's secret: nothing is kept for each, and they are the same after a
 * restart.
 */
#ifndef API_DAEMON_CREDENTIAL_H
#define API_DAEMON_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define CREDENTIAL_KEY_LEN	 44U
#define CREDENTIAL_HASH_BYTES	 32U
#define CREDENTIAL_SECRET_BYTES	 32U
#define CREDENTIAL_TOKEN_LEN	 43U /* "ea_" and 40 digits */
#define CREDENTIAL_SIGNATURE_LEN 46U /* "v1_" and 43 of base64 */

void credential_key_make(char key[CREDENTIAL_KEY_LEN + 1]);
/* 0, or -EINVAL when text can't be a key of anybody's. */
MUST_USE int credential_key_hash(const char *text, uint8_t hash[CREDENTIAL_HASH_BYTES]);

enum credential_use {
	CREDENTIAL_ACCESS,  /* to the sandbox's agent */
	CREDENTIAL_TRAFFIC, /* to the other ports */
	CREDENTIAL_UPLOAD,  /* build_upload.h; the id says of what */
};

/* The token of the sandbox with this id. */
void credential_token(const uint8_t secret[CREDENTIAL_SECRET_BYTES], enum credential_use use,
		      const char *id, char token[CREDENTIAL_TOKEN_LEN + 1]);

/* What a signed URL is about; texts as in its query, "" where one is absent. */
struct credential_url {
	const char *path;
	const char *operation; /* "read" or "write" */
	const char *user;
	const char *expiration; /* NULL = none */
};
void credential_sign(const struct credential_url *u, const char *token,
		     char signature[CREDENTIAL_SIGNATURE_LEN + 1]);

/* Are the two texts the same? Takes as long for all texts of got's length. */
bool credential_equal(const char *want, const char *got);

#endif
