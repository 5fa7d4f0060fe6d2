/* SPDX-License-Identifier: Apache-2.0 */
#include "import/report.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BYTES (size_t)65536
#define VERSION	   1

int report_hash(int fd, struct digest *ret, struct err *err)
{
	uint8_t *buffer = malloc(READ_BYTES);
	SHA256_CTX h;
	off_t at = 0;
	ssize_t n;

	if (buffer == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	(void)SHA256_Init(&h);
	while ((n = pread(fd, buffer, READ_BYTES, at)) > 0) {
		(void)SHA256_Update(&h, buffer, (size_t)n);
		at += n;
	}
	n = n < 0 ? err_sys(err, -errno, "reading the image") : 0;
	(void)SHA256_Final(ret->bytes, &h);
	free(buffer);
	return (int)n;
}

static json_t *text_of(const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(d, text);
	return json_string(text);
}

static json_t *layers_of(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; all != NULL && i < r->layers; i++) {
		json_t *one = json_pack("{s:o, s:o}", "digest", text_of(&r->blob[i]), "diff_id",
					text_of(&r->diff[i]));
		if (json_array_append_new(all, one) < 0) {
			json_decref(all);
			all = NULL;
		}
	}
	return all;
}

int report_make(const struct report *r, json_t **ret, struct err *err)
{
	json_t *j = json_pack("{s:i, s:s, s:{s:o, s:I, s:I}, s:o, s:I, s:I}", "version", VERSION,
			      "source", source_format_name(r->format), "image", "digest",
			      text_of(&r->image), "bytes", (json_int_t)r->image_bytes, "inodes",
			      (json_int_t)r->inodes, "layers", layers_of(r), "entries",
			      (json_int_t)r->counts.entries, "xattrs_dropped",
			      (json_int_t)r->counts.xattrs_dropped);
	int failed = j == NULL;

	if (!failed && r->has_manifest)
		failed = json_object_set_new(j, "manifest", text_of(&r->manifest));
	if (!failed && r->config != NULL)
		failed = json_object_set(j, "config", r->config);
	if (failed) {
		json_decref(j);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = j;
	return 0;
}
