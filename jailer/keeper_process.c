/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_process.c - what the process of one image does. The bytes are whatever a client sent.
 */
#include "jailer/keeper_process.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <signal.h>
#include <sodium.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "policies/seccomp/filter.h"
#include "seccomp/keeper.h"

#define PIECE_BYTES  (256U * 1024U)
#define VERITY_BLOCK 4096U

/* All of the jailer's but ours: the descriptors are in no order. */
static int close_others(const struct keeper_task *t)
{
	int keep[] = { STDERR_FILENO, t->stream, t->file, t->same, t->report };
	unsigned from = STDERR_FILENO + 1;

	for (size_t done = 1; done < ARRAY_SIZE(keep); done++) {
		int next = -1;
		for (size_t i = 1; i < ARRAY_SIZE(keep); i++)
			if (keep[i] >= (int)from && (next < 0 || keep[i] < next))
				next = keep[i];
		if (next < 0)
			return -EBADF;
		if ((unsigned)next > from && close_range(from, (unsigned)next - 1, 0) < 0)
			return -errno;
		from = (unsigned)next + 1;
	}
	return close_range(from, ~0U, 0) < 0 ? -errno : 0;
}

/*
 * Should: keep the descriptors, and root's uid, which owns the file (fs-verity asks for that).
 * Mustn't: keep a capability, a way to another file or process, or outlive the jailer.
 */
static int give_up(const struct keeper_task *t)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	int r;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	r = close_others(t);
	if (r < 0)
		return r;
	if (syscall(SYS_capset, &head, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return SECCOMP_INSTALL(seccomp_keeper, 0);
}

/* Exactly t->bytes, and then the end of the stream. */
static int copy(const struct keeper_task *t, uint8_t digest[BLOB_DIGEST_BYTES])
{
	static uint8_t piece[PIECE_BYTES];
	crypto_hash_sha256_state h;
	uint64_t left = t->bytes;
	int r = 0;

	(void)crypto_hash_sha256_init(&h);
	while (r == 0) {
		/* One more than what is left, to notice what is too much. */
		ssize_t n = read(t->stream, piece, (size_t)MIN(left + 1, (uint64_t)PIECE_BYTES));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if ((uint64_t)n > left)
			return -EFBIG;
		left -= (uint64_t)n;
		(void)crypto_hash_sha256_update(&h, piece, (size_t)n);
		r = fd_write_full(t->file, piece, (size_t)n);
	}
	(void)crypto_hash_sha256_final(&h, digest);
	return r == 0 && left > 0 ? -EPIPE : r;
}

/* Read-only, on the disk, and by fs-verity where there is such a thing: 1 or 0, or -errno. */
static int settle(const struct keeper_task *t)
{
	struct fsverity_enable_arg v = { .version = 1,
					 .hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
					 .block_size = VERITY_BLOCK };
	int verity;

	if (fsync(t->file) < 0)
		return -errno;
	(void)close(t->file);
	/* Before it is read-only: fs-verity asks for the right to write, and we have no capability.
	 */
	verity = ioctl(t->same, FS_IOC_ENABLE_VERITY, &v) == 0;
	/* A file system that doesn't have it, or doesn't want it. */
	if (!verity && errno != ENOTTY && errno != EOPNOTSUPP && errno != EINVAL)
		return -errno;
	if (fchmod(t->same, 0400) < 0 || fsync(t->same) < 0)
		return -errno;
	return verity;
}

void keeper_process(const struct keeper_task *t)
{
	struct keeper_report out = { 0 };
	int r = give_up(t);

	if (r == 0)
		r = copy(t, out.digest);
	if (r == 0)
		r = settle(t);
	out.error = r < 0 ? r : 0;
	out.verity = r == 1;
	_exit(fd_send(t->report, &out, sizeof(out), NULL, 0) == (ssize_t)sizeof(out) ? 0 : 1);
}
