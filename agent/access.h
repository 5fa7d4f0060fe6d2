/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.h - may this HTTP request be served? The access token of the sandbox, or for /files a
 * signature over path, operation and user, made by somebody who knows the token. Comparisons take
 * the same time wherever the texts differ.
 */
#ifndef AGENT_ACCESS_H
#define AGENT_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define ACCESS_SIGNATURE_MAX 64

/* Is given (NULL = the request has none) the token? True for any when token is "". */
bool access_token_is(const char *token, const char *given);

/* "v1_" and the base64 (no padding) of SHA-256 of PATH:OPERATION:USER:TOKEN[:EXPIRATION];
 * expiration NULL = none. Pure. 0, -ENAMETOOLONG. */
MUST_USE int access_sign(const char *path, const char *operation, const char *user,
			 const char *token, const char *expiration, char dst[ACCESS_SIGNATURE_MAX]);

/* Does the signature of a request fit, at this time (seconds since 1970)? 0, -EACCES with the
 * reason. Arguments that the request lacks are NULL. */
MUST_USE int access_check_signature(const char *signature, const char *path, const char *operation,
				    const char *user, const char *token, const char *expiration,
				    uint64_t now_s, struct err *err);

#endif
