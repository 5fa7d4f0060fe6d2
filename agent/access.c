/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/access.h"

#include <errno.h>
#include <limits.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <string.h>

#include "agent/json/base64.h"
#include "base/num.h"

#define SIGNED_MAX (PATH_MAX + 1024)
#define PREFIX	   "v1_"

static bool same(const char *a, const char *b)
{
	const size_t len = strlen(a);

	return strlen(b) == len && sodium_memcmp(a, b, len) == 0;
}

bool access_token_is(const char *token, const char *given)
{
	return token[0] == '\0' || (given != NULL && same(token, given));
}

int access_sign(const char *path, const char *operation, const char *user, const char *token,
		const char *expiration, char dst[ACCESS_SIGNATURE_MAX])
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	char text[SIGNED_MAX], *end;
	int n = snprintf(text, sizeof(text), "%s:%s:%s:%s%s%s", path, operation, user, token,
			 expiration != NULL ? ":" : "", expiration != NULL ? expiration : "");

	if (n < 0 || (size_t)n >= sizeof(text))
		return -ENAMETOOLONG;
	(void)crypto_hash_sha256(hash, (const uint8_t *)text, strlen(text));
	sodium_memzero(text, sizeof(text));
	memcpy(dst, PREFIX, sizeof(PREFIX));
	end = dst + sizeof(PREFIX) - 1;
	base64_encode(hash, sizeof(hash), end);
	end += BASE64_LEN(sizeof(hash));
	while (end[-1] == '=')
		end--;
	*end = '\0';
	return 0;
}
_Static_assert(sizeof(PREFIX) + BASE64_LEN(crypto_hash_sha256_BYTES) <= ACCESS_SIGNATURE_MAX,
	       "it fits");

int access_check_signature(const char *signature, const char *path, const char *operation,
			   const char *user, const char *token, const char *expiration,
			   uint64_t now_s, struct err *err)
{
	char want[ACCESS_SIGNATURE_MAX];
	uint64_t end;

	if (signature == NULL)
		return err_set(err, -EACCES, "missing signature query parameter");
	if (access_sign(path != NULL ? path : "", operation, user != NULL ? user : "", token,
			expiration, want) < 0 ||
	    !same(want, signature))
		return err_set(err, -EACCES, "invalid signature");
	/* The expiration is signed, so it is looked at last. */
	if (expiration != NULL && (parse_u64(expiration, 0, UINT64_MAX, &end) < 0 || end < now_s))
		return err_set(err, -EACCES, "signature is already expired");
	return 0;
}
