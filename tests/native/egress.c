/* SPDX-License-Identifier: Apache-2.0 */
/* The real casemate-egress in namespaces of its own: what reaches the world, and what doesn't. Each
 * refusal stands beside what shows that the way itself is open. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tests/native/egress_rig.h"
#include "tests/native/proc.h"

static struct rig rig;

static void start(void)
{
	rig_start(&rig, NULL);
	world_serve(&rig.world, "8.1.1.1", 80);
	world_serve(&rig.world, "8.1.1.1", 443);
	world_serve(&rig.world, "8.1.1.2", 80);
	world_serve(&rig.world, "8.1.1.2", 443);
	world_serve(&rig.world, "8.1.1.3", 80);
}

/* The last line of each case: Criterion counts nothing that goes wrong in a .fini. */
static void stop(void)
{
	cr_assert(rig_stop(&rig));
}

TestSuite(egress, .init = start, .timeout = 60);

#define GET(address, host)   rig_get(&rig, address, 80, host, "")
#define HELLO(address, name) rig_hello(&rig, address, 443, name, 0)

#define NAMED "{'allowOut': ['example.org', '*.example.org'], 'denyOut': ['0.0.0.0/0']}"

Test(egress, without_a_policy_nothing_passes)
{
	char text[256];

	cr_assert_str_eq(GET("8.1.1.1", "example.org"), "");
	cr_assert_eq(rig_ask(&rig, "example.org", DNS_TYPE_A, false, text, sizeof(text)),
		     DNS_REFUSED);
	rig_policy(&rig, "{}");
	cr_assert_str_eq(GET("8.1.1.1", "example.org"), "");
	rig_policy(&rig, "{'allow_internet_access': true}");
	cr_assert_str_eq(GET("8.1.1.1", "example.org"), "8.1.1.1");
	stop();
}

Test(egress, names_of_http)
{
	rig_policy(&rig, NAMED);
	cr_assert_str_eq(GET("8.1.1.1", "example.org"), "8.1.1.1");
	cr_assert_str_eq(GET("8.1.1.1", "EXAMPLE.org:80"), "8.1.1.1");
	cr_assert_str_eq(GET("8.1.1.2", "api.example.org"), "8.1.1.2");
	cr_assert_str_eq(GET("8.1.1.3", "other.example"), "403");
	cr_assert_str_eq(GET("8.1.1.1", "other.example"), "403", "the allowed one's address");
	cr_assert_str_eq(GET("8.1.1.1", "8.1.1.1"), "403");
	/* What the guest dialled doesn't matter: it goes to the name. */
	cr_assert_str_eq(GET("8.1.1.3", "example.org"), "8.1.1.1");
	cr_assert_str_eq(GET("10.9.9.9", "example.org"), "8.1.1.1");
	cr_assert_geq(rig_count(&rig, "connections_denied_policy") +
			      rig_count(&rig, "connections_denied_name"),
		      3);
	stop();
}

Test(egress, what_is_no_http)
{
	rig_policy(&rig, NAMED);
	cr_assert_leq(rig_exchange(&rig, "8.1.1.1", 80, "ssh\r\n\r\n", 7, rig_text), 0);
	cr_assert_leq(rig_exchange(&rig, "8.1.1.1", 80, "GET / HTTP/1.1\nHost: example.org\n\n", 34,
				   rig_text),
		      0);
	cr_assert_leq(rig_exchange(&rig, "8.1.1.1", 80,
				   "GET / HTTP/1.1\r\nHost: example.org\r\nHost: a.b\r\n\r\n", 49,
				   rig_text),
		      0);
	/* To an address that is allowed by itself, any bytes may go. */
	rig_policy(&rig, "{'allowOut': ['example.org', '8.1.1.1/32'], 'denyOut': ['0.0.0.0/0']}");
	cr_assert_gt(rig_exchange(&rig, "8.1.1.1", 80, "ssh\r\n\r\n", 7, rig_text), 0);
	cr_assert_str_eq(rig_text, "8.1.1.1ssh\r\n\r\n");
	stop();
}

