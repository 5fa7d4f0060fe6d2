/* SPDX-License-Identifier: Apache-2.0 */
/* Seals of snapshots: what was sealed passes, and nothing else does. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/le.h"
#include "base/num.h"
#include "jailer/memdigest.h"
#include "jailer/sealer.h"

#define MEMORY_BYTES (2 * MIB)
#define STATE_BYTES  1000U
#define SEALS	     (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const uint8_t key[SNAPSEAL_KEY_BYTES] = "an octet for each of thirty-two";
static const struct sealkey host_key = { key };

/* What came of a job. */
static struct {
	unsigned calls;
	int r;
	uint8_t seal[SNAPSEAL_BYTES];
	char why[ERR_MSG_MAX];
} got;

static void on_end(void *arg, int r, const uint8_t *seal, const struct err *err)
{
	(void)arg;
	got.calls++;
	got.r = r;
	if (seal != NULL)
		memcpy(got.seal, seal, sizeof(got.seal));
	memcpy(got.why, err->msg, sizeof(got.why));
}

static struct loop *loop;
static struct sealer *sealer;

static void setup(void)
{
	cr_assert_geq(sodium_init(), 0);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(sealer_new(loop, &host_key, &sealer), 0);
	memset(&got, 0, sizeof(got));
}

static void teardown(void)
{
	sealer_free(sealer);
	loop_free(loop);
}

TestSuite(jailer_seal, .init = setup, .fini = teardown);

static int file_of(const void *data, size_t len, uint64_t bytes)
{
	int fd = memfd_create("part", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	cr_assert_eq(pwrite(fd, data, len, 0), (ssize_t)len);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	return fd;
}

static struct request machine(void)
{
	static const uint8_t state[STATE_BYTES] = "the state";
	struct request q = {
		.vcpus = 2, .memory_bytes = MEMORY_BYTES, .image = "debian", .nic_queues = 1
	};

	q.state = file_of(state, STATE_BYTES, STATE_BYTES);
	q.memory = file_of("the memory", 10, MEMORY_BYTES);
	return q;
}

static void close_machine(struct request *q)
{
	fd_closep(&q->state);
	fd_closep(&q->memory);
}

/* Until the job has ended: the result of it or of its begin. */
static int finish(int r, const struct err *err)
{
	if (r < 0) {
		memcpy(got.why, err->msg, sizeof(got.why));
		return r;
	}
	while (got.calls == 0)
		cr_assert_eq(loop_step(loop, 1000), 0);
	cr_expect_eq(got.calls, 1);
	got.calls = 0;
	return got.r;
}

static int seal(const struct request *q)
{
	struct sealer_job *job;
	struct err err = { 0 };

	return finish(sealer_seal(sealer, q, on_end, NULL, &job, &err), &err);
}

static int check(const struct request *q, const void *bytes, size_t len)
{
	struct sealer_job *job;
	struct err err = { 0 };

	return finish(sealer_check(sealer, q, bytes, len, on_end, NULL, &job, &err), &err);
}

static void expect_refused(const struct request *q, int code, const char *why)
{
	cr_expect_eq(check(q, got.seal, SNAPSEAL_BYTES), code, "%s", got.why);
	cr_expect(strstr(got.why, why) != NULL, "\"%s\" doesn't say \"%s\"", got.why, why);
}

Test(jailer_seal, what_was_sealed_passes)
{
	struct request q = machine();

	cr_assert_eq(seal(&q), 0);
	cr_expect_eq(check(&q, got.seal, SNAPSEAL_BYTES), 0, "%s", got.why);
	/* By a jailer that has never seen these files. */
	sealer_free(sealer);
	cr_assert_eq(sealer_new(loop, &host_key, &sealer), 0);
	cr_expect_eq(check(&q, got.seal, SNAPSEAL_BYTES), 0, "%s", got.why);
	close_machine(&q);
}

Test(jailer_seal, every_bit_of_the_seal)
{
	struct request q = machine();
	uint8_t bytes[SNAPSEAL_BYTES];

	cr_assert_eq(seal(&q), 0);
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		memcpy(bytes, got.seal, sizeof(bytes));
		bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
		cr_expect_lt(check(&q, bytes, sizeof(bytes)), 0, "bit %zu", bit);
	}
	for (size_t len = 0; len < SNAPSEAL_BYTES; len++)
		cr_expect_lt(check(&q, got.seal, len), 0, "%zu bytes", len);
	close_machine(&q);
}

