/* SPDX-License-Identifier: Apache-2.0 */
/* jail_restore.c - whose memory and whose disk a jail may go on from: what Restore and RestoreSplit
 * refuse, each beside what they take. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "tests/native/jail_rig.h"

#define CALL_MS	  10000
#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static struct rig g;

static void set_up(void)
{
	rig_require();
	g = (struct rig){ .max = 8 };
	rig_open(&g);
}

static void tear_down(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_restore, .init = set_up, .fini = tear_down, .timeout = 60);

/* What is asked for, and what of it is wrong: all zero is right. */
struct attempt {
	const char *disk_jail, *disk_id; /* NULL = none */
	uint64_t scratch_bytes;
	bool has_seal, not_unsealed, is_empty;
	int rest_seals;	     /* besides ALL_SEALS, to be left out */
	uint64_t rest_bytes; /* 0 = as long as it has to be */
};

static int sealed(uint64_t bytes, int seals)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static char *text(const char *s)
{
	return (char *)(uintptr_t)(s != NULL ? s : "");
}

/* In a jail of its own, which is gone again. */
static enum rpc_code restore(enum jailer_method m, const struct attempt *t)
{
	static uint8_t seal[224];
	Casemate__Jailer__V1__CreateRequest create = CASEMATE__JAILER__V1__CREATE_REQUEST__INIT;
	Casemate__Jailer__V1__RestoreRequest q = CASEMATE__JAILER__V1__RESTORE_REQUEST__INIT;
	int files[3] = { sealed(4096, ALL_SEALS), sealed(RIG_MEMORY, ALL_SEALS),
			 sealed(t->rest_bytes > 0 ? t->rest_bytes : RIG_MEMORY,
				ALL_SEALS & ~t->rest_seals) };
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	int fds[2];

	create.id = text("child");
	create.kernel = text("");
	create.image = text("i");
	create.vcpus = 1;
	create.memory_bytes = RIG_MEMORY;
	create.scratch_bytes = t->scratch_bytes;
	q.create = t->is_empty ? NULL : &create;
	q.unsealed = !t->not_unsealed;
	q.disk_jail = text(t->disk_jail);
	q.disk_id = text(t->disk_id);
	if (t->has_seal)
		q.seal = (ProtobufCBinaryData){ .len = sizeof(seal), .data = seal };
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[m], &q.base, files, CALL_MS, &st,
				   &out, fds),
		     0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		fd_closep(&files[i]);
	if (st.code == RPC_OK) {
		protobuf_c_message_free_unpacked(out, NULL);
		(void)close(fds[0]);
		(void)close(fds[1]);
		cr_assert_eq(rig_destroy(&g, "child"), RPC_OK);
	}
	return st.code;
}

static void expect(enum rpc_code code, struct attempt t)
{
	cr_expect_eq(restore(JAILER_RESTORE_SPLIT, &t), code, "RestoreSplit");
	cr_expect_eq(restore(JAILER_RESTORE, &t), code, "Restore");
}

static void expect_split(enum rpc_code code, struct attempt t)
{
	cr_expect_eq(restore(JAILER_RESTORE_SPLIT, &t), code);
}

Test(jail_restore, a_memory_in_two_files)
{
	expect_split(RPC_OK, (struct attempt){ 0 });
	expect_split(RPC_INVALID_ARGUMENT, (struct attempt){ .is_empty = true });
	/* What a seal says, it says of one file: with one, without the word that there is none. */
	expect_split(RPC_INVALID_ARGUMENT, (struct attempt){ .has_seal = true });
	expect_split(RPC_INVALID_ARGUMENT, (struct attempt){ .not_unsealed = true });
	expect_split(RPC_INVALID_ARGUMENT,
		     (struct attempt){ .not_unsealed = true, .has_seal = true });
	expect_split(RPC_INVALID_ARGUMENT, (struct attempt){ .rest_bytes = RIG_MEMORY / 2 });
	expect_split(RPC_INVALID_ARGUMENT, (struct attempt){ .rest_bytes = RIG_MEMORY + 4096 });
	for (int bit = 1; bit <= F_SEAL_WRITE; bit <<= 1)
		expect_split(RPC_INVALID_ARGUMENT, (struct attempt){ .rest_seals = bit });
	expect_split(RPC_OK, (struct attempt){ 0 });
	cr_expect_eq(rig_groups(&g), 0, "nothing is left of what was refused");
}

Test(jail_restore, the_disk_of_a_jail)
{
	struct rig_jail j;

	rig_create_ok(&g, "parent", &j);
	expect(RPC_OK, (struct attempt){ .disk_jail = "parent", .scratch_bytes = RIG_SCRATCH });
	/* It has one of this length and no other. */
	expect(RPC_INVALID_ARGUMENT,
	       (struct attempt){ .disk_jail = "parent", .scratch_bytes = 2 * RIG_SCRATCH });
	expect(RPC_NOT_FOUND,
	       (struct attempt){ .disk_jail = "nobody", .scratch_bytes = RIG_SCRATCH });
	expect(RPC_INVALID_ARGUMENT,
	       (struct attempt){ .disk_jail = "../parent", .scratch_bytes = RIG_SCRATCH });
	/* A disk goes with its own memory: a jail's with one that was never kept, ... */
	cr_expect_eq(restore(JAILER_RESTORE, &(struct attempt){ .disk_jail = "parent",
								.scratch_bytes = RIG_SCRATCH,
								.not_unsealed = true,
								.has_seal = true }),
		     RPC_FAILED_PRECONDITION);
	/* ... and a kept one with what was sealed; and there is none out of nowhere. */
	expect(RPC_FAILED_PRECONDITION,
	       (struct attempt){ .disk_id = "parent", .scratch_bytes = RIG_SCRATCH });
	expect(RPC_FAILED_PRECONDITION, (struct attempt){ .scratch_bytes = RIG_SCRATCH });
	expect(RPC_OK, (struct attempt){ .disk_jail = "parent", .scratch_bytes = RIG_SCRATCH });
	/* Its jail has ended: what of it is still there isn't to be had. */
	cr_assert_eq(rig_destroy(&g, "parent"), RPC_OK);
	expect(RPC_NOT_FOUND,
	       (struct attempt){ .disk_jail = "parent", .scratch_bytes = RIG_SCRATCH });
	(void)close(j.control);
	(void)close(j.log);
}

static enum rpc_code reserve(const char *id)
{
	Casemate__Jailer__V1__ReserveRequest q = CASEMATE__JAILER__V1__RESERVE_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;

	q.id = text(id);
	q.snapshots = 1;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_RESERVE], &q.base, NULL,
				   CALL_MS, &st, &out, NULL),
		     0);
	if (out != NULL)
		protobuf_c_message_free_unpacked(out, NULL);
	return st.code;
}

/* A client's own, even if the other one is of the same uid. */
Test(jail_restore, of_another_client)
{
	const struct attempt t = { .disk_jail = "parent", .scratch_bytes = RIG_SCRATCH };
	struct rpc_conn *first = g.conn;
	struct rig_jail j;

	rig_create_ok(&g, "parent", &j);
	rig_connect(&g);
	expect(RPC_NOT_FOUND, t);
	cr_expect_eq(reserve("parent"), RPC_NOT_FOUND);
	rpc_conn_free(g.conn);
	g.conn = first;
	cr_expect_eq(reserve("parent"), RPC_OK);
	expect(RPC_OK, t);
	(void)close(j.control);
	(void)close(j.log);
}