Test(egress, names_of_tls)
{
	rig_policy(&rig, NAMED);
	cr_assert_str_eq(HELLO("8.1.1.1", "example.org"), "8.1.1.1");
	cr_assert_str_eq(HELLO("9.9.9.9", "api.example.org"), "8.1.1.2");
	cr_assert_str_eq(HELLO("8.1.1.1", "other.example"), "alert");
	cr_assert_str_eq(HELLO("8.1.1.1", NULL), "alert");
	cr_assert_str_eq(HELLO("8.1.1.1", "8.1.1.1"), "alert");
	cr_assert_str_eq(rig_hello(&rig, "8.1.1.1", 443, "example.org", TLS_ECH), "alert");
	cr_assert_str_eq(rig_hello(&rig, "8.1.1.1", 443, "example.org", TLS_TWICE), "alert");
	stop();
}

Test(egress, ports)
{
	world_serve(&rig.world, "8.1.1.1", 8080);
	rig_policy(&rig, NAMED);
	cr_assert_str_eq(rig_get(&rig, "8.1.1.1", 8080, "example.org", ""), "");
	rig_policy(&rig, "{'allowOut': ['example.org:8080'], 'denyOut': ['0.0.0.0/0']}");
	cr_assert_str_eq(rig_get(&rig, "8.1.1.1", 8080, "example.org", ""), "8.1.1.1");
	cr_assert_str_eq(GET("8.1.1.1", "example.org"), "");
	rig_policy(&rig, "{'allowOut': ['8.1.1.0/24:80']}");
	cr_assert_str_eq(GET("8.1.1.1", "example.org"), "8.1.1.1");
	cr_assert_str_eq(rig_get(&rig, "8.1.1.1", 8080, "example.org", ""), "");
	stop();
}

Test(egress, every_request_of_a_connection)
{
	static const char two[] =
		"GET /1 HTTP/1.1\r\nHost: example.org\r\n\r\n"
		"POST /2 HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n\r\n";
	static const char evil[] = "GET /1 HTTP/1.1\r\nHost: example.org\r\n\r\n"
				   "GET /2 HTTP/1.1\r\nHost: other.example\r\n\r\n";

	rig_policy(&rig, NAMED);
	(void)rig_exchange(&rig, "8.1.1.1", 80, two, sizeof(two) - 1, rig_text);
	cr_assert_not_null(strstr(rig_text, "GET /1"));
	cr_assert_not_null(strstr(rig_text, "POST /2"));
	(void)rig_exchange(&rig, "8.1.1.1", 80, evil, sizeof(evil) - 1, rig_text);
	cr_assert_null(strstr(rig_text, "/2"), "%s", rig_text);
	stop();
}

Test(egress, special_addresses)
{
	static const char *const names[] = { "private.example", "metadata.example",
					     "host.example" };

	world_serve(&rig.world, "10.9.9.9", 80);
	world_serve(&rig.world, "169.254.169.254", 80);
	world_serve(&rig.world, "5.5.5.1", 80); /* the host's own, public or not */
	world_serve(&rig.world, NET_HOST_SECOND, 80);
	world_serve(&rig.world, "2606::5", 80);
	rig_policy(&rig, "{'allowOut': ['*.example'], 'denyOut': ['0.0.0.0/0']}");
	for (size_t i = 0; i < 3; i++)
		cr_assert_str_eq(GET("8.1.1.3", names[i]), "403", "%s", names[i]);
	cr_assert_str_eq(GET("8.1.1.3", "other.example"), "8.1.1.3");
	cr_assert_str_eq(GET("8.1.1.3", "mixed.example"), "8.1.1.3", "the good one of two");
	rig_policy(&rig,
		   "{'allow_internet_access': true, 'allowOut': ['10.0.0.0/8', '0.0.0.0/0']}");
	cr_assert_str_eq(GET("10.9.9.9", "a.b"), "");
	cr_assert_str_eq(GET("169.254.169.254", "a.b"), "");
	cr_assert_str_eq(GET("5.5.5.1", "a.b"), "");
	cr_assert_str_eq(GET(NET_HOST_SECOND, "a.b"), "");
	cr_assert_str_eq(GET("2606::5", "a.b"), "");
	cr_assert_str_eq(GET("::ffff:10.9.9.9", "a.b"), "");
	cr_assert_str_eq(GET("127.0.0.1", "a.b"), "");
	cr_assert_geq(rig_count(&rig, "connections_denied_special"), 10);
	/* The servers are there: an operator who says so reaches them. */
	rig_policy(&rig, "{'allow_internet_access': true, 'operator': {'allow':"
			 "['10.9.9.9', '169.254.169.254:80', '5.5.5.0/29', '2606::5']}}");
	cr_assert_str_eq(GET("10.9.9.9", "a.b"), "10.9.9.9");
	cr_assert_str_eq(GET("169.254.169.254", "a.b"), "169.254.169.254");
	cr_assert_str_eq(GET("5.5.5.1", "a.b"), "5.5.5.1");
	cr_assert_str_eq(GET(NET_HOST_SECOND, "a.b"), NET_HOST_SECOND);
	cr_assert_str_eq(GET("2606::5", "a.b"), "2606::5");
	stop();
}

