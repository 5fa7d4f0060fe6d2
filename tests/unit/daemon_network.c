/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of networks: what a request may say, what casemate-egress is sent, what it may answer.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/cli/netspec.h"
#include "api/daemon/network.h"
#include "api/daemon/profile.h"
#include "api/daemon/spec.h"
#include "base/fd.h"

static const struct spec_limits with = { .memory_max = UINT64_C(1) << 30,
					 .scratch_max = 0,
					 .networks = true,
					 .kernel = "k",
					 .image = "i" };
static const struct spec_limits without = {
	.memory_max = UINT64_C(1) << 30, .scratch_max = 0, .kernel = "k", .image = "i"
};

static int parse(const char *body, const struct spec_limits *lim, struct spec *ret)
{
	struct err err = { 0 };

	return spec_parse(body, strlen(body), lim, ret, &err);
}

Test(daemon_network, is_off_unless_asked_for_and_possible)
{
	static const char body[] = "{\"network\":{\"allowOut\":[\"192.0.2.1:80\"]}}";
	struct spec s;

	cr_assert_eq(parse("{}", &with, &s), 0);
	cr_expect_not(s.nic);
	cr_expect_null(s.network);
	spec_done(&s);
	cr_expect_eq(parse(body, &without, &s), -ENOTSUP);
	cr_assert_eq(parse(body, &with, &s), 0);
	cr_expect(s.nic);
	cr_expect_str_eq(s.network, "{\"allowOut\":[\"192.0.2.1:80\"]}");
	spec_done(&s);
}

Test(daemon_network, has_the_tenants_members_only)
{
	struct spec s;

	cr_expect_eq(parse("{\"network\":{\"operator\":{\"allow\":[\"0.0.0.0/0\"]}}}", &with, &s),
		     -EINVAL);
	cr_expect_eq(parse("{\"network\":{\"resolvers\":[\"192.0.2.1\"]}}", &with, &s), -EINVAL);
	cr_expect_eq(parse("{\"network\":true}", &with, &s), -EINVAL);
	cr_expect_eq(parse("{\"network\":[]}", &with, &s), -EINVAL);
	cr_assert_eq(parse("{\"network\":{}}", &with, &s), 0);
	spec_done(&s);
}

Test(daemon_network, is_bounded)
{
	json_t *list = json_array(), *o;
	struct err err = { 0 };
	char *text = NULL;

	for (int i = 0; i < 3000; i++)
		(void)json_array_append_new(list, json_string("192.0.2.1:80"));
	o = json_pack("{s:o}", "allowOut", list);
	cr_expect_eq(network_policy(o, &text, &err), -EINVAL);
	cr_expect_null(text);
	json_decref(o);
}

static int e2b(const char *body, const struct spec_limits *lim, struct spec *s)
{
	struct profile *p = NULL;
	struct err err = { 0 };
	int r = profile_parse(body, strlen(body), 2, lim, s, &p, &err);

	if (r == 0)
		profile_free(p);
	return r;
}

Test(daemon_network, e2b_default_is_the_internet_where_there_is_one)
{
	struct spec s;

	cr_assert_eq(e2b("{\"templateID\":\"base\"}", &without, &s), 0);
	cr_expect_not(s.nic);
	spec_done(&s);
	cr_assert_eq(e2b("{\"templateID\":\"base\"}", &with, &s), 0);
	cr_expect_str_eq(s.network, "{\"allow_internet_access\":true}");
	spec_done(&s);
	cr_assert_eq(e2b("{\"templateID\":\"base\",\"allow_internet_access\":false}", &with, &s),
		     0);
	cr_expect(s.nic, "its policy can be changed later");
	cr_expect_str_eq(s.network, "{\"allow_internet_access\":false}");
	spec_done(&s);
	cr_assert_eq(e2b("{\"templateID\":\"base\",\"allow_internet_access\":false}", &without, &s),
		     0);
	cr_expect_not(s.nic);
	spec_done(&s);
	cr_assert_eq(e2b("{\"templateID\":\"base\",\"allow_internet_access\":false,"
			 "\"network\":{\"allowOut\":[\"192.0.2.1\"]}}",
			 &with, &s),
		     0);
	cr_expect(s.nic);
	spec_done(&s);
}

