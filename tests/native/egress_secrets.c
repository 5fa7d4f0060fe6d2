/* SPDX-License-Identifier: Apache-2.0 */
/* The real casemate-egress, with servers that speak TLS: a rule's headers reach the server that
 * they are for, and nobody else. */
#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api/tls/pair.h"
#include "base/fd.h"
#include "tests/native/egress_rig.h"

#define RULES                                                                                      \
	"{'allow_internet_access': true, 'rules': {'api.example.org': [{'transform': {'headers': " \
	"{'Authorization': 'Bearer s3cret'}}}], '*.example': [{'transform': {'headers': "          \
	"{'X-Key': 's3cret'}}}]}}"

static struct rig rig;
static char ours[4096]; /* the sandbox's certificate, as the program has told it */
static char seen[RIG_TEXT_MAX];

/* ---- The world ------------------------------------------------------------------------------ */

struct secure_server {
	int fd;
	SSL_CTX *ctx;
	const char *extra; /* more header lines of its answers */
};

static ssize_t read_head(SSL *ssl, char *buf, size_t cap)
{
	size_t have = 0, n;

	while (have < cap - 1 && SSL_read_ex(ssl, buf + have, cap - 1 - have, &n) == 1) {
		have += n;
		buf[have] = '\0';
		if (strstr(buf, "\r\n\r\n") != NULL)
			return (ssize_t)have;
	}
	return -1;
}

/* One request each, whose head is the answer's body. */
static void *serve(void *arg)
{
	struct secure_server *s = arg;
	static char head[65536], text[65536 + 256];
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		SSL *ssl = SSL_new(s->ctx);
		ssize_t n;

		(void)SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) == 1 && (n = read_head(ssl, head, sizeof(head))) > 0) {
			int len = snprintf(text, sizeof(text),
					   "HTTP/1.1 200 OK\r\n%sContent-Length: %zd\r\n\r\n%s",
					   s->extra, n, head);

			(void)SSL_write(ssl, text, len);
			(void)SSL_shutdown(ssl);
		}
		SSL_free(ssl);
		close(fd);
	}
	return NULL;
}

/* A certificate for name, and whatever is one label below it. */
static struct pair *make_pair(const char *name)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	struct err err = { 0 };

	cr_assert_eq(pair_make(pair, &name, 1, time(NULL), &err), 0, "%s", err.msg);
	return pair;
}

/* A server at address, which shows this certificate. */
static void serve_with(const char *address, const struct pair *pair, const char *extra)
{
	struct secure_server *s = calloc(1, sizeof(*s));
	struct err err = { 0 };
	int64_t end;
	pthread_t t;

	s->ctx = SSL_CTX_new(TLS_server_method());
	s->extra = extra;
	cr_assert_eq(pair_use(pair, s->ctx, &end, &err), 0, "%s", err.msg);
	net_world_address(&rig.world.net, address);
	s->fd = net_socket(&rig.world.net, NET_WORLD, SOCK_STREAM, address, 443);
	cr_assert_eq(pthread_create(&t, NULL, serve, s), 0);
	(void)pthread_detach(t);
}

/* Puts the policy in force; the certificate that the guest is to trust is `ours` then. */
static void policy_with_certificate(const char *policy)
{
	char text[4096];
	json_t *answer;

	(void)snprintf(text, sizeof(text), "{'policy': {'resolvers': ['%s'], %s}", WORLD_DNS,
		       policy + 1);
	for (char *p = text; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	answer = rig_control(&rig, text);
	cr_assert_not_null(json_object_get(answer, "certificate"), "%s",
			   json_string_value(json_object_get(answer, "error")));
	(void)snprintf(ours, sizeof(ours), "%s",
		       json_string_value(json_object_get(answer, "certificate")));
	json_decref(answer);
}

static void start(void)
{
	struct pair *believed = make_pair("example.org"), *unknown = make_pair("other.example");

	rig_start(&rig, NULL);
	rig.roots = memfd_create("roots", MFD_CLOEXEC);
	cr_assert_gt(rig.roots, 0);
	cr_assert_eq(fd_write_full(rig.roots, believed->certificate, strlen(believed->certificate)),
		     0);
	serve_with("8.1.1.1", believed, "");
	serve_with("8.1.1.2", believed,
		   "Location: https://other.example/\r\nConnection: close\r\n");
	serve_with("8.1.1.3", unknown, "");
	free(believed);
	free(unknown);
	policy_with_certificate(RULES);
}

static void stop(void)
{
	cr_assert(rig_stop(&rig));
}

TestSuite(egress_secrets, .init = start, .timeout = 60);

/* ---- The guest ------------------------------------------------------------------------------ */

static SSL_CTX *guest_context(const char *trusts)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new_mem_buf(trusts, -1);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);

	cr_assert_not_null(x);
	cr_assert_eq(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x), 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	X509_free(x);
	BIO_free(in);
	return ctx;
}