Test(egress, a_name_that_moves_to_a_private_address)
{
	char text[256];

	world_serve(&rig.world, "10.9.9.9", 80);
	atomic_store(&rig.world.rebind_after, 1);
	rig_policy(&rig, "{'allowOut': ['rebind.example'], 'denyOut': ['0.0.0.0/0']}");
	cr_assert_eq(rig_ask(&rig, "rebind.example", DNS_TYPE_A, false, text, sizeof(text)), 0);
	cr_assert_str_eq(text, "8.1.1.1");
	cr_assert_str_eq(GET("8.1.1.1", "rebind.example"), "8.1.1.1", "what we know of it");
	cr_assert_eq(atomic_load(&rig.world.rebinds), 1);
	/* A policy makes the resolver forget: it is 10.9.9.9 now, for the guest and for us. */
	rig_policy(&rig, "{'allowOut': ['rebind.example'], 'denyOut': ['0.0.0.0/0']}");
	cr_assert_str_eq(GET("8.1.1.1", "rebind.example"), "403");
	cr_assert_str_eq(GET("10.9.9.9", "rebind.example"), "403");
	cr_assert_eq(rig_ask(&rig, "rebind.example", DNS_TYPE_A, false, text, sizeof(text)),
		     DNS_REFUSED);
	cr_assert_geq(rig_count(&rig, "dns_addresses_dropped"), 1);
	stop();
}

#define RULES                                                                        \
	"{'allowOut': ['api.example.org', 'example.org'], 'denyOut': ['0.0.0.0/0']," \
	"'rules': {'api.example.org': [{'transform': {'headers': {'Authorization':"  \
	"'Bearer s3cret'}}}]}}"

Test(egress, headers_by_a_rule)
{
	static const char trace[] = "TRACE / HTTP/1.1\r\nHost: api.example.org\r\n\r\n";

	rig_policy(&rig, RULES);
	cr_assert_str_eq(rig_get(&rig, "8.1.1.2", 80, "api.example.org",
				 "authorization: Bearer guess\r\nX-A: 1\r\n"),
			 "8.1.1.2");
	cr_assert_not_null(strstr(rig_text, "\r\nAuthorization: Bearer s3cret\r\n"), "%s",
			   rig_text);
	cr_assert_null(strstr(rig_text, "guess"));
	cr_assert_not_null(strstr(rig_text, "\r\nX-A: 1\r\n"));
	cr_assert_eq(rig_count(&rig, "requests_with_headers_set"), 1);
	/* Not to another name, and never to an address of the guest's choice. */
	cr_assert_str_eq(GET("8.1.1.1", "example.org"), "8.1.1.1");
	cr_assert_null(strstr(rig_text, "s3cret"));
	cr_assert_str_eq(GET("8.1.1.3", "api.example.org"), "8.1.1.2");
	cr_assert_str_eq(HELLO("8.1.1.2", "api.example.org"), "alert", "it would go without");
	(void)rig_exchange(&rig, "8.1.1.2", 80, trace, sizeof(trace) - 1, rig_text);
	cr_assert_null(strstr(rig_text, "s3cret"));
	/* A rule doesn't allow anything. */
	rig_policy(&rig, "{'allowOut': ['example.org'], 'denyOut': ['0.0.0.0/0'], 'rules': {"
			 "'api.example.org': [{'transform': {'headers': {'X-B': 's3cret'}}}]}}");
	cr_assert_str_eq(GET("8.1.1.2", "api.example.org"), "403");
	/* Where all is allowed, the header is set all the same. */
	rig_policy(&rig, "{'allow_internet_access': true, 'rules': {"
			 "'api.example.org': [{'transform': {'headers': {'X-B': 's3cret'}}}]}}");
	cr_assert_str_eq(GET("8.1.1.3", "api.example.org"), "8.1.1.2");
	cr_assert_not_null(strstr(rig_text, "X-B: s3cret"));
	cr_assert_str_eq(GET("8.1.1.3", "other.example"), "8.1.1.3");
	stop();
}