Test(daemon_network, copies_have_it)
{
	struct spec a, b;

	cr_assert_eq(parse("{\"network\":{\"denyOut\":[]}}", &with, &a), 0);
	cr_assert_eq(spec_copy(&a, &b), 0);
	cr_expect(b.nic);
	cr_expect_str_eq(b.network, a.network);
	spec_done(&a);
	spec_done(&b);
}

Test(daemon_network, finds_the_hosts_resolvers)
{
	struct network_operator op = { .on = true };

	network_find_resolvers(&op, "# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1\n"
				    "nameserver\t2001:db8::1 \nnameserver\n"
				    "nameserver 192.0.2.3\nnameserver 192.0.2.4");
	cr_assert_eq(op.resolvers_count, 3);
	cr_expect_str_eq(op.resolvers[0], "192.0.2.1");
	cr_expect_str_eq(op.resolvers[1], "2001:db8::1");
	cr_expect_str_eq(op.resolvers[2], "192.0.2.3");
}

/* ---- The control socket -------------------------------------------------------------------- */

struct rig {
	struct loop *loop;
	struct network *network;
	struct network_operator op;
	int egress; /* the other end */
	int log;
	unsigned done;
	char why[256];
};

static void on_done(void *arg, const char *why)
{
	struct rig *g = arg;

	g->done++;
	(void)snprintf(g->why, sizeof(g->why), "%s", why == NULL ? "" : why);
}

static void open_rig(struct rig *g)
{
	int pair[2], log[2];

	*g = (struct rig){ .op = { .on = true,
				   .allow = { "10.0.0.0/8" },
				   .allow_count = 1,
				   .resolvers = { "192.0.2.53" },
				   .resolvers_count = 1,
				   .authorities_fd = -1 } };
	cr_assert_eq(loop_new(&g->loop), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
		     0);
	cr_assert_eq(pipe2(log, O_CLOEXEC | O_NONBLOCK), 0);
	cr_assert_eq(network_new(g->loop, &g->op, pair[0], log[0], "ix", &g->network), 0);
	g->egress = pair[1];
	g->log = log[1];
}

static void close_rig(struct rig *g)
{
	network_free(g->network);
	loop_free(g->loop);
	fd_closep(&g->egress);
	fd_closep(&g->log);
}

static void answer(struct rig *g, const char *text)
{
	cr_assert_eq(send(g->egress, text, strlen(text), 0), (ssize_t)strlen(text));
	cr_assert_geq(loop_step(g->loop, 1000), 0);
}

Test(daemon_network, sends_the_operators_part_along)
{
	struct rig g;
	char got[1024] = "";

	open_rig(&g);
	cr_assert_eq(network_apply(g.network, "{\"allowOut\":[]}", on_done, &g), 0);
	cr_expect_eq(network_apply(g.network, "{}", on_done, &g), -EBUSY);
	cr_assert_gt(recv(g.egress, got, sizeof(got) - 1, 0), 0);
	cr_expect_str_eq(got,
			 "{\"policy\":{\"allowOut\":[],\"operator\":{\"allow\":[\"10.0.0.0/8\"],"
			 "\"deny\":[]},\"resolvers\":[\"192.0.2.53\"]}}");
	cr_expect_eq(g.done, 0);
	answer(&g, "{\"ended\":0}");
	cr_expect_eq(g.done, 1);
	cr_expect_str_eq(g.why, "");
	cr_expect_eq(network_apply(g.network, "{}", on_done, &g), 0);
	close_rig(&g);
	cr_expect_eq(g.done, 1);
}

