/* SPDX-License-Identifier: Apache-2.0 */
/* casemate-tls's certificate: made, kept, renewed, and what of an operator's is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/tls/context.h"
#include "api/tls/files.h"
#include "base/fd.h"
#include "base/num.h"

#define NOW INT64_C(1800000000)
#define DAY INT64_C(86400)

static char dir[] = "/tmp/casemate-tls.XXXXXX";
static struct pair pair, other;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
}

static void tear_down(void)
{
	static const char *const names[] = { "tls.key", "tls.crt", "tls.key.new", "tls.crt.new" };
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	cr_assert_eq(rmdir(dir), 0, "something was left in %s", dir);
}

/* Of the first certificate: does a client that asks for this name take it? */
static bool is_for(const struct pair *p, const char *name)
{
	BIO *in = BIO_new_mem_buf(p->certificate, -1);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	int r = X509_check_host(x, name, 0, 0, NULL);

	if (r == 0)
		r = X509_check_ip_asc(x, name, 0);
	X509_free(x);
	BIO_free(in);
	return r == 1;
}

static int use(const struct pair *p, int64_t *end)
{
	SSL_CTX *ctx = NULL;
	struct err err = { 0 };
	int r = context_new(p, &ctx, end, &err);

	cr_assert_eq(r == 0, ctx != NULL);
	cr_assert_eq(r < 0, err.code < 0, "%s", err.msg);
	SSL_CTX_free(ctx);
	return r;
}

Test(tls_pair, make)
{
	static const char *const names[] = { "casemate.localhost", "sandboxes.example.org" };
	struct err err;
	int64_t end = 0;

	cr_assert_eq(pair_make(&pair, names, 2, NOW, &err), 0, "%s", err.msg);
	cr_assert_eq(use(&pair, &end), 0);
	cr_assert_eq(end, NOW - 3600 + (int64_t)PAIR_VALID_DAYS * DAY);
	cr_assert(is_for(&pair, "localhost"));
	cr_assert(is_for(&pair, "127.0.0.1"));
	cr_assert(is_for(&pair, "::1"));
	cr_assert(is_for(&pair, "casemate.localhost"));
	cr_assert(is_for(&pair, "49983-iaaaaaaaaaaaaaaaaaaa.casemate.localhost"));
	cr_assert(is_for(&pair, "3000-i.sandboxes.example.org"));
	cr_assert(!is_for(&pair, "example.org"));
	cr_assert(!is_for(&pair, "a.b.casemate.localhost"));
	cr_assert(pair_is_for(&pair, names, 2));
	cr_assert(!pair_is_for(&pair, names, 1), "a name that is not wanted any more");
	cr_assert(!pair_is_for(&pair, NULL, 0));
	/* Each has a key of its own. */
	cr_assert_eq(pair_make(&other, names, 2, NOW, &err), 0);
	cr_assert_str_neq(pair.key, other.key);
	memcpy(other.certificate, pair.certificate, sizeof(other.certificate));
	cr_assert_eq(use(&other, &end), -EINVAL, "a key of another certificate");
}

Test(tls_pair, most_names)
{
	static char text[OPTIONS_NAMES_MAX][231];
	const char *names[OPTIONS_NAMES_MAX];
	struct err err;

	for (size_t i = 0; i < OPTIONS_NAMES_MAX; i++) {
		for (size_t k = 0; k < 230; k++)
			text[i][k] = k % 58 == 57 ? '.' : (char)('a' + i);
		names[i] = text[i];
	}
	cr_assert_eq(pair_make(&pair, names, OPTIONS_NAMES_MAX, NOW, &err), 0, "%s", err.msg);
	cr_assert(pair_is_for(&pair, names, OPTIONS_NAMES_MAX));
}

static void put_text(char *at, const char *text)
{
	const size_t len = strlen(text);

	cr_assert_lt(len, PAIR_PEM_MAX);
	memcpy(at, text, len + 1);
}

