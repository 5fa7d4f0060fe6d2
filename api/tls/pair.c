/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/pair.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "api/tls/profile.h"
#include "base/buf.h"
#include "base/num.h"

#define NAMES_TEXT_MAX 16384U

void pair_clear(struct pair *p)
{
	OPENSSL_cleanse(p, sizeof(*p));
}

static void bio_freep(BIO **b)
{
	BIO_free_all(*b);
}
static void x509_freep(X509 **x)
{
	X509_free(*x);
}
static void pkey_freep(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

/* Otherwise OpenSSL would ask on the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

/* ---- Making --------------------------------------------------------------------------------- */

static bool append(struct buf *b, const char *text)
{
	return buf_put(b, text, strlen(text)) == 0;
}

/* With its NUL. options_parse has checked the names: nothing in them means anything to OpenSSL's
 * syntax. */
static bool write_names(struct buf *b, const char *const *names, size_t count)
{
	bool ok = append(b, "DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1");

	for (size_t i = 0; i < count && ok; i++)
		ok = append(b, ",DNS:") && append(b, names[i]) && append(b, ",DNS:*.") &&
		     append(b, names[i]);
	return ok && buf_put(b, "", 1) == 0;
}

static bool add_extensions(X509 *x, const char *const *names, size_t count)
{
	struct buf text;
	bool ok;

	buf_init(&text, NAMES_TEXT_MAX);
	ok = write_names(&text, names, count) &&
	     profile_add_extension(x, x, NID_basic_constraints, "critical,CA:FALSE") &&
	     profile_add_extension(x, x, NID_key_usage, "critical,digitalSignature") &&
	     profile_add_extension(x, x, NID_ext_key_usage, "serverAuth") &&
	     profile_add_extension(x, x, NID_subject_key_identifier, "hash") &&
	     profile_add_extension(x, x, NID_subject_alt_name, (const char *)buf_head(&text));
	buf_done(&text);
	return ok;
}

static bool fill_in(X509 *x, EVP_PKEY *key, int64_t now)
{
	X509_NAME *name = X509_get_subject_name(x);
	time_t t = (time_t)now;

	return X509_set_version(x, X509_VERSION_3) == 1 && profile_set_serial(x) &&
	       X509_time_adj_ex(X509_getm_notBefore(x), 0, -3600, &t) != NULL &&
	       X509_time_adj_ex(X509_getm_notAfter(x), PAIR_VALID_DAYS, -3600, &t) != NULL &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					  (const unsigned char *)"Casemate on this host", -1, -1,
					  0) == 1 &&
	       X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1;
}

static bool take_text(BIO *b, char text[PAIR_PEM_MAX])
{
	int n = BIO_read(b, text, PAIR_PEM_MAX - 1);

	text[n > 0 ? n : 0] = '\0';
	return n > 0 && BIO_pending(b) == 0;
}

int pair_make(struct pair *p, const char *const *names, size_t names_count, int64_t now,
	      struct err *err)
{
	CLEANUP(pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	CLEANUP(x509_freep) X509 *x = X509_new();
	/* The key's text is wiped when it is freed. */
	CLEANUP(bio_freep) BIO *cert_out = BIO_new(BIO_s_mem());
	CLEANUP(bio_freep) BIO *key_out = BIO_new(BIO_s_secmem());

	ERR_clear_error();
	if (key == NULL || x == NULL || cert_out == NULL || key_out == NULL)
		return profile_fail(err, -ENOMEM, "certificate");
	if (!fill_in(x, key, now) || !add_extensions(x, names, names_count) ||
	    X509_sign(x, key, EVP_sha256()) == 0)
		return profile_fail(err, -EIO, "certificate: signing");
	if (PEM_write_bio_X509(cert_out, x) != 1 || !take_text(cert_out, p->certificate) ||
	    PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) != 1 ||
	    !take_text(key_out, p->key)) {
		pair_clear(p);
		return profile_fail(err, -EIO, "certificate: writing");
	}
	return 0;
}

/* ---- Using ---------------------------------------------------------------------------------- */