Test(egress, questions)
{
	char text[256];

	rig_policy(&rig, "{'allowOut': ['example.org', '*.example', '8.8.8.8'],"
			 "'denyOut': ['0.0.0.0/0']}");
	for (int stream = 0; stream < 2; stream++) {
		unsigned before = atomic_load(&rig.world.questions);

		cr_assert_eq(rig_ask(&rig, "api.example.org", DNS_TYPE_A, stream, text, 256),
			     DNS_REFUSED);
		cr_assert_eq(rig_ask(&rig, "secret.evil.test", DNS_TYPE_A, stream, text, 256),
			     DNS_REFUSED);
		cr_assert_eq(rig_ask(&rig, "example.org", 15, stream, text, 256), 0, "MX: nothing");
		cr_assert_eq(atomic_load(&rig.world.questions), before, "nothing left the host");
		cr_assert_eq(rig_ask(&rig, "example.org", DNS_TYPE_A, stream, text, 256), 0);
		cr_assert_str_eq(text, "8.1.1.1");
		cr_assert_eq(rig_ask(&rig, "private.example", DNS_TYPE_A, stream, text, 256),
			     DNS_REFUSED);
		cr_assert_eq(rig_ask(&rig, "mixed.example", DNS_TYPE_A, stream, text, 256), 0);
		cr_assert_str_eq(text, "8.1.1.3");
		cr_assert_eq(rig_ask(&rig, "no.example", DNS_TYPE_A, stream, text, 256),
			     DNS_NXDOMAIN);
		cr_assert_eq(rig_ask(&rig, "long.example", DNS_TYPE_A, stream, text, 256), 0);
		cr_assert_str_eq(text, "8.1.1.1");
	}
	cr_assert_geq(rig_count(&rig, "dns_answered_from_cache"), 4);
	cr_assert_eq(rig_ask(&rig, "silent.example", DNS_TYPE_A, false, text, 256), DNS_SERVFAIL);
	stop();
}

Test(egress, a_flood_of_questions)
{
	CLEANUP(fd_closep) int fd = net_socket(&rig.world.net, NET_GUEST, SOCK_DGRAM, NULL, 0);
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t len;
	uint64_t began = now_ms(), seconds;
	char text[256];

	rig_policy(&rig, "{'allow_internet_access': true}");
	cr_assert_eq(addr_parse("10.0.0.53", &a), 0);
	len = addr_to_sockaddr(&a, 53, &ss);
	for (unsigned i = 0; i < 10000; i++) {
		uint8_t msg[DNS_UDP_MAX];
		char name[NAME_CAP];
		size_t n;

		(void)snprintf(name, sizeof(name), "n%u.flood.test", i);
		n = dns_query_build(msg, 1, name, DNS_TYPE_A);
		(void)sendto(fd, msg, n, 0, (struct sockaddr *)&ss, len);
	}
	/* The program still answers, and what has left the host is what the bucket had. */
	cr_assert_neq(rig_ask(&rig, "n1.flood.test", DNS_TYPE_A, true, text, sizeof(text)), -1);
	seconds = (now_ms() - began) / 1000 + 1;
	cr_assert_leq(rig_count(&rig, "dns_asked_upstream"),
		      (long long)(EGRESS_QUERY_BURST + EGRESS_QUERY_RATE * seconds));
	cr_assert_gt(rig_count(&rig, "dns_asked_upstream"), 0);
	cr_assert_gt(rig_count(&rig, "dns_dropped_overload"), 0);
	cr_assert_eq(rig_count(&rig, "connections_failed"), 0);
	stop();
}

