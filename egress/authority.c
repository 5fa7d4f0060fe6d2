/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/authority.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/tls/profile.h"
#include "base/num.h"
#include "egress/limits.h"

#define DAY	  86400L
#define OWN_DAYS  397
#define LEAF_DAYS 7 /* longer than any connection; browsers take no more than 398 */

struct authority {
	EVP_PKEY *key, *leaf_key; /* one key serves for all names: they have one owner */
	X509 *own;
	SSL_CTX *server, *client;
	char pem[AUTHORITY_PEM_MAX];
};

static void x509_freep(X509 **x)
{
	X509_free(*x);
}
static void bio_freep(BIO **b)
{
	BIO_free_all(*b);
}
static void ctx_freep(SSL_CTX **c)
{
	SSL_CTX_free(*c);
}
static void text_freep(char **p)
{
	free(*p);
}

/* ---- Certificates --------------------------------------------------------------------------- */

/* From yesterday on: the guest's clock is its own. */
static bool fill_in(X509 *x, EVP_PKEY *key, const char *subject, int days)
{
	return X509_set_version(x, X509_VERSION_3) == 1 && profile_set_serial(x) &&
	       X509_gmtime_adj(X509_getm_notBefore(x), -DAY) != NULL &&
	       X509_gmtime_adj(X509_getm_notAfter(x), days * DAY) != NULL &&
	       X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
					  (const unsigned char *)subject, -1, -1, 0) == 1 &&
	       X509_set_pubkey(x, key) == 1;
}

static bool make_own(struct authority *a)
{
	char subject[64];
	uint8_t id[8];
	CLEANUP(bio_freep) BIO *out = BIO_new(BIO_s_mem());
	int n;

	if (out == NULL || RAND_bytes(id, sizeof(id)) != 1)
		return false;
	/* A name of its own, so that two of them are never taken for one. */
	(void)snprintf(subject, sizeof(subject),
		       "Casemate sandbox %02x%02x%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2],
		       id[3], id[4], id[5], id[6], id[7]);
	if (!fill_in(a->own, a->key, subject, OWN_DAYS) ||
	    X509_set_issuer_name(a->own, X509_get_subject_name(a->own)) != 1 ||
	    !profile_add_extension(a->own, a->own, NID_basic_constraints,
				   "critical,CA:TRUE,pathlen:0") ||
	    !profile_add_extension(a->own, a->own, NID_key_usage, "critical,keyCertSign") ||
	    !profile_add_extension(a->own, a->own, NID_subject_key_identifier, "hash") ||
	    X509_sign(a->own, a->key, EVP_sha256()) == 0 || PEM_write_bio_X509(out, a->own) != 1)
		return false;
	n = BIO_read(out, a->pem, sizeof(a->pem) - 1);
	a->pem[n > 0 ? n : 0] = '\0';
	return n > 0 && BIO_pending(out) == 0;
}

/* name is normalized: nothing in it means anything to OpenSSL's syntax. */
static X509 *make_leaf(struct authority *a, const char *name)
{
	CLEANUP(x509_freep) X509 *x = X509_new();
	char names[EGRESS_NAME_MAX + 8];
	X509 *ret;

	(void)snprintf(names, sizeof(names), "DNS:%s", name);
	/* The subject is a word: a name may be longer than a CN, and isn't looked for there. */
	if (x == NULL || !fill_in(x, a->leaf_key, "Casemate", LEAF_DAYS) ||
	    X509_set_issuer_name(x, X509_get_subject_name(a->own)) != 1 ||
	    !profile_add_extension(x, a->own, NID_basic_constraints, "critical,CA:FALSE") ||
	    !profile_add_extension(x, a->own, NID_key_usage, "critical,digitalSignature") ||
	    !profile_add_extension(x, a->own, NID_ext_key_usage, "serverAuth") ||
	    !profile_add_extension(x, a->own, NID_authority_key_identifier, "keyid:always") ||
	    !profile_add_extension(x, a->own, NID_subject_alt_name, names) ||
	    X509_sign(x, a->key, EVP_sha256()) == 0)
		return NULL;
	ret = x;
	x = NULL;
	return ret;
}

/* ---- The host's bundle ---------------------------------------------------------------------- */