static void read_all(SSL *ssl)
{
	size_t have = 0, n;

	while (have < sizeof(seen) - 1 &&
	       SSL_read_ex(ssl, seen + have, sizeof(seen) - 1 - have, &n) == 1)
		have += n;
	seen[have] = '\0';
}

/* A request by TLS to name, as request has it: what is read to the end is in `seen`. 0; 1: no
 * handshake; 2: no connection. protocols: ALPN, or NULL. */
static int talk(const char *address, const char *name, const char *trusts, const char *protocols,
		const char *request)
{
	CLEANUP(fd_closep) int fd = net_dial(&rig.world.net, address, 443);
	const struct timeval patience = { .tv_sec = 10 };
	SSL_CTX *ctx = guest_context(trusts);
	SSL *ssl = SSL_new(ctx);
	int r = 1;

	seen[0] = '\0';
	ERR_clear_error();
	if (fd < 0)
		return 2;
	cr_assert_eq(fd_set_nonblock(fd, false), 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)SSL_set_fd(ssl, fd);
	cr_assert_eq(SSL_set_tlsext_host_name(ssl, name), 1);
	cr_assert_eq(SSL_set1_host(ssl, name), 1);
	if (protocols != NULL)
		cr_assert_eq(SSL_set_alpn_protos(ssl, (const unsigned char *)protocols,
						 (unsigned)strlen(protocols)),
			     0);
	if (SSL_connect(ssl) == 1) {
		r = 0;
		(void)SSL_write(ssl, request, (int)strlen(request));
		read_all(ssl);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return r;
}

#define REQUEST(host) \
	"GET / HTTP/1.1\r\nHost: " host "\r\nauthorization: mine\r\nConnection: close\r\n\r\n"

Test(egress_secrets, reach_the_server_that_they_are_for)
{
	cr_assert_eq(talk("8.1.1.2", "api.example.org", ours, NULL, REQUEST("api.example.org")), 0);
	cr_assert_not_null(strstr(seen, "\r\nAuthorization: Bearer s3cret\r\n"), "%s", seen);
	cr_assert_null(strstr(seen, "mine"));
	/* Whatever address the guest dials: it goes to the name. */
	cr_assert_eq(talk("8.1.1.3", "api.example.org", ours, "\x02h2\x08http/1.1",
			  REQUEST("API.example.org:443")),
		     0);
	cr_assert_not_null(strstr(seen, "s3cret"), "%s", seen);
	cr_assert_eq(rig_count(&rig, "requests_with_headers_set"), 2);
	stop();
}

Test(egress_secrets, a_name_without_headers_keeps_its_own_tls)
{
	/* Its certificate is the world's and not ours, so nobody has looked inside. */
	cr_assert_eq(talk("8.1.1.1", "example.org", ours, NULL, REQUEST("example.org")), 1);
	cr_assert_eq(rig_count(&rig, "connections_connected"), 1);
	cr_assert_eq(rig_count(&rig, "requests_with_headers_set"), 0);
	stop();
}

Test(egress_secrets, go_to_no_server_that_is_not_who_it_says)
{
	/* other.example is below the rule's name, and its server's certificate is unknown. */
	cr_assert_eq(talk("8.1.1.3", "other.example", ours, NULL, REQUEST("other.example")), 1);
	cr_assert_eq(rig_count(&rig, "requests_with_headers_set"), 0);
	cr_assert_eq(rig_count(&rig, "connections_denied_name"), 1);
	/* long.example is 8.1.1.1, whose certificate is good, but for another name. */
	cr_assert_eq(talk("8.1.1.1", "long.example", ours, NULL, REQUEST("long.example")), 1);
	cr_assert_eq(rig_count(&rig, "connections_denied_name"), 2);
	/* The way itself is open. */
	cr_assert_eq(talk("8.1.1.2", "api.example.org", ours, NULL, REQUEST("api.example.org")), 0);
	cr_assert_not_null(strstr(seen, "s3cret"));
	stop();
}

Test(egress_secrets, every_request_names_the_same_server)
{
	static const char *const bad[] = {
		REQUEST("example.org"),
		REQUEST("example.org") REQUEST("api.example.org"),
		"GET https://example.org/ HTTP/1.1\r\nHost: api.example.org\r\nHost: x\r\n\r\n",
		"TRACE / HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
		"CONNECT api.example.org:443 HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(talk("8.1.1.2", "api.example.org", ours, NULL, bad[i]), 0);
		cr_assert_null(strstr(seen, "s3cret"), "%s: %s", bad[i], seen);
	}
	stop();
}

Test(egress_secrets, only_http_1_and_only_who_trusts)
{
	char theirs[4096];

	cr_assert_eq(talk("8.1.1.2", "api.example.org", ours, "\x02h2", REQUEST("api.example.org")),
		     1);
	/* A new sandbox's authority is another one. */
	memcpy(theirs, ours, sizeof(theirs));
	policy_with_certificate(RULES);
	cr_assert_str_eq(ours, theirs, "the same process, the same authority");
	cr_assert(rig_stop(&rig));
	rig_start(&rig, NULL);
	policy_with_certificate(RULES);
	cr_assert_str_neq(ours, theirs);
	stop();
}

Test(egress_secrets, without_authorities_there_is_no_tls)
{
	CLEANUP(fd_closep) int bad = memfd_create("bad", MFD_CLOEXEC);
	int good = rig.roots;
	json_t *answer;

	cr_assert(rig_stop(&rig));
	rig_start(&rig, NULL);
	rig.roots = bad;
	cr_assert_eq(fd_write_full(bad, "nonsense\n", 9), 0);
	answer = rig_control(&rig, "{\"policy\": {\"rules\": {\"a.example\": [{\"transform\": "
				   "{\"headers\": {\"X\": \"s3cret\"}}}]}}}");
	cr_assert_not_null(
		strstr(json_string_value(json_object_get(answer, "error")), "authorities"));
	json_decref(answer);
	rig.roots = 0;
	rig_policy(&rig, RULES);
	cr_assert_str_eq(rig_hello(&rig, "8.1.1.2", 443, "api.example.org", 0), "alert");
	rig.roots = good;
	policy_with_certificate(RULES);
	stop();
}

Test(egress_secrets, a_policy_ends_what_it_forbids)
{
	CLEANUP(fd_closep) int fd = net_dial(&rig.world.net, "8.1.1.2", 443);
	SSL_CTX *ctx = guest_context(ours);
	SSL *ssl = SSL_new(ctx);

	cr_assert_eq(fd_set_nonblock(fd, false), 0);
	(void)SSL_set_fd(ssl, fd);
	cr_assert_eq(SSL_set_tlsext_host_name(ssl, "api.example.org"), 1);
	cr_assert_eq(SSL_connect(ssl), 1);
	cr_assert_eq(rig_policy(&rig, RULES), 0, "allowed as before");
	cr_assert_eq(rig_policy(&rig, "{'allowOut': ['example.org'], 'denyOut': ['0.0.0.0/0']}"),
		     1);
	read_all(ssl);
	cr_assert_str_eq(seen, "");
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	stop();
}
