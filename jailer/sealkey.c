/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/sealkey.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define FILE_NAME  "seal.key"
#define PAGE_BYTES 4096U

/* The page is ours alone before there is anything in it. NULL and errno: there is none. */
static uint8_t *map_page(void)
{
	uint8_t *p =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (madvise(p, PAGE_BYTES, MADV_DONTFORK) < 0 ||
	    madvise(p, PAGE_BYTES, MADV_DONTDUMP) < 0 || mlock(p, PAGE_BYTES) < 0) {
		int e = errno;
		(void)munmap(p, PAGE_BYTES);
		errno = e;
		return NULL;
	}
	return p;
}

static int check_file(int fd, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, FILE_NAME);
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077) != 0)
		return err_set(err, -EPERM,
			       "the store's " FILE_NAME
			       " must be a file of root's, mode 0600 (uid %u, mode %04o)",
			       (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
	if (st.st_size != (off_t)SNAPSEAL_KEY_BYTES)
		return err_set(err, -EINVAL,
			       "the store's " FILE_NAME " has %jd bytes instead of %u",
			       (intmax_t)st.st_size, SNAPSEAL_KEY_BYTES);
	return 0;
}

/* The name appears when the file is whole and on the disk: a crash leaves none or a good one. */
static int make_file(int dir, uint8_t *key)
{
	CLEANUP(fd_closep) int fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	if (getrandom(key, SNAPSEAL_KEY_BYTES, 0) != (ssize_t)SNAPSEAL_KEY_BYTES)
		return -EIO;
	r = fd_write_full(fd, key, SNAPSEAL_KEY_BYTES);
	if (r < 0)
		return r;
	if (fsync(fd) < 0 || linkat(fd, "", dir, FILE_NAME, AT_EMPTY_PATH) < 0 || fsync(dir) < 0)
		return -errno;
	return 0;
}

static int load(const struct store *s, uint8_t *key, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = openat(s->dir, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0 && errno == ENOENT) {
		r = make_file(s->dir, key);
		return r < 0 ? err_sys(err, r, "the store's " FILE_NAME ": making it") : 0;
	}
	if (fd < 0)
		return err_sys(err, -errno, "the store's " FILE_NAME);
	r = check_file(fd, err);
	if (r < 0)
		return r;
	r = fd_read_full(fd, key, SNAPSEAL_KEY_BYTES);
	return r < 0 ? err_sys(err, r, "the store's " FILE_NAME) : 0;
}

int sealkey_open(struct sealkey *k, const struct store *s, struct err *err)
{
	uint8_t *page;
	int r;

	k->bytes = NULL;
	/* It chooses the fastest BLAKE2b of this processor. */
	if (sodium_init() < 0)
		return err_set(err, -EIO, "libsodium doesn't start");
	page = map_page();
	if (page == NULL)
		return err_sys(err, -errno, "a page for the key of seals");
	r = load(s, page, err);
	if (r == 0 && mprotect(page, PAGE_BYTES, PROT_READ) < 0)
		r = err_sys(err, -errno, "a page for the key of seals");
	if (r < 0) {
		explicit_bzero(page, SNAPSEAL_KEY_BYTES);
		(void)munmap(page, PAGE_BYTES);
		return r;
	}
	k->bytes = page;
	return 0;
}

void sealkey_close(struct sealkey *k)
{
	uint8_t *page = (uint8_t *)(uintptr_t)k->bytes;

	if (page == NULL)
		return;
	k->bytes = NULL;
	if (mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE) == 0)
		explicit_bzero(page, SNAPSEAL_KEY_BYTES);
	(void)munmap(page, PAGE_BYTES);
}
