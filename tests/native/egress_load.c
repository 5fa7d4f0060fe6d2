/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies that change while many connections carry bytes: what stays allowed goes on without a
 * byte lost or changed, and what doesn't ends at once, every time.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "tests/native/egress_rig.h"

#define KEPT   24U
#define CUT    24U
#define ROUNDS 20U
#define BLOCK  4096U
#define FEW    24U /* descriptors: some more than it starts with */

static struct rig rig;

/* One that echoes what it gets, behind its banner and the hello. */
static int open_one(const char *address, const char *name)
{
	char text[4096];
	struct tls_text hello;
	int fd = net_dial(&rig.world.net, address, 443);

	cr_assert_geq(fd, 0);
	tls_hello(&hello, name, 0);
	cr_assert_eq(fd_write_full(fd, hello.data, hello.len), 0);
	cr_assert_eq(fd_read_full(fd, text, strlen(address) + hello.len), 0);
	return fd;
}

/* A block goes out on each of them, while others are under way: all are the caller's to fetch. The
 * first byte isn't one that a request begins with. */
static void send_blocks(const int *fds, unsigned count, uint8_t value)
{
	uint8_t block[BLOCK];

	memset(block, value, sizeof(block));
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(fd_write_full(fds[i], block, sizeof(block)), 0, "%u: %s", i,
			     strerror(errno));
}

static void fetch_blocks(const int *fds, unsigned count, uint8_t value)
{
	uint8_t block[BLOCK];

	for (unsigned i = 0; i < count; i++) {
		cr_assert_eq(fd_read_full(fds[i], block, sizeof(block)), 0, "%u", i);
		for (unsigned k = 0; k < BLOCK; k++)
			cr_assert_eq(block[k], value, "connection %u, byte %u", i, k);
	}
}

/* Whatever was under way, the end comes: a reset or an end of the stream. */
static void expect_ended(int fd)
{
	uint8_t rest[BLOCK];
	ssize_t n;

	do
		n = recv(fd, rest, sizeof(rest), 0);
	while (n > 0);
	cr_assert(n == 0 || errno == ECONNRESET, "%s", strerror(errno));
}

Test(egress_load, policies_change_under_way, .timeout = 60)
{
	static const char both[] =
		"{'allowOut': ['example.org', 'api.example.org'], 'denyOut': ['0.0.0.0/0']}";
	static const char one[] = "{'allowOut': ['api.example.org'], 'denyOut': ['0.0.0.0/0']}";
	int kept[KEPT], cut[CUT];

	rig_start(&rig, NULL);
	world_serve(&rig.world, "8.1.1.1", 443);
	world_serve(&rig.world, "8.1.1.2", 443);
	rig_policy(&rig, both);
	for (unsigned i = 0; i < KEPT; i++)
		kept[i] = open_one("8.1.1.2", "api.example.org");
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint8_t value = (uint8_t)(1 + round);

		for (unsigned i = 0; i < CUT; i++)
			cut[i] = open_one("8.1.1.1", "example.org");
		send_blocks(kept, KEPT, value);
		send_blocks(cut, CUT, value);
		cr_assert_eq(rig_policy(&rig, one), (int)CUT, "round %u", round);
		for (unsigned i = 0; i < CUT; i++) {
			expect_ended(cut[i]);
			fd_closep(&cut[i]);
		}
		cr_assert_str_eq(rig_hello(&rig, "8.1.1.1", 443, "example.org", 0), "alert");
		fetch_blocks(kept, KEPT, value);
		/* Nothing ends, whether or not something is under way. */
		send_blocks(kept, KEPT, value);
		cr_assert_eq(rig_policy(&rig, both), 0);
		fetch_blocks(kept, KEPT, value);
	}
	for (unsigned i = 0; i < KEPT; i++)
		fd_closep(&kept[i]);
	cr_assert_eq(rig_count(&rig, "connections_ended_by_policy"), ROUNDS * CUT);
	cr_assert(rig_stop(&rig));
}

static uint64_t cpu_ms(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	cr_assert_eq(clock_getcpuclockid(pid, &clock), 0);
	cr_assert_eq(clock_gettime(clock, &t), 0);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What can't be accepted waits, and the program with it: it doesn't turn round and round. */
Test(egress_load, without_descriptors, .timeout = 60)
{
	static const uint16_t ports[] = { 80, 53 };
	int idle[FEW];
	char text[256];

	rig.descriptors = FEW;
	rig_start(&rig, NULL);
	world_serve(&rig.world, "8.1.1.1", 80);
	rig_policy(&rig, "{'allowOut': ['example.org'], 'denyOut': ['0.0.0.0/0']}");
	/* They say nothing, so each holds a descriptor while its first bytes are waited for. */
	for (unsigned i = 0; i < FEW; i++)
		idle[i] = net_dial(&rig.world.net, "8.1.1.1", 80);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		CLEANUP(fd_closep) int fd = net_dial(&rig.world.net, "8.1.1.1", ports[i]);
		uint64_t used = cpu_ms(rig.pid);

		cr_assert_geq(fd, 0);
		(void)poll(NULL, 0, 500);
		cr_assert_lt(cpu_ms(rig.pid) - used, 100, "port %u", ports[i]);
	}
	cr_assert_lt(rig_count(&rig, "connections_accepted"), FEW, "there were enough");
	for (unsigned i = 0; i < FEW; i++)
		fd_closep(&idle[i]);
	cr_assert_eq(rig_ask(&rig, "example.org", DNS_TYPE_A, true, text, sizeof(text)), 0);
	cr_assert_str_eq(text, "8.1.1.1");
	cr_assert_str_eq(rig_get(&rig, "8.1.1.1", 80, "example.org", ""), "8.1.1.1");
	cr_assert(rig_stop(&rig));
}
