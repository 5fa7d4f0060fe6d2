/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/credential.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/random.h>

#include "base/bug.h"

#define KEY_PREFIX	 "e2b_"
#define TOKEN_PREFIX	 "ea_"
#define SIGNATURE_PREFIX "v1_"
#define TOKEN_BYTES	 20U
#define KEY_MAX		 128U

_Static_assert(CREDENTIAL_HASH_BYTES == crypto_hash_sha256_BYTES, "a hash is a SHA-256");

static void put_hex(char *dst, const uint8_t *src, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*dst++ = digits[src[i] >> 4];
		*dst++ = digits[src[i] & 15];
	}
	*dst = '\0';
}

void credential_key_make(char key[CREDENTIAL_KEY_LEN + 1])
{
	uint8_t raw[TOKEN_BYTES];

	BUG_ON(getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw));
	memcpy(key, KEY_PREFIX, sizeof(KEY_PREFIX));
	put_hex(key + strlen(KEY_PREFIX), raw, sizeof(raw));
	explicit_bzero(raw, sizeof(raw));
}

int credential_key_hash(const char *text, uint8_t hash[CREDENTIAL_HASH_BYTES])
{
	crypto_hash_sha256_state ctx;
	size_t len = strlen(text);

	if (len == 0 || len > KEY_MAX)
		return -EINVAL;
	(void)crypto_hash_sha256_init(&ctx);
	(void)crypto_hash_sha256_update(&ctx, (const uint8_t *)text, len);
	(void)crypto_hash_sha256_final(&ctx, hash);
	return 0;
}

void credential_token(const uint8_t secret[CREDENTIAL_SECRET_BYTES], enum credential_use use,
		      const char *id, char token[CREDENTIAL_TOKEN_LEN + 1])
{
	static const char *const labels[] = {
		[CREDENTIAL_ACCESS] = "access:",
		[CREDENTIAL_TRAFFIC] = "traffic:",
		[CREDENTIAL_UPLOAD] = "upload:",
	};
	crypto_auth_hmacsha256_state ctx;
	uint8_t raw[crypto_hash_sha256_BYTES];

	(void)crypto_auth_hmacsha256_init(&ctx, secret, CREDENTIAL_SECRET_BYTES);
	(void)crypto_auth_hmacsha256_update(&ctx, (const uint8_t *)labels[use],
					    strlen(labels[use]));
	(void)crypto_auth_hmacsha256_update(&ctx, (const uint8_t *)id, strlen(id));
	(void)crypto_auth_hmacsha256_final(&ctx, raw);
	memcpy(token, TOKEN_PREFIX, sizeof(TOKEN_PREFIX));
	put_hex(token + strlen(TOKEN_PREFIX), raw, TOKEN_BYTES);
	explicit_bzero(&ctx, sizeof(ctx));
	explicit_bzero(raw, sizeof(raw));
}

static void feed(crypto_hash_sha256_state *ctx, const char *text)
{
	(void)crypto_hash_sha256_update(ctx, (const uint8_t *)text, strlen(text));
}

void credential_sign(const struct credential_url *u, const char *token,
		     char signature[CREDENTIAL_SIGNATURE_LEN + 1])
{
	crypto_hash_sha256_state ctx;
	uint8_t raw[crypto_hash_sha256_BYTES];

	(void)crypto_hash_sha256_init(&ctx);
	feed(&ctx, u->path);
	feed(&ctx, ":");
	feed(&ctx, u->operation);
	feed(&ctx, ":");
	feed(&ctx, u->user);
	feed(&ctx, ":");
	feed(&ctx, token);
	if (u->expiration != NULL) {
		feed(&ctx, ":");
		feed(&ctx, u->expiration);
	}
	(void)crypto_hash_sha256_final(&ctx, raw);
	memcpy(signature, SIGNATURE_PREFIX, sizeof(SIGNATURE_PREFIX));
	(void)sodium_bin2base64(signature + strlen(SIGNATURE_PREFIX),
				CREDENTIAL_SIGNATURE_LEN + 1 - strlen(SIGNATURE_PREFIX), raw,
				sizeof(raw), sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

bool credential_equal(const char *want, const char *got)
{
	size_t len = strlen(want);

	return strlen(got) == len && sodium_memcmp(want, got, len) == 0;
}
