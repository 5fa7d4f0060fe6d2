/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - where a kernel or an initrd comes from: bytes that are read by offset, exactly.
 *
 * The content is hostile. Its size is fixed when the source is made (a file that shrinks later
 * gives an error, one that grows is cut), pieces that are parsed are copied to locals first, and
 * the bulk goes into guest memory without ever being looked at: the pages of the file itself, copy
 * on write, where they lie right (gmem_overlay_file). So the file must not be changed in place
 * while a guest runs that was started from it; replacing it by rename is fine. Any thread.
 */
#ifndef VMM_SOURCE_H
#define VMM_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/gmem.h"

struct source {
	const char *what;   /* "kernel", "initrd": the first word of every error */
	const uint8_t *mem; /* the bytes, or NULL: then fd */
	int fd;		    /* not owned */
	uint64_t size;
};

/* A regular file of at least one byte: 0, or -EINVAL (not a file, empty), -errno. */
MUST_USE int source_from_fd(struct source *s, const char *what, int fd, struct err *err);
/* For tests and fuzzing; mem must outlive the source. */
void source_from_mem(struct source *s, const char *what, const void *mem, size_t size);

/* Copies [off, off+len) to dst: 0, -EINVAL (beyond the end), -errno. `piece` names it in err. */
MUST_USE int source_read(const struct source *s, uint64_t off, void *dst, size_t len,
			 const char *piece, struct err *err);
/* The same into guest memory, see above; -EFAULT when the destination is not RAM. */
MUST_USE int source_load(const struct source *s, uint64_t off, struct gmem *m, gpa_t to,
			 uint64_t len, const char *piece, struct err *err);

#endif
