/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/context.h"

#include <errno.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>
#include <time.h>

/* Forward secrecy and authenticated encryption only. TLS 1.3 has nothing else. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/*
 * Tickets and a cache would save a returning client one signature, and would keep a key for them or
 * a table that clients fill. A client that can't be told apart from its last visit is worth more.
 */
#define OPTIONS                                                                         \
	(SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |           \
	 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_SSLv3 | \
	 SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1)

/* Buffers of an idle connection go back; what is left of a write may be tried from anywhere. */
#define MODES                                                       \
	(SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | \
	 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER)

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

/* A client that says what it speaks has to speak HTTP/1.1; casemated knows nothing else. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
			   const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char http11[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, http11, sizeof(http11) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

int context_new(const struct pair *p, SSL_CTX **ret, int64_t *ret_end, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int r;

	if (ctx == NULL)
		return err_set(err, -ENOMEM, "OpenSSL: no memory");
	(void)SSL_CTX_set_options(ctx, OPTIONS);
	(void)SSL_CTX_set_mode(ctx, MODES);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1 || SSL_CTX_set_num_tickets(ctx, 0) != 1)
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