static int read_roots(int fd, char **ret, size_t *ret_len, struct err *err)
{
	CLEANUP(text_freep) char *text = malloc(AUTHORITY_ROOTS_BYTES);
	size_t have = 0;
	ssize_t n;

	if (text == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	/* By position: others have the same open file. */
	while (have < AUTHORITY_ROOTS_BYTES &&
	       (n = pread(fd, text + have, AUTHORITY_ROOTS_BYTES - have, (off_t)have)) != 0) {
		if (n < 0)
			return err_sys(err, -errno, "the host's authorities");
		have += (size_t)n;
	}
	if (have == AUTHORITY_ROOTS_BYTES)
		return err_set(err, -EFBIG, "the host's authorities: more than %u bytes",
			       AUTHORITY_ROOTS_BYTES - 1);
	*ret = text;
	*ret_len = have;
	text = NULL;
	return 0;
}

static int load_roots(struct authority *a, int fd, struct err *err)
{
	CLEANUP(text_freep) char *text = NULL;
	CLEANUP(bio_freep) BIO *in = NULL;
	X509_STORE *store = SSL_CTX_get_cert_store(a->client);
	unsigned count = 0;
	size_t len = 0;
	unsigned long e;
	int r = read_roots(fd, &text, &len, err);

	if (r < 0)
		return r;
	in = BIO_new_mem_buf(text, (int)len);
	if (in == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	for (; count < AUTHORITY_ROOTS_MAX; count++) {
		CLEANUP(x509_freep) X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);

		if (x == NULL)
			break;
		if (X509_STORE_add_cert(store, x) != 1)
			return profile_fail(err, -ENOMEM, "the host's authorities");
	}
	e = ERR_peek_last_error();
	ERR_clear_error();
	/* The only good end is that no other begins. */
	if (count == 0 || ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
		return err_set(err, -EINVAL, "the host's authorities: not %s PEM texts",
			       count == 0 ? "" : "only");
	return 0;
}

/* ---- Ends of TLS ---------------------------------------------------------------------------- */

static SSL_CTX *make_context(const SSL_METHOD *method)
{
	CLEANUP(ctx_freep) SSL_CTX *ctx = SSL_CTX_new(method);
	SSL_CTX *ret;

	if (ctx == NULL || !profile_apply(ctx))
		return NULL;
	ret = ctx;
	ctx = NULL;
	return ret;
}

static bool make_contexts(struct authority *a)
{
	static const unsigned char http11[] = PROFILE_HTTP11;

	a->server = make_context(TLS_server_method());
	a->client = make_context(TLS_client_method());
	if (a->server == NULL || a->client == NULL)
		return false;
	profile_serve_http11(a->server);
	SSL_CTX_set_verify(a->client, SSL_VERIFY_PEER, NULL);
	/* 0 is success here. */
	return SSL_CTX_set_alpn_protos(a->client, http11, PROFILE_HTTP11_LEN) == 0;
}

SSL *authority_server(struct authority *a, const char *name)
{
	CLEANUP(x509_freep) X509 *leaf = make_leaf(a, name);
	SSL *ssl = SSL_new(a->server);

	if (leaf == NULL || ssl == NULL || SSL_use_certificate(ssl, leaf) != 1 ||
	    SSL_use_PrivateKey(ssl, a->leaf_key) != 1) {
		ERR_clear_error();
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return ssl;
}

SSL *authority_client(struct authority *a, const char *name)
{
	SSL *ssl = SSL_new(a->client);
	char copy[EGRESS_NAME_MAX + 1]; /* OpenSSL's macro wants no const */

	(void)snprintf(copy, sizeof(copy), "%s", name);
	if (ssl != NULL)
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
					       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	/* Both: which certificate it shows, and which one we take. */
	if (ssl == NULL || SSL_set_tlsext_host_name(ssl, copy) != 1 ||
	    SSL_set1_host(ssl, name) != 1) {
		ERR_clear_error();
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}

/* ---- Its life ------------------------------------------------------------------------------- */

const char *authority_certificate(const struct authority *a)
{
	return a->pem;
}

void authority_free(struct authority *a)
{
	if (a == NULL)
		return;
	SSL_CTX_free(a->server);
	SSL_CTX_free(a->client);
	X509_free(a->own);
	EVP_PKEY_free(a->leaf_key);
	EVP_PKEY_free(a->key);
	free(a);
}

int authority_new(int roots, struct authority **ret, struct err *err)
{
	static const uint64_t how = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT;
	struct authority *a = calloc(1, sizeof(*a));
	int r = 0;

	if (a == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	if (OPENSSL_init_ssl(how, NULL) != 1)
		r = profile_fail(err, -EIO, "OpenSSL");
	if (r == 0) {
		a->key = EVP_EC_gen("P-256");
		a->leaf_key = EVP_EC_gen("P-256");
		a->own = X509_new();
		if (a->key == NULL || a->leaf_key == NULL || a->own == NULL || !make_own(a) ||
		    !make_contexts(a))
			r = profile_fail(err, -EIO, "the sandbox's authority");
	}
	if (r == 0)
		r = load_roots(a, roots, err);
	if (r < 0) {
		authority_free(a);
		return r;
	}
	*ret = a;
	return 0;
}