static BIO *reader(const char text[PAIR_PEM_MAX])
{
	return BIO_new_mem_buf(text, (int)strnlen(text, PAIR_PEM_MAX));
}

static int note_end(const X509 *x, int64_t *end, struct err *err)
{
	struct tm tm;
	int64_t t;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
		return profile_fail(err, -EINVAL, "certificate: its end");
	t = (int64_t)timegm(&tm);
	*end = MIN(*end, t);
	return 0;
}

/* Whatever follows the last certificate must be none: the end of the text, not a broken one. */
static int check_rest(struct err *err)
{
	unsigned long e = ERR_peek_last_error();

	if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
		return profile_fail(err, -EINVAL, "certificate");
	ERR_clear_error();
	return 0;
}

static int use_chain(BIO *in, SSL_CTX *ctx, int64_t *end, struct err *err)
{
	for (unsigned i = 0;; i++) {
		CLEANUP(x509_freep) X509 *x = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
		int r;

		if (x == NULL)
			return check_rest(err);
		if (i == PAIR_CHAIN_MAX)
			return err_set(err, -EINVAL, "certificate: a chain of more than %u",
				       PAIR_CHAIN_MAX);
		r = note_end(x, end, err);
		if (r < 0)
			return r;
		if (SSL_CTX_add1_chain_cert(ctx, x) != 1)
			return profile_fail(err, -EINVAL, "certificate: its chain");
	}
}

int pair_use(const struct pair *p, SSL_CTX *ctx, int64_t *ret_end, struct err *err)
{
	CLEANUP(bio_freep) BIO *cert_in = reader(p->certificate);
	CLEANUP(bio_freep) BIO *key_in = reader(p->key);
	CLEANUP(x509_freep) X509 *x = NULL;
	CLEANUP(pkey_freep) EVP_PKEY *key = NULL;
	int64_t end = INT64_MAX;
	int r;

	ERR_clear_error();
	if (cert_in == NULL || key_in == NULL)
		return profile_fail(err, -ENOMEM, "certificate");
	x = PEM_read_bio_X509(cert_in, NULL, no_passphrase, NULL);
	if (x == NULL)
		return profile_fail(err, -EINVAL, "certificate");
	key = PEM_read_bio_PrivateKey(key_in, NULL, no_passphrase, NULL);
	if (key == NULL)
		return profile_fail(err, -EINVAL, "key");
	r = note_end(x, &end, err);
	if (r < 0)
		return r;
	if (SSL_CTX_use_certificate(ctx, x) != 1)
		return profile_fail(err, -EINVAL, "certificate");
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return profile_fail(err, -EINVAL, "key");
	r = use_chain(cert_in, ctx, &end, err);
	if (r == 0)
		*ret_end = end;
	return r;
}

/* ---- Names ---------------------------------------------------------------------------------- */

static bool has_name(const GENERAL_NAMES *all, const char *prefix, const char *name)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
		const size_t p = strlen(prefix);
		const char *text;
		size_t len;

		if (g->type != GEN_DNS)
			continue;
		text = (const char *)ASN1_STRING_get0_data(g->d.dNSName);
		len = (size_t)ASN1_STRING_length(g->d.dNSName);
		if (len == p + strlen(name) && memcmp(text, prefix, p) == 0 &&
		    memcmp(text + p, name, len - p) == 0)
			return true;
	}
	return false;
}

bool pair_is_for(const struct pair *p, const char *const *names, size_t names_count)
{
	CLEANUP(bio_freep) BIO *in = reader(p->certificate);
	CLEANUP(x509_freep)
	X509 *x = in == NULL ? NULL : PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
	GENERAL_NAMES *all =
		x == NULL ? NULL : X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	bool ok = all != NULL;

	ERR_clear_error();
	for (size_t i = 0; i < names_count && ok; i++)
		ok = has_name(all, "", names[i]) && has_name(all, "*.", names[i]);
	/* localhost with its wildcard and the two addresses. A name that is wanted no longer has to
	 * go, too. */
	ok = ok && sk_GENERAL_NAME_num(all) == (int)(4 + 2 * names_count);
	GENERAL_NAMES_free(all);
	return ok;
}
