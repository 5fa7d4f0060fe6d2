/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/build_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/daemon/tenant.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define SWEEP_MS 60000U

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

_Static_assert(BUILD_FILES_DIGEST_LEN == 2 * crypto_hash_sha256_BYTES, "two digits a byte");

struct build_file {
	struct build_file *next;
	struct build_files *all;
	const struct tenant *tenant;
	struct build_files_key key;
	uint64_t bytes, at;
	uint64_t since_ms; /* monotonic */
	bool whole;
	int fd;
	crypto_hash_sha256_state hash;
	char digest[BUILD_FILES_DIGEST_LEN + 1];
};

struct build_files {
	struct loop *loop;
	struct loop_timer *sweep;
	char dir[512]; /* "" = in memory */
	struct build_file *first;
};

/* ---- The list ------------------------------------------------------------------------------ */

void build_file_drop(struct build_file *b)
{
	struct build_file **at;

	if (b == NULL)
		return;
	for (at = &b->all->first; *at != b;)
		at = &(*at)->next;
	*at = b->next;
	fd_closep(&b->fd);
	free(b);
}

static bool same(const struct build_files_key *a, const struct build_files_key *b)
{
	return strcmp(a->template, b->template) == 0 && strcmp(a->hash, b->hash) == 0;
}

static struct build_file *find(const struct build_files *f, const struct build_files_key *key)
{
	struct build_file *b = f->first;

	while (b != NULL && !(b->whole && same(&b->key, key)))
		b = b->next;
	return b;
}

bool build_files_has(struct build_files *f, const struct build_files_key *key)
{
	return find(f, key) != NULL;
}

int build_files_open(struct build_files *f, const struct build_files_key *key,
		     char digest[BUILD_FILES_DIGEST_LEN + 1])
{
	const struct build_file *b = find(f, key);

	if (b == NULL)
		return -ENOENT;
	memcpy(digest, b->digest, sizeof(b->digest));
	return fd_dup(b->fd, 3);
}

void build_files_drop(struct build_files *f, const char *template)
{
	struct build_file *next;

	for (struct build_file *b = f->first; b != NULL; b = next) {
		next = b->next;
		if (b->whole && strcmp(b->key.template, template) == 0)
			build_file_drop(b);
	}
}

static void on_sweep(void *arg)
{
	struct build_files *f = arg;
	struct build_file *next;

	f->sweep = NULL;
	for (struct build_file *b = f->first; b != NULL; b = next) {
		next = b->next;
		if (b->whole && now_ms() - b->since_ms >= BUILD_FILES_LIFE_MS)
			build_file_drop(b);
	}
	/* Without memory for a timer, the next upload begins it again. */
	if (f->first != NULL && loop_timer_add(f->loop, SWEEP_MS, on_sweep, f, &f->sweep) < 0)
		f->sweep = NULL;
}

int build_files_new(struct loop *l, const char *state, struct build_files **ret)
{
	struct build_files *f = calloc(1, sizeof(*f));
	const char *slash = state == NULL ? NULL : strrchr(state, '/');
	const char *dir = slash == NULL ? "." : state;
	const size_t len = slash == NULL ? 1 : (size_t)(slash - state) + 1;

	if (f == NULL)
		return -ENOMEM;
	f->loop = l;
	if (state != NULL && len >= sizeof(f->dir)) {
		free(f);
		return -ENAMETOOLONG;
	}
	if (state != NULL)
		memcpy(f->dir, dir, len); /* the rest is zero */
	*ret = f;
	return 0;
}

void build_files_free(struct build_files *f)
{
	if (f == NULL)
		return;
	while (f->first != NULL)
		build_file_drop(f->first);
	loop_timer_del(f->sweep);
	free(f);
}

/* ---- One that comes ------------------------------------------------------------------------ */

static int check_quota(const struct build_files *f, const struct tenant *tenant, uint64_t bytes,
		       struct err *err)
{
	const uint64_t max = f->dir[0] == '\0' ? BUILD_FILES_BYTES_MEM : BUILD_FILES_BYTES_ALL;
	uint64_t own = 0, all = 0;
	unsigned count = 0;

	for (const struct build_file *b = f->first; b != NULL; b = b->next) {
		all += b->bytes;
		if (b->tenant != tenant)
			continue;
		own += b->bytes;
		count++;
	}
	if (count >= BUILD_FILES_MAX)
		return err_set(err, -EDQUOT, "files: %u are there already; delete a template",
			       BUILD_FILES_MAX);
	if (bytes > BUILD_FILES_BYTES || own > BUILD_FILES_BYTES - bytes || bytes > max ||
	    all > max - bytes)
		return err_set(err, -EDQUOT, "files: no room for %llu MiB more",
			       (unsigned long long)(bytes / MIB));
	return 0;
}

static int open_file(const struct build_files *f)
{
	int fd = f->dir[0] == '\0'
			 ? memfd_create("casemate-build-files", MFD_CLOEXEC | MFD_NOEXEC_SEAL)
			 : open(f->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EINVAL && f->dir[0] == '\0') /* a kernel without the flag */
		fd = memfd_create("casemate-build-files", MFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int build_files_begin(struct build_files *f, const struct tenant *tenant,
		      const struct build_files_key *key, uint64_t bytes, struct build_file **ret,
		      struct err *err)
{
	struct build_file *b;
	int r = check_quota(f, tenant, bytes, err);

	if (r < 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	*b = (struct build_file){
		.all = f, .tenant = tenant, .key = *key, .bytes = bytes, .since_ms = now_ms()
	};
	b->fd = open_file(f);
	if (b->fd < 0) {
		r = err_sys(err, b->fd, "files: a temporary file");
		free(b);
		return r;
	}
	(void)crypto_hash_sha256_init(&b->hash);
	b->next = f->first;
	f->first = b;
	if (f->sweep == NULL && loop_timer_add(f->loop, SWEEP_MS, on_sweep, f, &f->sweep) < 0)
		f->sweep = NULL;
	*ret = b;
	return 0;
}

int build_file_put(struct build_file *b, const void *data, size_t len)
{
	int r;

	if (len > b->bytes - b->at)
		return -EFBIG;
	r = fd_pwrite_full(b->fd, data, len, b->at);
	if (r < 0)
		return r;
	b->at += len;
	(void)crypto_hash_sha256_update(&b->hash, data, len);
	return 0;
}

int build_file_commit(struct build_file *b)
{
	unsigned char digest[crypto_hash_sha256_BYTES];
	struct build_file *before;

	if (b->at != b->bytes) {
		build_file_drop(b);
		return -EPROTO;
	}
	(void)crypto_hash_sha256_final(&b->hash, digest);
	(void)sodium_bin2hex(b->digest, sizeof(b->digest), digest, sizeof(digest));
	before = find(b->all, &b->key);
	build_file_drop(before);
	b->whole = true;
	return 0;
}