Test(egress, policy_changes_under_way)
{
	struct tls_text hello;
	char text[4096];
	int kept, cut;

	rig_policy(&rig,
		   "{'allowOut': ['example.org', 'api.example.org'], 'denyOut': ['0.0.0.0/0']}");
	kept = net_dial(&rig.world.net, "8.1.1.2", 443);
	cut = net_dial(&rig.world.net, "8.1.1.1", 443);
	tls_hello(&hello, "api.example.org", 0);
	cr_assert_eq(fd_write_full(kept, hello.data, hello.len), 0);
	cr_assert_eq(fd_read_full(kept, text, 7 + hello.len), 0);
	tls_hello(&hello, "example.org", 0);
	cr_assert_eq(fd_write_full(cut, hello.data, hello.len), 0);
	cr_assert_eq(fd_read_full(cut, text, 7 + hello.len), 0);
	cr_assert_eq(
		rig_policy(&rig, "{'allowOut': ['api.example.org'], 'denyOut': ['0.0.0.0/0']}"), 1);
	cr_assert_leq(recv(cut, text, sizeof(text), 0), 0);
	/* The other one is as it was. */
	cr_assert_eq(fd_write_full(kept, "\1\2\3", 3), 0);
	cr_assert_eq(fd_read_full(kept, text, 3), 0);
	cr_assert_eq(memcmp(text, "\1\2\3", 3), 0);
	close(kept);
	close(cut);
	stop();
}

Test(egress, a_policy_that_is_refused_changes_nothing)
{
	json_t *answer;

	rig_policy(&rig, NAMED);
	answer = rig_control(&rig, "{\"policy\": {\"allow_internet_access\": true, \"x\": 1}}");
	cr_assert_not_null(json_object_get(answer, "error"));
	json_decref(answer);
	answer = rig_control(&rig, "rubbish");
	cr_assert_not_null(json_object_get(answer, "error"));
	json_decref(answer);
	cr_assert_str_eq(GET("8.1.1.1", "example.org"), "8.1.1.1");
	cr_assert_str_eq(GET("8.1.1.3", "other.example"), "403");
	stop();
}

#define PROXY "'egressProxy': {'address': 'socks.example:1080', 'username': 'u', 'password': 'p'}"

Test(egress, through_a_socks_server)
{
	rig_policy(&rig,
		   "{'allowOut': ['example.org', '8.1.1.3'], 'denyOut': ['0.0.0.0/0'], " PROXY "}");
	cr_assert_str_eq(GET("9.9.9.9", "example.org"), "socks example.org:80");
	cr_assert_str_eq(HELLO("9.9.9.9", "example.org"), "socks example.org:443");
	cr_assert_str_eq(GET("8.1.1.3", "other.example"), "socks 8.1.1.3:80");
	cr_assert_str_eq(GET("8.1.1.2", "api.example.org"), "403");
	rig_policy(&rig,
		   "{'allow_internet_access': true, 'egressProxy': {'address': '8.1.1.99:1080'}}");
	cr_assert_str_eq(GET("8.1.1.3", "other.example"), "socks 8.1.1.3:80");
	/* Wrong password; a server at a special address. */
	rig_policy(&rig, "{'allow_internet_access': true, 'egressProxy': {'address':"
			 "'8.1.1.99:1080', 'username': 'u', 'password': 'x'}}");
	cr_assert_str_eq(GET("8.1.1.3", "other.example"), "");
	rig_policy(&rig,
		   "{'allow_internet_access': true, 'egressProxy': {'address': '127.0.0.1:80'}}");
	cr_assert_str_eq(GET("8.1.1.3", "other.example"), "");
	stop();
}

Test(egress, six)
{
	world_serve(&rig.world, "2606:4700::1", 80);
	rig_policy(&rig, "{'allowOut': ['six.example.org'], 'denyOut': ['0.0.0.0/0']}");
	cr_assert_str_eq(GET("2606:4700::5", "six.example.org"), "2606:4700::1");
	cr_assert_str_eq(GET("2606:4700::1", "other.example"), "403");
	rig_policy(&rig, "{'allowOut': ['2606:4700::/32']}");
	cr_assert_str_eq(GET("2606:4700::1", "x.y"), "2606:4700::1");
	cr_assert_str_eq(GET("2606:4701::1", "x.y"), "");
	rig_policy(&rig, "{'allow_internet_access': true}");
	cr_assert_str_eq(GET("2606:4700::1", "x.y"), "2606:4700::1");
	cr_assert_str_eq(GET("::1", "x.y"), "");
	cr_assert_str_eq(GET("2606::1", "x.y"), "", "the host's own");
	cr_assert_str_eq(GET("fd00:ec2::254", "x.y"), "");
	stop();
}