Test(jailer_seal, every_bit_of_the_state)
{
	uint8_t text[STATE_BYTES] = "the state";
	struct request q = machine();
	int state = q.state;

	cr_assert_eq(seal(&q), 0);
	for (size_t bit = 0; bit < 8 * sizeof(text); bit++) {
		text[bit / 8] ^= (uint8_t)(1U << (bit % 8));
		q.state = file_of(text, sizeof(text), sizeof(text));
		expect_refused(&q, -EKEYREJECTED, "state isn't what was sealed");
		close(q.state);
		text[bit / 8] ^= (uint8_t)(1U << (bit % 8));
	}
	q.state = file_of(text, STATE_BYTES - 1, STATE_BYTES - 1);
	expect_refused(&q, -EKEYREJECTED, "state isn't what was sealed");
	close(q.state);
	q.state = state;
	close_machine(&q);
}

Test(jailer_seal, another_memory)
{
	static uint8_t all[MEMORY_BYTES];
	struct request q = machine();
	int memory = q.memory;

	cr_assert_eq(seal(&q), 0);
	memcpy(all, "the memory", 10);
	for (uint64_t at = 3; at < MEMORY_BYTES; at += 65521) {
		all[at] ^= 0x10;
		q.memory = file_of(all, sizeof(all), sizeof(all));
		expect_refused(&q, -EKEYREJECTED, "memory isn't what was sealed");
		close(q.memory);
		all[at] ^= 0x10;
	}
	/* The same bytes without a hole. */
	q.memory = file_of(all, sizeof(all), sizeof(all));
	cr_expect_eq(check(&q, got.seal, SNAPSEAL_BYTES), 0, "%s", got.why);
	close(q.memory);
	q.memory = memory;
	close_machine(&q);
}

Test(jailer_seal, another_machine)
{
	struct request q = machine();

	cr_assert_eq(seal(&q), 0);
	q.vcpus = 3;
	expect_refused(&q, -EINVAL, "2 vCPUs, not 3");
	q.vcpus = 2;
	q.scratch_bytes = 4096;
	expect_refused(&q, -EINVAL, "0 bytes of scratch disk, not 4096");
	q.scratch_bytes = 0;
	q.nic_queues = 0;
	expect_refused(&q, -EINVAL, "1 network queues, not 0");
	q.nic_queues = 1;
	memcpy(q.image, "fedora", 7);
	expect_refused(&q, -EINVAL, "image debian, not fedora");
	q.memory_bytes *= 2;
	expect_refused(&q, -EINVAL, "bytes of memory");
	q.memory_bytes /= 2;
	close_machine(&q);
}

Test(jailer_seal, another_key_or_version)
{
	static const uint8_t other[SNAPSEAL_KEY_BYTES] = "another host's";
	static const struct sealkey other_key = { other };
	struct request q = machine();
	struct sealer *theirs;
	struct sealer_job *job;
	struct err err = { 0 };
	le32_t version = le32_put(SNAPSEAL_VERSION + 1);

	cr_assert_eq(sealer_new(loop, &other_key, &theirs), 0);
	cr_assert_eq(seal(&q), 0);
	cr_expect_eq(sealer_check(theirs, &q, got.seal, SNAPSEAL_BYTES, on_end, NULL, &job, &err),
		     -EKEYREJECTED);
	cr_expect(strstr(err.msg, "another key") != NULL, "%s", err.msg);
	memcpy(got.seal + 8, &version, sizeof(version));
	expect_refused(&q, -ENOTSUP, "version 2, this is 1");
	version = le32_put(0);
	memcpy(got.seal + 8, &version, sizeof(version));
	expect_refused(&q, -ENOTSUP, "version 0, this is 1");
	memset(got.seal, 0, sizeof(got.seal));
	expect_refused(&q, -EINVAL, "is none");
	sealer_free(theirs);
	close_machine(&q);
}

/* Digests are done in the background, a few at a time, and can be dropped at any point. */
Test(jailer_seal, bounded)
{
	struct request q[SEALER_JOBS_MAX + 1];
	struct sealer_job *jobs[SEALER_JOBS_MAX + 1];
	struct err err = { 0 };

	for (unsigned i = 0; i <= SEALER_JOBS_MAX; i++)
		q[i] = machine();
	for (unsigned i = 0; i < SEALER_JOBS_MAX; i++)
		cr_assert_eq(sealer_seal(sealer, &q[i], on_end, NULL, &jobs[i], &err), 0);
	cr_expect_eq(sealer_seal(sealer, &q[SEALER_JOBS_MAX], on_end, NULL, &jobs[0], &err),
		     -EBUSY);
	for (unsigned i = 1; i < SEALER_JOBS_MAX; i++)
		sealer_cancel(jobs[i]);
	cr_expect_eq(finish(0, &err), 0);
	cr_expect_eq(loop_step(loop, 0), 0);
	cr_expect_eq(got.calls, 0);
	for (unsigned i = 0; i <= SEALER_JOBS_MAX; i++)
		close_machine(&q[i]);
}

