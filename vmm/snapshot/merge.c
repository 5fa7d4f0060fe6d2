/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot/merge.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "vmm/snapshot/file.h"

#define PAGE  4096U
#define CHUNK (64 * KIB)

/* The bitmap of a memory of the greatest size is read in pieces of this. */
#define BITS_BYTES 4096U

struct part {
	uint8_t *state; /* SNAP_BYTES_MAX */
	size_t state_len;
	struct snap_reader reader;
	uint64_t memory_bytes; /* of the VM */
	struct snap_id id;
	int memory;
};

static int file_bytes(int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

/* ---- What the two are ---------------------------------------------------------------------- */

static int read_state(struct part *p, int fd, struct err *err)
{
	uint64_t bytes = 0;
	int r = file_bytes(fd, &bytes);

	if (r < 0)
		return err_sys(err, r, "state file");
	if (bytes == 0 || bytes > SNAP_BYTES_MAX)
		return err_set(err, -EINVAL, "state file: %llu bytes", (unsigned long long)bytes);
	p->state = malloc(bytes);
	if (p->state == NULL)
		return err_sys(err, -ENOMEM, "state file");
	p->state_len = bytes;
	r = fd_pread_full(fd, p->state, bytes, 0);
	return r < 0 ? err_sys(err, r, "state file") : 0;
}

static int open_part(struct part *p, const struct snap_files *f, bool full, struct err *err)
{
	struct snap_machine m;
	uint64_t bytes = 0, expected;
	int r = read_state(p, f->state, err);

	if (r == 0)
		r = snap_open(&p->reader, p->state, p->state_len, err);
	if (r == 0)
		r = snap_take(&p->reader, SNAP_MACHINE, 0, &m, sizeof(m), err);
	if (r == 0)
		r = snap_take(&p->reader, SNAP_ID, 0, &p->id, sizeof(p->id), err);
	if (r != 0)
		return r;
	if (snap_find(&p->reader, SNAP_SPLIT, 0) != NULL)
		return err_set(err, -EINVAL, "its memory lies in two files");
	p->memory = f->memory;
	p->memory_bytes = le64_get(m.memory_bytes);
	if (p->memory_bytes == 0 || p->memory_bytes % SNAP_MEMORY_ALIGN != 0 ||
	    p->memory_bytes > SNAP_MEMORY_MAX)
		return err_set(err, -EINVAL, "state file: %llu bytes of memory",
			       (unsigned long long)p->memory_bytes);
	r = file_bytes(f->memory, &bytes);
	if (r < 0)
		return err_sys(err, r, "memory file");
	expected = p->memory_bytes + (full ? 0 : snap_bitmap_bytes(p->memory_bytes));
	if (bytes != expected)
		return err_set(err, -EINVAL, "memory file: %llu bytes instead of %llu: it isn't %s",
			       (unsigned long long)bytes, (unsigned long long)expected,
			       full ? "a full one" : "an incremental one");
	return 0;
}

static int check_pair(const struct part *base, const struct part *diff, struct err *err)
{
	if (base->memory_bytes != diff->memory_bytes)
		return err_set(err, -EINVAL, "the two snapshots have memories of different sizes");
	if (memcmp(base->id.self, diff->id.parent, sizeof(base->id.self)) != 0)
		return err_set(err, -ESTALE,
			       "the incremental snapshot isn't the next after this one");
	return 0;
}

/* ---- Copying -------------------------------------------------------------------------------- */

/* [at, at+len); holes stay holes where they are zeros in all of a chunk. */
static int copy(int from, int to, uint64_t at, uint64_t len)
{
	static uint8_t chunk[CHUNK]; /* one thread */

	while (len > 0) {
		size_t n = MIN(len, CHUNK);
		int r = fd_pread_full(from, chunk, n, at);
		if (r == 0)
			r = fd_pwrite_full(to, chunk, n, at);
		if (r < 0)
			return r;
		at += n;
		len -= n;
	}
	return 0;
}

static int copy_data(int from, int to, uint64_t bytes)
{
	uint64_t at = 0;
	int r = ftruncate(to, (off_t)bytes) < 0 ? -errno : 0;

	while (r == 0 && at < bytes) {
		off_t data = lseek(from, (off_t)at, SEEK_DATA), hole;
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if ((uint64_t)data >= bytes)
			return 0;
		at = MIN((uint64_t)hole, bytes);
		r = copy(from, to, (uint64_t)data, at - (uint64_t)data);
	}
	return r;
}

/* The pages whose bits are set, in runs. first: the page of the bitmap's first bit. */
static int copy_marked(int from, int to, const uint8_t *bits, size_t bytes, uint64_t first)
{
	uint64_t n = 8 * bytes, i = 0;

	while (i < n) {
		uint64_t start;
		int r;
		while (i < n && ((unsigned)bits[i / 8] >> (i % 8) & 1U) == 0)
			i++;
		start = i;
		while (i < n && ((unsigned)bits[i / 8] >> (i % 8) & 1U) != 0)
			i++;
		r = i == start ? 0 : copy(from, to, (first + start) * PAGE, (i - start) * PAGE);
		if (r < 0)
			return r;
	}
	return 0;
}

static int apply(const struct part *diff, int out)
{
	uint8_t bits[BITS_BYTES];
	uint64_t left = snap_bitmap_bytes(diff->memory_bytes), at = 0;

	while (left > 0) {
		size_t n = MIN(left, sizeof(bits));
		int r = fd_pread_full(diff->memory, bits, n, diff->memory_bytes + at);
		if (r == 0)
			r = copy_marked(diff->memory, out, bits, n, 8 * at);
		if (r < 0)
			return r;
		at += n;
		left -= n;
	}
	return 0;
}

static int merge(const struct part *base, const struct part *diff, const struct snap_files *out,
		 struct err *err)
{
	uint64_t state = 1, memory = 1;
	int r = file_bytes(out->state, &state);

	if (r == 0)
		r = file_bytes(out->memory, &memory);
	if (r == 0 && (state != 0 || memory != 0))
		return err_set(err, -EINVAL, "the merged snapshot's files aren't empty");
	if (r == 0)
		r = copy_data(base->memory, out->memory, base->memory_bytes);
	if (r == 0)
		r = apply(diff, out->memory);
	if (r == 0)
		r = fd_pwrite_full(out->state, diff->state, diff->state_len, 0);
	return r < 0 ? err_sys(err, r, "merging") : 0;
}

int snap_merge(const struct snap_files *base, const struct snap_files *diff,
	       const struct snap_files *out, struct err *err)
{
	struct part *parts = calloc(2, sizeof(*parts)); /* their readers are large */
	int r;

	if (parts == NULL)
		return err_sys(err, -ENOMEM, "merging");
	r = open_part(&parts[0], base, true, err);
	if (r < 0)
		(void)err_wrap(err, "the full snapshot");
	if (r == 0) {
		r = open_part(&parts[1], diff, false, err);
		if (r < 0)
			(void)err_wrap(err, "the incremental snapshot");
	}
	if (r == 0)
		r = check_pair(&parts[0], &parts[1], err);
	if (r == 0)
		r = merge(&parts[0], &parts[1], out, err);
	free(parts[0].state);
	free(parts[1].state);
	free(parts);
	return r;
}
