/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that come through the API, with the product's jailer under its filter: what is kept is
 * what was sent, under the name that its bytes have, and nothing else is ever there.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/native/jail_rig.h"

#define CALL_MS 20000
#define BYTES	(3U * 1024U * 1024U + 4097U) /* no multiple of anything */

static struct rig g;
static char digest[65];

static uint8_t image[BYTES];

static void sha256_of_image(void)
{
	uint8_t hash[32];

	(void)crypto_hash_sha256(hash, image, sizeof(image));
	(void)sodium_bin2hex(digest, sizeof(digest), hash, sizeof(hash));
}

static void setup(void)
{
	rig_require();
	g = (struct rig){ .vmm = VMM_BIN };
	rig_prepare(&g);
	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 31 + (i >> 12));
	sha256_of_image();
	rig_start_jailer(&g);
	rig_connect(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_image, .init = setup, .fini = teardown, .timeout = 60);

/* A child that writes the image's first `send` bytes, and more when that is more. */
static pid_t sender(int fd, size_t send)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)signal(SIGPIPE, SIG_IGN);
	_exit(fd_write_full(fd, image, send > BYTES ? BYTES : send) == 0 &&
			      (send <= BYTES || fd_write_full(fd, image, send - BYTES) == 0)
		      ? 0
		      : 1);
}

struct stored {
	char digest[65];
	bool existed, verity;
};

static enum rpc_code store(size_t send, uint64_t bytes, const char *want, struct stored *ret,
			   struct rpc_status *st)
{
	Casemate__Jailer__V1__StoreImageRequest q = CASEMATE__JAILER__V1__STORE_IMAGE_REQUEST__INIT;
	Casemate__Jailer__V1__StoreImageResponse *a;
	ProtobufCMessage *out = NULL;
	int sv[2];
	pid_t pid;

	cr_assert_eq(fd_socketpair(sv, false), 0);
	pid = sender(sv[0], send);
	close(sv[0]);
	q.bytes = bytes;
	q.digest = (char *)(size_t)want;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_STORE_IMAGE], &q.base,
				   &sv[1], CALL_MS, st, &out, NULL),
		     0);
	close(sv[1]);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	if (st->code != RPC_OK)
		return st->code;
	a = (Casemate__Jailer__V1__StoreImageResponse *)(void *)out;
	(void)snprintf(ret->digest, sizeof(ret->digest), "%s", a->digest);
	ret->existed = a->existed;
	ret->verity = a->verity;
	protobuf_c_message_free_unpacked(out, NULL);
	return RPC_OK;
}

static enum rpc_code drop(const char *name, struct rpc_status *st)
{
	Casemate__Jailer__V1__RemoveImageRequest q =
		CASEMATE__JAILER__V1__REMOVE_IMAGE_REQUEST__INIT;
	ProtobufCMessage *out = NULL;

	q.digest = (char *)(size_t)name;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_REMOVE_IMAGE], &q.base,
				   NULL, CALL_MS, st, &out, NULL),
		     0);
	if (st->code == RPC_OK)
		protobuf_c_message_free_unpacked(out, NULL);
	return st->code;
}

/* How many images the jailer has; ret: the first. */
static size_t list(struct stored *ret, uint64_t *ret_bytes)
{
	Casemate__Jailer__V1__ListImagesRequest q = CASEMATE__JAILER__V1__LIST_IMAGES_REQUEST__INIT;
	Casemate__Jailer__V1__ListImagesResponse *a;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	size_t n;

	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_LIST_IMAGES], &q.base,
				   NULL, CALL_MS, &st, &out, NULL),
		     0);
	cr_assert_eq(st.code, RPC_OK, "%s", st.msg);
	a = (Casemate__Jailer__V1__ListImagesResponse *)(void *)out;
	n = a->n_images;
	if (n > 0) {
		(void)snprintf(ret->digest, sizeof(ret->digest), "%s", a->images[0]->digest);
		ret->verity = a->images[0]->verity;
		*ret_bytes = a->images[0]->bytes;
	}
	cr_expect_geq(a->n_placed, 1);
	protobuf_c_message_free_unpacked(out, NULL);
	return n;
}

static int files(void)
{
	return rig_kept(&g, "blobs");
}

