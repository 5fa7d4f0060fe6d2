/* SPDX-License-Identifier: Apache-2.0 */
#include "import/layer.h"

#include <errno.h>

/* The blob's own bytes, hashed. They too may be what something larger was made of. */
static int read_packed(struct layer *l, const void **ret, size_t *ret_len)
{
	int r = blob_read(&l->blob, ret, ret_len, &l->err);

	if (r < 0)
		return r;
	if (l->blob.offset > l->budget)
		return err_set(&l->err, -EFBIG, "the layers are too large");
	(void)SHA256_Update(&l->blob_hash, *ret, *ret_len);
	return 0;
}

static la_ssize_t read_blob(struct archive *a, void *arg, const void **ret)
{
	struct layer *l = arg;
	size_t n;

	if (read_packed(l, ret, &n) < 0) {
		archive_set_error(a, EIO, "read");
		return ARCHIVE_FATAL;
	}
	return (la_ssize_t)n;
}

/* The next uncompressed bytes, hashed and counted: 1, 0 at the end, -errno and l->err. */
static int read_plain(struct layer *l, const void **ret, size_t *ret_len)
{
	int64_t offset;
	int r;

	do {
		r = archive_read_data_block(l->raw, ret, ret_len, &offset);
	} while (r == ARCHIVE_OK && *ret_len == 0);
	if (r == ARCHIVE_EOF) {
		*ret_len = 0;
		return 0;
	}
	if (r != ARCHIVE_OK) {
		const char *text = archive_error_string(l->raw);

		if (l->err.code == 0)
			(void)err_set(&l->err, -EINVAL, "can't be uncompressed: %.160s",
				      text != NULL ? text : "unknown error");
		return l->err.code;
	}
	if (*ret_len > l->budget - l->diff_bytes)
		return err_set(&l->err, -EFBIG, "the layers are too large when uncompressed");
	l->diff_bytes += *ret_len;
	(void)SHA256_Update(&l->diff_hash, *ret, *ret_len);
	return 1;
}

static la_ssize_t read_tar(struct archive *a, void *arg, const void **ret)
{
	struct layer *l = arg;
	size_t n;

	if (read_plain(l, ret, &n) < 0) {
		archive_set_error(a, EIO, "read");
		return ARCHIVE_FATAL;
	}
	return (la_ssize_t)n;
}

static int fail(struct layer *l, struct archive *a, struct err *err)
{
	const char *text = archive_error_string(a);

	if (l->err.code != 0)
		return err_set(err, l->err.code, "%s", l->err.msg);
	return err_set(err, -EINVAL, "not a tar archive that can be read: %.160s",
		       text != NULL ? text : "unknown error");
}

/* gzip and zstd, as the OCI image specification has them; a file that is compressed twice isn't. */
static int open_raw(struct layer *l, struct err *err)
{
	struct archive_entry *e;

	l->raw = archive_read_new();
	if (l->raw == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	if (archive_read_support_format_raw(l->raw) != ARCHIVE_OK ||
	    archive_read_support_filter_gzip(l->raw) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(l->raw) != ARCHIVE_OK ||
	    archive_read_open(l->raw, l, NULL, read_blob, NULL) != ARCHIVE_OK ||
	    archive_read_next_header(l->raw, &e) != ARCHIVE_OK)
		return fail(l, l->raw, err);
	if (archive_filter_count(l->raw) > 2)
		return err_set(err, -EINVAL, "compressed more than once");
	return 0;
}

int layer_open(struct layer *l, const struct source *s, const char *name, uint64_t budget,
	       struct err *err)
{
	int r;

	*l = (struct layer){ .blob.fd = -1, .budget = budget };
	(void)SHA256_Init(&l->blob_hash);
	(void)SHA256_Init(&l->diff_hash);
	r = blob_open(&l->blob, s, name, err);
	if (r == 0)
		r = open_raw(l, err);
	if (r < 0)
		return r;
	l->tar = archive_read_new();
	if (l->tar == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	if (archive_read_support_format_tar(l->tar) != ARCHIVE_OK ||
	    archive_read_open(l->tar, l, NULL, read_tar, NULL) != ARCHIVE_OK)
		return fail(l, l->tar, err);
	return 0;
}

void layer_close(struct layer *l)
{
	if (l->tar != NULL)
		(void)archive_read_free(l->tar);
	if (l->raw != NULL)
		(void)archive_read_free(l->raw);
	blob_close(&l->blob);
	l->tar = NULL;
	l->raw = NULL;
}

int layer_next(struct layer *l, struct archive_entry **ret, struct err *err)
{
	int r = archive_read_next_header(l->tar, ret);

	if (r == ARCHIVE_EOF)
		return 0;
	/* A warning is something that would be different from what the archive says. */
	return r == ARCHIVE_OK ? 1 : fail(l, l->tar, err);
}

int layer_data(struct layer *l, const void **ret, size_t *ret_len, uint64_t *ret_offset,
	       struct err *err)
{
	int64_t offset;
	int r = archive_read_data_block(l->tar, ret, ret_len, &offset);

	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK || offset < 0)
		return fail(l, l->tar, err);
	*ret_offset = (uint64_t)offset;
	return 1;
}

int layer_finish(struct layer *l, struct digest *ret_blob, struct digest *ret_diff, struct err *err)
{
	const void *data;
	size_t n;
	int r;

	while ((r = read_plain(l, &data, &n)) > 0)
		;
	/* What a compressed stream has behind its end is part of the blob. */
	while (r == 0 && (r = read_packed(l, &data, &n)) == 0 && n > 0)
		;
	if (r < 0)
		return err_set(err, l->err.code, "%s", l->err.msg);
	(void)SHA256_Final(ret_blob->bytes, &l->blob_hash);
	(void)SHA256_Final(ret_diff->bytes, &l->diff_hash);
	return 0;
}
