/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multipart.h - multipart/form-data (RFC 7578) as it comes, part by part. Bounded memory: what may
 * be a delimiter and a part's head are all that is kept. Pure but for its callbacks; fuzzed by
 * fuzz/agent_multipart.c.
 */
#ifndef AGENT_MULTIPART_H
#define AGENT_MULTIPART_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"

#define MULTIPART_BOUNDARY_MAX 70U
#define MULTIPART_HEAD_MAX     8192U
#define MULTIPART_NAME_MAX     128U

struct multipart_part {
	char name[MULTIPART_NAME_MAX];
	char filename[PATH_MAX]; /* "" = it has none */
};

/* Each returns 0, or an error that ends the parsing and is passed on. */
struct multipart_ops {
	int (*begin)(const struct multipart_part *part, void *arg);
	int (*data)(const uint8_t *data, size_t len, void *arg);
	int (*end)(void *arg);
};

struct multipart {
	const struct multipart_ops *ops;
	void *arg;
	uint8_t state;
	struct buf hold;
	size_t delimiter_len;
	char delimiter[MULTIPART_BOUNDARY_MAX + 5]; /* CRLF "--" boundary */
};

/* type: the value of Content-Type. 0, -EINVAL (another type, or no usable boundary). */
MUST_USE int multipart_init(struct multipart *m, const char *type, const struct multipart_ops *ops,
			    void *arg);
void multipart_done(struct multipart *m);
/* 0, -EBADMSG, -EMSGSIZE (a part's head), -ENOMEM, or what a callback returned. */
MUST_USE int multipart_feed(struct multipart *m, const uint8_t *data, size_t len);
/* The body has ended: 0, -EBADMSG when the last delimiter hasn't come. */
MUST_USE int multipart_finish(const struct multipart *m);

/* A parameter of a header field like `form-data; name="x"`, unquoted: 1, 0 (absent), -EBADMSG,
 * -ENAMETOOLONG. `NAME*=utf-8''...` is understood, and preferred. */
MUST_USE int multipart_param(const char *field, const char *name, char *dst, size_t cap);

#endif
