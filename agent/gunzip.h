/* SPDX-License-Identifier: Apache-2.0 */
/* gunzip.h - a gzip stream, unpacked as it comes (zlib). One member; bytes after it are refused. */
#ifndef AGENT_GUNZIP_H
#define AGENT_GUNZIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct gunzip;

MUST_USE int gunzip_new(struct gunzip **ret);
void gunzip_free(struct gunzip *g); /* NULL is fine */
/* Calls put for what comes out: 0, -EBADMSG, -ENOMEM, or what put returned. */
MUST_USE int gunzip_feed(struct gunzip *g, const uint8_t *data, size_t len,
			 int (*put)(const uint8_t *data, size_t len, void *arg), void *arg);
/* The input has ended: 0, -EBADMSG when the stream hasn't. */
MUST_USE int gunzip_finish(const struct gunzip *g);

#endif