Test(jail_image, is_kept_whole_under_its_digest)
{
	static uint8_t back[BYTES + 1];
	struct stored s = { 0 }, listed = { 0 };
	struct rpc_status st;
	uint64_t bytes = 0;
	char path[160];
	struct stat sb;
	int fd;

	cr_assert_eq(store(BYTES, BYTES, digest, &s, &st), RPC_OK, "%s", st.msg);
	cr_expect_str_eq(s.digest, digest);
	cr_expect(!s.existed);
	(void)snprintf(path, sizeof(path), "%s/store/blobs/%s", g.dir, digest);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fstat(fd, &sb), 0);
	cr_expect_eq(sb.st_mode & 07777, 0400);
	cr_expect_eq(sb.st_uid, 0);
	cr_expect_eq(sb.st_nlink, 1);
	cr_assert_eq(read(fd, back, sizeof(back)), (ssize_t)BYTES);
	cr_expect_eq(memcmp(back, image, BYTES), 0);
	close(fd);
	cr_assert_eq(list(&listed, &bytes), 1);
	cr_expect_str_eq(listed.digest, digest);
	cr_expect_eq(listed.verity, s.verity);
	cr_expect_eq(bytes, BYTES);
	/* Once more: there is one, as before. */
	cr_assert_eq(store(BYTES, BYTES, "", &s, &st), RPC_OK, "%s", st.msg);
	cr_expect(s.existed);
	cr_expect_eq(files(), 1);
}

Test(jail_image, what_is_not_as_promised_leaves_nothing)
{
	static const char other[] = "00000000000000000000000000000000"
				    "00000000000000000000000000000000";
	struct stored s;
	struct rpc_status st;

	cr_expect_eq(store(BYTES, BYTES, other, &s, &st), RPC_INVALID_ARGUMENT, "%d %s", st.code,
		     st.msg);
	cr_expect_not_null(strstr(st.msg, digest), "%s", st.msg);
	cr_expect_neq(store(BYTES - 1, BYTES, "", &s, &st), RPC_OK);
	cr_expect_not_null(strstr(st.msg, "ended before"), "%s", st.msg);
	cr_expect_eq(store(BYTES + 1, BYTES, "", &s, &st), RPC_INVALID_ARGUMENT, "%s", st.msg);
	cr_expect_eq(store(0, 0, "", &s, &st), RPC_OUT_OF_RANGE, "%d %s", st.code, st.msg);
	cr_expect_neq(store(0, UINT64_C(1) << 60, "", &s, &st), RPC_OK);
	cr_expect_eq(store(1, 1, "../../etc/passwd", &s, &st), RPC_INVALID_ARGUMENT);
	cr_expect_eq(files(), 0);
	/* The control: the same way, with nothing wrong. */
	cr_expect_eq(store(BYTES, BYTES, digest, &s, &st), RPC_OK, "%s", st.msg);
	cr_expect_eq(files(), 1);
}

Test(jail_image, jails_run_from_it_and_keep_it)
{
	struct rig_jail j;
	struct rpc_status st;
	struct stored s;

	cr_expect_eq(rig_create(&g, "none", "k", digest, RIG_MEMORY, &j, &st), RPC_NOT_FOUND, "%s",
		     st.msg);
	cr_assert_eq(store(BYTES, BYTES, digest, &s, &st), RPC_OK, "%s", st.msg);
	cr_assert_eq(rig_create(&g, "one", "k", digest, RIG_MEMORY, &j, &st), RPC_OK, "%s", st.msg);
	cr_expect_eq(drop(digest, &st), RPC_FAILED_PRECONDITION, "%s", st.msg);
	cr_expect_eq(files(), 1);
	cr_assert_eq(rig_destroy(&g, "one"), RPC_OK);
	cr_expect_eq(drop(digest, &st), RPC_OK, "%s", st.msg);
	cr_expect_eq(files(), 0);
	cr_expect_eq(drop(digest, &st), RPC_NOT_FOUND);
	cr_expect_eq(drop("i", &st), RPC_INVALID_ARGUMENT);
}

/* Whoever sends it may stop in the middle, or go away altogether: the process ends with it. */
Test(jail_image, a_caller_that_goes_away_leaves_no_process)
{
	Casemate__Jailer__V1__StoreImageRequest q = CASEMATE__JAILER__V1__STORE_IMAGE_REQUEST__INIT;
	static const struct rpc_pending_ops ops = { .done = NULL };
	struct rpc_pending *p;
	pid_t children[8];
	int sv[2], before = rig_children(&g, children, 8), during = before;

	cr_assert_eq(fd_socketpair(sv, false), 0);
	q.bytes = BYTES;
	cr_assert_eq(rpc_start(g.conn, &jailer_methods[JAILER_STORE_IMAGE], &q.base, &sv[1], 0,
			       &ops, NULL, &p),
		     0);
	close(sv[1]);
	for (int i = 0; i < 500 && during == before; i++) {
		cr_assert_geq(loop_step(g.loop, 10), 0);
		during = rig_children(&g, children, 8);
	}
	cr_assert_eq(during, before + 1);
	rpc_conn_free(g.conn);
	g.conn = NULL;
	for (int i = 0; i < 500 && during != before; i++) {
		(void)usleep(10000);
		during = rig_children(&g, children, 8);
	}
	cr_expect_eq(during, before);
	cr_expect_eq(files(), 0);
	close(sv[0]);
	rig_connect(&g);
}
