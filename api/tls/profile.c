/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/profile.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* Forward secrecy and authenticated encryption only. TLS 1.3 has nothing else. */
#define CIPHERS	    "ECDHE+AESGCM:ECDHE+CHACHA20"
#define SERIAL_BITS 127 /* positive, and within RFC 5280's 20 bytes */

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

bool profile_apply(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_options(ctx, OPTIONS);
	(void)SSL_CTX_set_mode(ctx, MODES);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1 && SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
			   const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char http11[] = PROFILE_HTTP11;
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, http11, PROFILE_HTTP11_LEN, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

void profile_serve_http11(SSL_CTX *ctx)
{
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
}

int profile_fail(struct err *err, int code, const char *what)
{
	unsigned long e = ERR_get_error();
	const char *why = e == 0 ? NULL : ERR_reason_error_string(e);

	ERR_clear_error();
	return err_set(err, code, "%s: %s", what, why == NULL ? "failed" : why);
}

bool profile_set_serial(X509 *x)
{
	BIGNUM *n = BN_new();
	bool ok = n != NULL && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;

	BN_free(n);
	return ok;
}

bool profile_add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e != NULL && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}