/* ---- The key -------------------------------------------------------------------------------- */

static char dir[32];
static struct store store = { .dir = -1 };

static void open_store(void)
{
	if (geteuid() != 0)
		cr_skip_test("needs root, to be the owner");
	(void)snprintf(dir, sizeof(dir), "/tmp/casemate-key.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	store.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(store.dir, 0);
}

static void close_store(void)
{
	(void)unlinkat(store.dir, "seal.key", 0);
	fd_closep(&store.dir);
	cr_expect_eq(rmdir(dir), 0);
}

static void expect_bad_key(int code, const char *why)
{
	struct sealkey k;
	struct err err = { 0 };

	cr_expect_eq(sealkey_open(&k, &store, &err), code, "%s", err.msg);
	cr_expect(strstr(err.msg, why) != NULL, "%s", err.msg);
	cr_expect_null(k.bytes);
}

Test(jailer_seal, key_is_made_once_for_root_alone)
{
	uint8_t first[SNAPSEAL_KEY_BYTES];
	struct sealkey k;
	struct err err = { 0 };
	struct stat st;

	open_store();
	cr_assert_eq(sealkey_open(&k, &store, &err), 0, "%s", err.msg);
	memcpy(first, k.bytes, sizeof(first));
	cr_expect(!sodium_is_zero(first, sizeof(first)));
	sealkey_close(&k);
	cr_assert_eq(fstatat(store.dir, "seal.key", &st, AT_SYMLINK_NOFOLLOW), 0);
	cr_expect_eq(st.st_mode, S_IFREG | 0600, "%o", st.st_mode);
	cr_assert_eq(sealkey_open(&k, &store, &err), 0, "%s", err.msg);
	cr_expect_arr_eq(k.bytes, first, sizeof(first));
	sealkey_close(&k);
	/* Lost: another one, which doesn't know what the first has sealed. */
	cr_assert_eq(unlinkat(store.dir, "seal.key", 0), 0);
	cr_assert_eq(sealkey_open(&k, &store, &err), 0, "%s", err.msg);
	cr_expect_arr_neq(k.bytes, first, sizeof(first));
	sealkey_close(&k);
	close_store();
}

Test(jailer_seal, key_that_others_could_have)
{
	struct sealkey k;
	struct err err = { 0 };

	open_store();
	cr_assert_eq(sealkey_open(&k, &store, &err), 0, "%s", err.msg);
	sealkey_close(&k);
	cr_assert_eq(fchmodat(store.dir, "seal.key", 0640, 0), 0);
	expect_bad_key(-EPERM, "mode 0640");
	cr_assert_eq(fchmodat(store.dir, "seal.key", 0600, 0), 0);
	cr_assert_eq(fchownat(store.dir, "seal.key", 1, 1, 0), 0);
	expect_bad_key(-EPERM, "uid 1");
	cr_assert_eq(unlinkat(store.dir, "seal.key", 0), 0);
	cr_assert_eq(symlinkat("/etc/hostname", store.dir, "seal.key"), 0);
	expect_bad_key(-ELOOP, "seal.key");
	cr_assert_eq(unlinkat(store.dir, "seal.key", 0), 0);
	close(openat(store.dir, "seal.key", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	expect_bad_key(-EINVAL, "0 bytes instead of 32");
	close_store();
}

/* No process that is cloned from the jailer has it: a jail's first steps are such a process. */
Test(jailer_seal, key_is_not_inherited)
{
	struct sealkey k;
	struct err err = { 0 };
	int pipe_fds[2], status;
	pid_t pid;

	open_store();
	cr_assert_eq(sealkey_open(&k, &store, &err), 0, "%s", err.msg);
	cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	/* The kernel says EFAULT for what isn't there; here it is. */
	cr_expect_eq(write(pipe_fds[1], k.bytes, 1), 1);
	pid = fork();
	if (pid == 0)
		_exit(write(pipe_fds[1], k.bytes, 1) < 0 && errno == EFAULT ? 0 : 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	sealkey_close(&k);
	close_store();
}