Test(egress, a_server_that_is_not_there)
{
	rig_policy(&rig, "{'allowOut': ['dead.example', 'no.example'], 'denyOut': ['0.0.0.0/0']}");
	net_world_address(&rig.world.net, "8.1.1.77");
	cr_assert_str_eq(GET("8.1.1.77", "dead.example"), "502");
	cr_assert_str_eq(GET("8.1.1.77", "no.example"), "502");
	stop();
}

Test(egress, large_bodies_both_ways)
{
	static char body[300000], head[128];
	static char got[600000];
	int fd, n;

	rig_policy(&rig, "{'allowOut': ['8.1.1.1']}");
	memset(body, 7, sizeof(body));
	fd = net_dial(&rig.world.net, "8.1.1.1", 443);
	/* The server sends back all of it: more than any buffer on the way holds. */
	for (size_t at = 0; at < sizeof(body); at += 30000) {
		cr_assert_eq(fd_write_full(fd, body + at, 30000), 0);
		cr_assert_eq(fd_read_full(fd, got, 30000 + (at == 0 ? 7 : 0)), 0);
	}
	close(fd);
	rig_policy(&rig, NAMED);
	fd = net_dial(&rig.world.net, "8.1.1.1", 80);
	n = snprintf(head, sizeof(head),
		     "POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: %zu\r\n\r\n",
		     sizeof(body));
	cr_assert_eq(fd_write_full(fd, head, (size_t)n), 0);
	cr_assert_eq(fd_write_full(fd, body, sizeof(body)), 0);
	(void)shutdown(fd, SHUT_WR);
	cr_assert_gt(recv(fd, got, sizeof(got), MSG_WAITALL), 300000);
	close(fd);
	cr_assert_geq(rig_count(&rig, "bytes_out"), 600000);
	stop();
}

Test(egress, is_confined)
{
	rig_policy(&rig, NAMED);
	cr_assert_str_eq(GET("8.1.1.1", "example.org"), "8.1.1.1");
	cr_assert_eq(status_number(rig.pid, "NoNewPrivs", 16), 1);
	cr_assert_eq(status_number(rig.pid, "CapEff", 16), 0);
	cr_assert_eq(status_number(rig.pid, "CapPrm", 16), 0);
	cr_assert_eq(status_number(rig.pid, "CapAmb", 16), 0);
#ifndef CASEMATE_NO_FILTERS
	cr_assert_eq(status_number(rig.pid, "Seccomp", 16), 2);
	cr_assert_eq(status_number(rig.pid, "Seccomp_filters", 16), 1);
#endif
	stop();
}

static struct rig small;

/* Connections that say nothing hold their places no longer than EGRESS_SNIFF_MS. */
Test(egress_slow, says_nothing, .timeout = 60)
{
	int slow[4];
	uint64_t began;

	rig_start(&small, "4");
	world_serve(&small.world, "8.1.1.1", 80);
	(void)rig_policy(&small, NAMED);
	for (size_t i = 0; i < 4; i++) {
		slow[i] = net_dial(&small.world.net, "8.1.1.1", 80);
		cr_assert_geq(slow[i], 0);
		cr_assert_eq(fd_write_full(slow[i], "GET / HTTP/1.1\r\nHost: exa", i * 7), 0);
	}
	began = now_ms();
	cr_assert_str_eq(rig_get(&small, "8.1.1.1", 80, "example.org", ""), "8.1.1.1");
	cr_assert_lt(now_ms() - began, EGRESS_SNIFF_MS + 5000);
	for (size_t i = 0; i < 4; i++) {
		char c;

		cr_assert_leq(recv(slow[i], &c, 1, 0), 0);
		close(slow[i]);
	}
	cr_assert(rig_stop(&small));
}
