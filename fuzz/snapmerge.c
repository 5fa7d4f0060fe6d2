/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two hostile snapshots that are to be merged. Input: 16 bits that say how long the first state is,
 * the two states, and the bitmap at the end of the second memory is what follows. Whatever they
 * say, the merge ends, and a good end has a memory of the size that the state says.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/num.h"
#include "vmm/snapshot/file.h"
#include "vmm/snapshot/merge.h"

#define MEMORY_BYTES (2 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_of(const void *data, size_t len, uint64_t bytes, uint64_t at)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	BUG_ON(fd < 0 || ftruncate(fd, (off_t)bytes) < 0);
	BUG_ON(len > 0 && pwrite(fd, data, len, (off_t)at) != (ssize_t)len);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t bits = snap_bitmap_bytes(MEMORY_BYTES);
	struct snap_files base, diff, out;
	struct err err = { 0 };
	struct stat st;
	size_t first;
	int r;

	if (size < 2)
		return 0;
	first = MIN((size_t)(data[0] | data[1] << 8), size - 2);
	data += 2;
	size -= 2;
	base.state = file_of(data, first, first, 0);
	base.memory = file_of(NULL, 0, MEMORY_BYTES, 0);
	diff.state = file_of(data + first, size - first, size - first, 0);
	diff.memory = file_of(data, MIN(size, bits), MEMORY_BYTES + bits, MEMORY_BYTES);
	out.state = file_of(NULL, 0, 0, 0);
	out.memory = file_of(NULL, 0, 0, 0);
	r = snap_merge(&base, &diff, &out, &err);
	BUG_ON(r > 0 || (r < 0 && (err.code != r || err.msg[0] == '\0')));
	BUG_ON(fstat(out.memory, &st) < 0);
	BUG_ON(r == 0 && st.st_size != MEMORY_BYTES);
	(void)close(base.state);
	(void)close(base.memory);
	(void)close(diff.state);
	(void)close(diff.memory);
	(void)close(out.state);
	(void)close(out.memory);
	return 0;
}
