/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/context.h"

#include <errno.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <time.h>

#include "api/tls/profile.h"

int context_prepare(struct err *err)
{
	static const uint64_t how = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT |
				    OPENSSL_INIT_LOAD_SSL_STRINGS |
				    OPENSSL_INIT_LOAD_CRYPTO_STRINGS;
	SSL_CTX *ctx = OPENSSL_init_ssl(how, NULL) == 1 ? SSL_CTX_new(TLS_server_method()) : NULL;
	unsigned char some[16];
	int ok = ctx != NULL && RAND_bytes(some, sizeof(some)) == 1 &&
		 RAND_priv_bytes(some, sizeof(some)) == 1;

	SSL_CTX_free(ctx);
	/* For times of certificates the C library reads the time zone, once. */
	tzset();
	return ok ? 0 : err_set(err, -EIO, "OpenSSL: can't be set up");
}

int context_new(const struct pair *p, SSL_CTX **ret, int64_t *ret_end, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int r;

	if (ctx == NULL)
		return err_set(err, -ENOMEM, "OpenSSL: no memory");
	profile_serve_http11(ctx);
	if (!profile_apply(ctx))
		r = err_set(err, -EIO, "OpenSSL: without what is to be offered");
	else
		r = pair_use(p, ctx, ret_end, err);
	if (r < 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	*ret = ctx;
	return 0;
}
