/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/sparse.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

#define BLOCK	    (64 * KIB)
#define STEP_BLOCKS 4U

static void advance(struct sparse *c, uint64_t n)
{
	c->from_at += n;
	c->to_at += n;
	c->left -= n;
}

static int skip_hole(struct sparse *c)
{
	off_t data = lseek(c->from, (off_t)c->from_at, SEEK_DATA);

	if (data < 0 && errno != ENXIO)
		return -errno;
	advance(c, data < 0 ? c->left : MIN((uint64_t)data - c->from_at, c->left));
	return 0;
}

int sparse_step(struct sparse *c)
{
	static uint8_t block[BLOCK]; /* one thread */
	static const uint8_t zeros[BLOCK];
	int r = 0;

	for (unsigned i = 0; i < STEP_BLOCKS && c->left > 0 && r == 0; i++) {
		r = skip_hole(c);
		if (r < 0 || c->left == 0)
			break;
		size_t n = (size_t)MIN(c->left, (uint64_t)BLOCK);
		r = fd_pread_full(c->from, block, n, c->from_at);
		if (r == 0 && memcmp(block, zeros, n) != 0)
			r = fd_pwrite_full(c->to, block, n, c->to_at);
		if (r == 0)
			advance(c, n);
	}
	explicit_bzero(block, sizeof(block)); /* a tenant's */
	return r < 0 ? r : c->left > 0;
}

int sparse_share(int from, int to, uint64_t bytes)
{
	const struct file_clone_range range = { .src_fd = from, .src_length = bytes };

	if (ioctl(to, FICLONERANGE, &range) == 0)
		return 0;
	/* EXDEV: another file system; EINVAL: its blocks are larger than bytes is a multiple of, or
	 * `from` has shrunk, which the copy will find. */
	return errno == EXDEV || errno == EINVAL || errno == ENOTTY ? -EOPNOTSUPP : -errno;
}
