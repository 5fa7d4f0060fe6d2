/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net - the way from a sandbox to a network: what casemate-egress adds to a connection, beside the
 * same connection without it; a policy; and what a network adds to a sandbox that lay ready. What
 * the card costs, beside QEMU's with a plain tap, is bench vmm's (net_*, linux_net_*).
 *
 * Needs root (namespaces, the jailer).
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/net_way.h"
#include "tests/bench/start_stack.h"
#include "tests/bench/stat.h"

#define RR_BYTES   64U
#define POOL_DEPTH 4U

static struct {
	struct stack_programs programs;
	const char *egress, *where;
	uint64_t n, bulk, claims;
} opt = { .where = "native", .n = 2000, .bulk = 20, .claims = 200 };

static const char open_policy[] =
	"{\"policy\":{\"allow_internet_access\":true,\"operator\":{\"allow\":[\"8.1.1.1\"]}}}";

static NORETURN void die(const char *what)
{
	(void)fprintf(stderr, "bench: net: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double since(uint64_t begin, double unit)
{
	return (double)(now_ns() - begin) / unit;
}

static void print_ways(const char *name, const char *unit, struct samples s[WAY_COUNT])
{
	bench_print("net", name, unit, &s[WAY_EGRESS], "direct", &s[WAY_DIRECT], opt.where);
}

/* ---- Connections ---------------------------------------------------------------------------- */

static void echo(int fd, size_t len)
{
	uint8_t data[RR_BYTES] = { 0 };

	if (fd_write_full(fd, data, len) < 0 || fd_read_full(fd, data, len) < 0)
		die("echo");
}

static void requests(void)
{
	static struct samples s[WAY_COUNT];
	int fds[WAY_COUNT];

	/* The server has one connection at a time: by turns of a hundred. */
	for (uint64_t done = 0; done < opt.n; done += 100) {
		for (unsigned way = 0; way < WAY_COUNT; way++) {
			fds[way] = way_dial((enum way)way, SERVICE_ECHO);
			for (unsigned i = 0; i < 10; i++)
				echo(fds[way], RR_BYTES);
			for (unsigned i = 0; i < 100; i++) {
				uint64_t begin = now_ns();
				echo(fds[way], RR_BYTES);
				samples_add(&s[way], since(begin, 1e3));
			}
			fd_closep(&fds[way]);
		}
	}
	print_ways("rr", "us", s);
}

/* From connect to the first answered byte; and how many of these, with their end, in a second. */
static void connections(void)
{
	static struct samples first[WAY_COUNT], rate[WAY_COUNT];

	for (uint64_t done = 0; done < opt.n; done += 100) {
		for (unsigned way = 0; way < WAY_COUNT; way++) {
			uint64_t all = now_ns();
			for (unsigned i = 0; i < 100; i++) {
				uint64_t begin = now_ns();
				CLEANUP(fd_closep) int fd = way_dial((enum way)way, SERVICE_ECHO);
				echo(fd, 1);
				samples_add(&first[way], since(begin, 1e3));
			}
			samples_add(&rate[way], 100 / since(all, 1e9));
		}
	}
	print_ways("connect", "us", first);
	bench_print_rate("net", "connections", "1/s", &rate[WAY_EGRESS], "direct",
			 &rate[WAY_DIRECT], opt.where);
}

static void drain(int fd, size_t want)
{
	static char data[256U << 10];
	size_t have = 0;
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		have += (size_t)n;
	if (have != want)
		die("bytes are missing");
}

static void fill(int fd)
{
	static const char data[256U << 10];

	for (size_t left = NET_BULK_BYTES; left > 0; left -= sizeof(data))
		if (fd_write_full(fd, data, sizeof(data)) < 0)
			die("write");
	(void)shutdown(fd, SHUT_WR);
	drain(fd, 1);
}

static void bulk(void)
{
	static struct samples s[2][WAY_COUNT];

	for (uint64_t i = 0; i < opt.bulk; i++) {
		for (unsigned way = 0; way < WAY_COUNT; way++) {
			for (unsigned in = 0; in < 2; in++) {
				CLEANUP(fd_closep)
				int fd = way_dial((enum way)way,
						  in == 0 ? SERVICE_SINK : SERVICE_SOURCE);
				uint64_t begin = now_ns();
				if (in == 0)
					fill(fd);
				else
					drain(fd, NET_BULK_BYTES);
				samples_add(&s[in][way],
					    NET_BULK_BYTES / (double)MIB / since(begin, 1e9));
			}
		}
	}
	for (unsigned in = 0; in < 2; in++)
		bench_print_rate("net", in == 0 ? "tx" : "rx", "MiB/s", &s[in][WAY_EGRESS],
				 "direct", &s[in][WAY_DIRECT], opt.where);
}

static void policies(void)
{
	static struct samples s;

	for (uint64_t i = 0; i < opt.n; i++) {
		uint64_t begin = now_ns();
		way_policy(open_policy);
		samples_add(&s, since(begin, 1e3));
	}
	bench_print("net", "policy", "us", &s, NULL, NULL, opt.where);
}

/* ---- A sandbox that lay ready --------------------------------------------------------------- */

static json_t *create(bool network)
{
	json_t *body = json_pack("{s:I}", "memory_bytes", (json_int_t)STACK_MEMORY);
	json_t *out;

	if (network)
		(void)json_object_set_new(body, "network",
					  json_pack("{s:[s], s:[s]}", "allowOut", "example.org",
						    "denyOut", "0.0.0.0/0"));
	out = stack_call("POST", "/v1/sandboxes", body);
	json_decref(body);
	return out;
}

static void claim(bool network, struct samples *s)
{
	uint64_t begin;
	json_t *o;
	double ms;

	stack_wait_for_spares(2 * POOL_DEPTH);
	begin = now_ns();
	o = create(network);
	ms = since(begin, 1e6);
	if (strcmp(json_string_value(json_object_get(o, "path")), "pool") == 0)
		samples_add(s, ms);
	stack_destroy(json_string_value(json_object_get(o, "id")));
	json_decref(o);
}

static void claims(void)
{
	static struct samples with, without, difference;

	stack_start_daemon(POOL_DEPTH);
	for (unsigned i = 0; i < 2; i++) { /* teaches both shapes */
		json_t *o = create(i == 1);
		stack_destroy(json_string_value(json_object_get(o, "id")));
		json_decref(o);
	}
	for (uint64_t i = 0; i < opt.claims; i++) {
		size_t had = with.n + without.n;

		claim(i % 2 == 0, i % 2 == 0 ? &with : &without);
		claim(i % 2 != 0, i % 2 != 0 ? &with : &without);
		if (with.n + without.n == had + 2)
			samples_add(&difference, with.v[with.n - 1] - without.v[without.n - 1]);
	}
	stack_stop_daemon();
	bench_print("net", "claim", "ms", &with, "no-network", &without, opt.where);
	bench_print("net", "claim_difference", "ms", &difference, NULL, NULL, opt.where);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "daemon", required_argument, NULL, 'd' },
		{ "jailer", required_argument, NULL, 'j' },
		{ "vmm", required_argument, NULL, 'v' },
		{ "guest", required_argument, NULL, 'g' },
		{ "egress", required_argument, NULL, 'e' },
		{ "where", required_argument, NULL, 'w' },
		{ "n", required_argument, NULL, 'n' },
		{ "bulk", required_argument, NULL, 'b' },
		{ "claims", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	const char **const texts[] = { ['d'] = &opt.programs.daemon, ['j'] = &opt.programs.jailer,
				       ['v'] = &opt.programs.vmm,    ['g'] = &opt.programs.guest,
				       ['e'] = &opt.egress,	     ['w'] = &opt.where };
	uint64_t *const numbers[] = { ['n'] = &opt.n, ['b'] = &opt.bulk, ['c'] = &opt.claims };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			exit(2);
		if (c < (int)ARRAY_SIZE(texts) && texts[c] != NULL)
			*texts[c] = optarg;
		else if (parse_u64(optarg, 0, SAMPLES_MAX, numbers[c]) < 0)
			exit(2);
	}
	if (opt.egress == NULL)
		exit(2);
}

/* In a process of its own: it moves into namespaces, and the stack belongs to the host's. */
static void measure_ways(void)
{
	way_set_up(opt.egress);
	way_policy(open_policy);
	requests();
	connections();
	bulk();
	policies();
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	if (opt.claims > 0 && opt.programs.guest != NULL) {
		opt.programs.egress = opt.egress;
		opt.programs.max = 64;
		stack_set_up(&opt.programs);
		claims();
	}
	measure_ways();
	return 0;
}
