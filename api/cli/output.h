/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - bytes to a descriptor that is not ours alone (standard output and error): never
 * blocks the loop, never sets O_NONBLOCK on what other processes share. What can't be written
 * yet is kept; the caller stops its source while output_full().
 */
#ifndef API_CLI_OUTPUT_H
#define API_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/loop.h"

#define OUTPUT_HIGH (256U * 1024U)

struct output {
	struct loop *loop;
	struct loop_io *io; /* waits for room */
	int fd;
	struct buf pending;
	bool always; /* a file that epoll doesn't know: always writable */
	int error;   /* negative errno: nobody reads any more */
	void (*changed)(struct output *o, void *arg);
	void *arg;
};

/* changed: it has drained, or failed. Not called from output_write. */
void output_init(struct output *o, struct loop *l, int fd,
		 void (*changed)(struct output *o, void *arg), void *arg);
void output_done(struct output *o);
/* Takes all bytes; drops them once the reader is gone. -ENOMEM or -ENOSPC: can't keep them. */
MUST_USE int output_write(struct output *o, const void *data, size_t len);
static inline bool output_full(const struct output *o)
{
	return buf_len(&o->pending) >= OUTPUT_HIGH;
}
static inline bool output_empty(const struct output *o)
{
	return buf_len(&o->pending) == 0;
}

#endif