/* With the host's authorities; and what the guest is to trust comes back, as long as it is so. */
Test(daemon_network, passes_authorities_and_certificates)
{
	struct rig g;
	char got[1024], from_pipe[8] = "";
	int pipes[2], fd = -1;
	size_t fds = 1;

	open_rig(&g);
	cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
	g.op.authorities_fd = pipes[0];
	cr_assert_eq(network_apply(g.network, "{}", on_done, &g), 0);
	cr_assert_gt(fd_recv(g.egress, got, sizeof(got), &fd, &fds), 0);
	cr_assert_eq(fds, 1);
	cr_assert_eq(write(pipes[1], "pem", 4), 4);
	cr_assert_eq(read(fd, from_pipe, sizeof(from_pipe)), 4);
	cr_expect_str_eq(from_pipe, "pem");
	answer(&g, "{\"ended\":0,\"certificate\":\"one\"}");
	cr_expect_str_eq(g.why, "");
	cr_expect_str_eq(network_certificate(g.network), "one");
	cr_assert_eq(network_apply(g.network, "{}", on_done, &g), 0);
	answer(&g, "{\"error\":\"no\",\"certificate\":\"two\"}");
	cr_expect_str_eq(network_certificate(g.network), "one", "the policy before holds");
	cr_assert_eq(network_apply(g.network, "{}", on_done, &g), 0);
	answer(&g, "{\"ended\":0}");
	cr_expect_null(network_certificate(g.network));
	close_rig(&g);
	fd_closep(&fd);
	fd_closep(&pipes[0]);
	fd_closep(&pipes[1]);
}

Test(daemon_network, opens_the_authorities)
{
	struct network_operator op = { .on = true, .authorities = "/nowhere/ca.crt" };
	struct err err = { 0 };

	cr_expect_eq(network_open_authorities(&op, &err), -ENOENT, "named, so it has to be there");
	cr_expect_not_null(strstr(err.msg, "/nowhere/ca.crt"));
	op.authorities = "/dev/null";
	cr_expect_eq(network_open_authorities(&op, &err), 0);
	cr_expect_geq(op.authorities_fd, 0);
	fd_closep(&op.authorities_fd);
	op.on = false;
	cr_expect_eq(network_open_authorities(&op, &err), 0);
	cr_expect_eq(op.authorities_fd, -1, "nobody needs it");
}

Test(daemon_network, believes_no_answer_but_the_right_one)
{
	static const char *const bad[] = {
		"{\"error\":\"entry 0\"}",  "{}", "ok", "[]", "{\"ended\":\"x\"}",
		"{\"ended\":0,\"ended\":0}"
	};
	struct rig g;

	open_rig(&g);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(network_apply(g.network, "{}", on_done, &g), 0);
		answer(&g, bad[i]);
		cr_expect_eq(g.done, i + 1, "%s", bad[i]);
		cr_expect_str_neq(g.why, "", "%s", bad[i]);
	}
	cr_assert_eq(network_apply(g.network, "{}", on_done, &g), 0);
	fd_closep(&g.egress);
	cr_assert_geq(loop_step(g.loop, 1000), 0);
	cr_expect_eq(g.done, ARRAY_SIZE(bad) + 1);
	cr_expect_str_neq(g.why, "");
	cr_expect_eq(network_apply(g.network, "{}", on_done, &g), -EPIPE);
	close_rig(&g);
}

Test(daemon_network, the_command_lines_words)
{
	json_t *policy = NULL;
	struct err err = { 0 };
	char *text;

	cr_assert_eq(netspec_add(&policy, "allow=192.0.2.1:80", &err), 0);
	cr_assert_eq(netspec_add(&policy, "allow=*.example.org", &err), 0);
	cr_assert_eq(netspec_add(&policy, "deny=0.0.0.0/0", &err), 0);
	cr_assert_eq(netspec_add(&policy, "internet", &err), 0);
	cr_expect_eq(netspec_add(&policy, "allow=", &err), -EINVAL);
	cr_expect_eq(netspec_add(&policy, "inter", &err), -EINVAL);
	text = json_dumps(policy, JSON_COMPACT | JSON_SORT_KEYS);
	cr_expect_str_eq(text, "{\"allowOut\":[\"192.0.2.1:80\",\"*.example.org\"],"
			       "\"allow_internet_access\":true,\"denyOut\":[\"0.0.0.0/0\"]}");
	free(text);
	json_decref(policy);
}
