/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/gunzip.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

#define OUT_BYTES   16384U
#define WINDOW_GZIP (15 + 16) /* the largest window, and a gzip header */

struct gunzip {
	z_stream z;
	bool ended;
	uint8_t out[OUT_BYTES];
};

int gunzip_new(struct gunzip **ret)
{
	struct gunzip *g = calloc(1, sizeof(*g));

	if (g == NULL || inflateInit2(&g->z, WINDOW_GZIP) != Z_OK) {
		free(g);
		return -ENOMEM;
	}
	*ret = g;
	return 0;
}

void gunzip_free(struct gunzip *g)
{
	if (g == NULL)
		return;
	(void)inflateEnd(&g->z);
	free(g);
}

int gunzip_feed(struct gunzip *g, const uint8_t *data, size_t len,
		int (*put)(const uint8_t *data, size_t len, void *arg), void *arg)
{
	if (len > UINT_MAX)
		return -EMSGSIZE;
	g->z.next_in = data;
	g->z.avail_in = (unsigned)len;
	do {
		int z, r;
		if (g->ended)
			return g->z.avail_in > 0 ? -EBADMSG : 0;
		g->z.next_out = g->out;
		g->z.avail_out = OUT_BYTES;
		z = inflate(&g->z, Z_NO_FLUSH);
		if (z == Z_MEM_ERROR)
			return -ENOMEM;
		/* Z_BUF_ERROR: nothing was left to do after a full buffer. */
		if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
			return -EBADMSG;
		g->ended = z == Z_STREAM_END;
		r = g->z.avail_out < OUT_BYTES ? put(g->out, OUT_BYTES - g->z.avail_out, arg) : 0;
		if (r < 0)
			return r;
	} while (g->z.avail_in > 0 || g->z.avail_out == 0);
	return 0;
}

int gunzip_finish(const struct gunzip *g)
{
	return g->ended ? 0 : -EBADMSG;
}
