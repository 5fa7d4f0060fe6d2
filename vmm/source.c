/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/num.h"

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

int source_load(const struct source *s, uint64_t off, struct gmem *m, gpa_t to, uint64_t len,
		const char *piece, struct err *err)
{
	struct iovec iov[1];
	size_t n = 0;
	int r = check_range(s, off, len, piece, err);

	if (r < 0)
		return r;
	if (len == 0)
		return 0;
	r = gmem_iov(m, to, len, iov, ARRAY_SIZE(iov), &n);
	if (r < 0)
		return err_set(err, r, "%s: %s at 0x%" PRIx64 " is outside the guest's memory",
			       s->what, piece, to.v);
	return read_all(s, off, iov[0], piece, err);
}