Test(tls_pair, refused)
{
	static const char encrypted[] = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
					"DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
					"AAAAAAAAAAAAAAAAAAAAAA==\n-----END EC PRIVATE KEY-----\n";
	struct err err;
	int64_t end = 7;
	size_t len;

	cr_assert_eq(pair_make(&pair, NULL, 0, NOW, &err), 0);
	other = pair;
	put_text(other.key, "");
	cr_assert_eq(use(&other, &end), -EINVAL);
	put_text(other.key, encrypted); /* asks nobody for a passphrase: there is no terminal */
	cr_assert_eq(use(&other, &end), -EINVAL);
	put_text(other.key, pair.certificate);
	cr_assert_eq(use(&other, &end), -EINVAL);
	other = pair;
	put_text(other.certificate, "");
	cr_assert_eq(use(&other, &end), -EINVAL);
	put_text(other.certificate, pair.key);
	cr_assert_eq(use(&other, &end), -EINVAL);
	/* A chain that is cut off is not a shorter one. */
	other = pair;
	len = strlen(pair.certificate);
	memcpy(other.certificate + len, pair.certificate, len / 2);
	cr_assert_eq(use(&other, &end), -EINVAL);
	memcpy(other.certificate + len, pair.certificate, len);
	cr_assert_eq(end, 7, "set on failure");
	cr_assert_eq(use(&other, &end), 0);
	for (unsigned i = 2; i <= PAIR_CHAIN_MAX + 1; i++)
		memcpy(other.certificate + i * len, pair.certificate, len + 1);
	cr_assert_eq(use(&other, &end), -EINVAL, "longer than it may be");
}

static int load(const struct options *o, int64_t now, bool *made)
{
	struct err err = { 0 };
	int64_t end = 0;
	int r = files_load(o, now, &pair, &end, made, &err);

	cr_assert_eq(r < 0, err.code < 0 && err.msg[0] != '\0');
	cr_assert(r < 0 || end > now);
	return r;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

Test(tls_pair, kept_and_renewed, .init = set_up, .fini = tear_down)
{
	struct options o = { .state = dir, .names = { "casemate.localhost" }, .names_count = 1 };
	char key[64], cert[64];
	struct stat st;
	bool made;

	snprintf(key, sizeof(key), "%s/tls.key", dir);
	snprintf(cert, sizeof(cert), "%s/tls.crt", dir);
	cr_assert_eq(load(&o, NOW, &made), 0);
	cr_assert(made);
	cr_assert_eq(stat(key, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	cr_assert_eq(stat(cert, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0644);
	other = pair;
	cr_assert_eq(load(&o, NOW + 300 * DAY, &made), 0);
	cr_assert(!made);
	cr_assert_str_eq(pair.key, other.key);
	/* In time, and for other names. */
	cr_assert_eq(load(&o, NOW + 368 * DAY, &made), 0);
	cr_assert(made);
	cr_assert_str_neq(pair.key, other.key);
	o.names[0] = "example.org";
	cr_assert_eq(load(&o, NOW + 368 * DAY, &made), 0);
	cr_assert(made);
	/* What a crash may leave, and what somebody may have made of the key. */
	write_file(key, other.key, 0600);
	cr_assert_eq(load(&o, NOW + 368 * DAY, &made), 0);
	cr_assert(made);
	cr_assert_eq(chmod(key, 0604), 0);
	cr_assert_eq(load(&o, NOW + 368 * DAY, &made), 0);
	cr_assert(made, "a key that others could read is none any more");
	cr_assert_eq(load(&o, NOW + 368 * DAY, &made), 0);
	cr_assert(!made);
}

Test(tls_pair, of_an_operator, .init = set_up, .fini = tear_down)
{
	char key[64], cert[64];
	struct options o = { .state = "/nonexistent", .certificate = cert, .key = key };
	struct err err;
	bool made;

	snprintf(key, sizeof(key), "%s/tls.key", dir);
	snprintf(cert, sizeof(cert), "%s/tls.crt", dir);
	cr_assert_eq(pair_make(&other, NULL, 0, NOW, &err), 0);
	cr_assert_eq(load(&o, NOW, &made), -ENOENT);
	write_file(cert, other.certificate, 0644);
	write_file(key, other.key, 0640);
	cr_assert_eq(load(&o, NOW, &made), 0);
	cr_assert(!made);
	for (mode_t m = 1; m < 0100; m <<= 1) {
		/* Execution by the group tells nobody anything. */
		cr_assert_eq(chmod(key, 0600 | m), 0);
		cr_assert_eq(load(&o, NOW, &made), m == 0040 || m == 0010 ? 0 : -EPERM, "mode %o",
			     0600 | m);
	}
	write_file(key, "", 0600);
	cr_assert_eq(load(&o, NOW, &made), -EINVAL);
	o.key = dir;
	cr_assert_eq(load(&o, NOW, &made), -EINVAL, "a directory");
}
