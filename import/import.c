/* SPDX-License-Identifier: Apache-2.0 */
#include "import/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "import/apply.h"
#include "import/erofs.h"
#include "import/json.h"
#include "import/layer.h"
#include "import/oci.h"
#include "import/report.h"
#include "import/tree.h"

struct run {
	const struct import_request *q;
	struct oci_image image;
	bool bundle; /* layers have names, diff ids and whiteouts */
	struct digest expected[IMPORT_LAYERS_MAX];
	struct tree tree;
	struct erofs erofs;
	struct report report;
};

/* A small document; its digest, if it has one, is checked first. */
static int read_json(const struct run *x, const struct oci_blob *b, json_t **ret, struct err *err)
{
	struct blob blob;
	char *text = NULL;
	size_t len = 0;
	int r = blob_open(&blob, x->q->source, b->name, err);

	if (r < 0)
		return r;
	r = blob_read_all(&blob, IMPORT_JSON_MAX, &text, &len, err);
	blob_close(&blob);
	if (r == 0 && b->checked) {
		struct digest d;

		digest_of(text, len, &d);
		if (!digest_equal(&d, &b->digest))
			r = err_set(err, -EBADMSG, "not what its digest says");
	}
	if (r == 0)
		r = import_json_parse(text, len, ret, err);
	free(text);
	return r < 0 ? err_wrap(err, "%s", b->name) : 0;
}

static int find_oci(struct run *x, struct err *err)
{
	struct oci_blob b = { .name = "index.json" };
	const char *ref = x->q->ref;
	bool index = true;
	json_t *j = NULL;
	int r;

	for (int i = 0; index; i++) {
		if (i == IMPORT_INDEXES_MAX)
			return err_set(err, -E2BIG, "indexes of indexes of indexes");
		r = read_json(x, &b, &j, err);
		if (r < 0)
			return r;
		r = oci_index(j, ref, &b, &index, err);
		json_decref(j);
		if (r < 0)
			return err_wrap(err, "index");
		ref = NULL; /* what is inside an index has no name of its own */
	}
	r = read_json(x, &b, &j, err);
	if (r < 0)
		return r;
	x->report.manifest = b.digest;
	x->report.has_manifest = true;
	r = oci_manifest(j, &x->image, err);
	json_decref(j);
	return r < 0 ? err_wrap(err, "manifest") : 0;
}

static int find_docker(struct run *x, struct err *err)
{
	static const struct oci_blob b = { .name = "manifest.json" };
	json_t *j = NULL;
	int r = read_json(x, &b, &j, err);

	if (r < 0)
		return r;
	r = oci_docker_manifest(j, x->q->ref, &x->image, err);
	json_decref(j);
	return r < 0 ? err_wrap(err, "manifest.json") : 0;
}

static int find_image(struct run *x, struct err *err)
{
	json_t *j = NULL;
	int r = source_detect(x->q->source, &x->q->limits, &x->report.format, err);

	if (r < 0)
		return r;
	x->bundle = x->report.format != SOURCE_TAR;
	x->image.layers = 1;
	if (!x->bundle)
		return x->q->ref == NULL ? 0 : err_set(err, -EINVAL, "a plain tar has no --ref");
	r = x->report.format == SOURCE_OCI ? find_oci(x, err) : find_docker(x, err);
	if (r == 0)
		r = read_json(x, &x->image.config, &j, err);
	if (r < 0)
		return r;
	r = oci_config(j, x->image.layers, x->expected, &x->report.config, err);
	json_decref(j);
	return r < 0 ? err_wrap(err, "config") : 0;
}

/* One way through one layer; second: for the bytes. Its digests must be those promised, and the
 * same both times. */
static int walk(struct run *x, uint32_t k, bool second, uint64_t *budget, struct apply_cursor *c,
		struct err *err)
{
	const struct oci_blob *b = &x->image.layer[k];
	struct digest blob, diff;
	struct layer l;
	int r = layer_open(&l, x->q->source, x->bundle ? b->name : NULL, *budget, err);

	if (r == 0)
		r = second ? apply_bytes(&x->erofs, &l, k, c, x->q->output, err)
			   : apply_names(&x->tree, &l, k, x->bundle, &x->report.counts, err);
	if (r == 0)
		r = layer_finish(&l, &blob, &diff, err);
	*budget -= l.diff_bytes;
	layer_close(&l);
	if (r < 0)
		return x->bundle ? err_wrap(err, "layer %u", k) : r;
	if (second &&
	    (!digest_equal(&blob, &x->report.blob[k]) || !digest_equal(&diff, &x->report.diff[k])))
		return err_set(err, -EBADMSG, "the input changed while it was read");
	if (b->checked && !digest_equal(&blob, &b->digest))
		return err_set(err, -EBADMSG, "layer %u: not what its digest says", k);
	if (x->bundle && !digest_equal(&diff, &x->expected[k]))
		return err_set(err, -EBADMSG, "layer %u: not what its diff_id says", k);
	x->report.blob[k] = blob;
	x->report.diff[k] = diff;
	return 0;
}

static int walk_all(struct run *x, bool second, struct err *err)
{
	uint64_t budget = x->q->limits.stream_bytes;
	struct apply_cursor c = { 0 };

	for (uint32_t k = 0; k < x->image.layers; k++) {
		int r = walk(x, k, second, &budget, &c, err);

		if (r < 0)
			return r;
	}
	if (second && c.file != x->erofs.files_count)
		return err_set(err, -EBADMSG, "the input changed while it was read");
	return 0;
}

static int run(struct run *x, json_t **ret_report, struct err *err)
{
	int fd = x->q->output;
	int r = find_image(x, err);

	if (r == 0 && tree_init(&x->tree, &x->q->limits) < 0)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = walk_all(x, false, err);
	if (r == 0)
		r = erofs_plan(&x->erofs, &x->tree, err);
	if (r == 0)
		r = erofs_write_metadata(&x->erofs, fd, err);
	if (r == 0)
		r = walk_all(x, true, err);
	if (r == 0)
		r = report_hash(fd, &x->report.image, err);
	if (r < 0)
		return r;
	x->report.layers = x->image.layers;
	x->report.image_bytes = x->erofs.blocks * EROFS_BLOCK;
	x->report.inodes = x->erofs.inodes_count;
	return report_make(&x->report, ret_report, err);
}

int import_run(const struct import_request *q, json_t **ret_report, struct err *err)
{
	struct run *x = calloc(1, sizeof(*x));
	int r;

	if (x == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	x->q = q;
	r = run(x, ret_report, err);
	erofs_done(&x->erofs);
	tree_done(&x->tree);
	json_decref(x->report.config);
	free(x);
	return r;
}
