/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/num.h"

#define PAGE	    UINT64_C(4096)
#define OVERLAY_MIN (64 * KIB)

int source_from_fd(struct source *s, const char *what, int fd, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s: descriptor %d", what, fd);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: not a regular file", what);
	if (st.st_size <= 0)
		return err_set(err, -EINVAL, "%s: the file is empty", what);
	*s = (struct source){ .what = what, .fd = fd, .size = (uint64_t)st.st_size };
	return 0;
}

void source_from_mem(struct source *s, const char *what, const void *mem, size_t size)
{
	*s = (struct source){ .what = what, .mem = mem, .fd = -1, .size = size };
}

static int check_range(const struct source *s, uint64_t off, uint64_t len, const char *piece,
		       struct err *err)
{
	if (range_fits(off, len, s->size))
		return 0;
	return err_set(err, -EINVAL,
		       "%s: truncated: %s needs %" PRIu64 " bytes at offset %" PRIu64
		       ", beyond the file size %" PRIu64,
		       s->what, piece, len, off, s->size);
}

/* One transfer of at most len bytes; 0 = the file has shrunk. */
static ssize_t read_some(const struct source *s, uint64_t off, const struct iovec *iov)
{
	ssize_t n;

	if (s->mem != NULL) {
		memcpy(iov->iov_base, s->mem + off, iov->iov_len);
		return (ssize_t)iov->iov_len;
	}
	do {
		n = preadv(s->fd, iov, 1, (off_t)off);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int read_all(const struct source *s, uint64_t off, struct iovec iov, const char *piece,
		    struct err *err)
{
	while (iov.iov_len > 0) {
		ssize_t n = read_some(s, off, &iov);
		if (n < 0)
			return err_sys(err, (int)n, "%s: reading %s", s->what, piece);
		if (n == 0)
			return err_set(err, -EINVAL, "%s: the file shrank while %s was read",
				       s->what, piece);
		off += (uint64_t)n;
		iov.iov_base = (uint8_t *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
	}
	return 0;
}

int source_read(const struct source *s, uint64_t off, void *dst, size_t len, const char *piece,
		struct err *err)
{
	int r = check_range(s, off, len, piece, err);

	if (r < 0)
		return r;
	return read_all(s, off, (struct iovec){ dst, len }, piece, err);
}

/*
 * The whole pages at the start of [off, off+len) that can lie over guest memory as they are in the
 * file: how many bytes, or -errno. Small pieces are cheaper to copy than to map.
 */
static int64_t overlay(const struct source *s, uint64_t off, struct gmem *m, gpa_t to, uint64_t len)
{
	uint64_t whole = len & ~(PAGE - 1);
	int r;

	if (s->mem != NULL || whole < OVERLAY_MIN || off % PAGE != 0 || to.v % PAGE != 0)
		return 0;
	r = gmem_overlay_file(m, to, whole, s->fd, off);
	if (r == -EOPNOTSUPP)
		return 0;
	return r < 0 ? r : (int64_t)whole;
}

int source_load(const struct source *s, uint64_t off, struct gmem *m, gpa_t to, uint64_t len,
		const char *piece, struct err *err)
{
	struct iovec iov[1];
	size_t n = 0;
	int64_t laid;
	int r = check_range(s, off, len, piece, err);

	if (r < 0)
		return r;
	if (len == 0)
		return 0;
	r = gmem_iov(m, to, len, true, iov, ARRAY_SIZE(iov), &n);
	if (r < 0)
		return err_set(err, r, "%s: %s at 0x%" PRIx64 " is outside the guest's memory",
			       s->what, piece, to.v);
	laid = overlay(s, off, m, to, len);
	if (laid < 0)
		return err_sys(err, (int)laid, "%s: mapping %s", s->what, piece);
	iov[0].iov_base = (uint8_t *)iov[0].iov_base + laid;
	iov[0].iov_len -= (size_t)laid;
	return read_all(s, off + (uint64_t)laid, iov[0], piece, err);
}
