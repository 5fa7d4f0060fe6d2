/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of image archives: what is accepted keeps to its limits and can be used as it is. The
 * first byte says which document it is taken for. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/bug.h"
#include "import/json.h"
#include "import/oci.h"

static struct oci_image image;
static struct digest diffs[IMPORT_LAYERS_MAX];

static void check_blob(const struct oci_blob *b)
{
	size_t len = strnlen(b->name, sizeof(b->name));

	BUG_ON(len == 0 || len == sizeof(b->name));
}

static void check_image(void)
{
	BUG_ON(image.layers > IMPORT_LAYERS_MAX);
	check_blob(&image.config);
	for (size_t i = 0; i < image.layers; i++)
		check_blob(&image.layer[i]);
}

static int one(int kind, const json_t *j, struct err *err)
{
	json_t *config = NULL;
	struct oci_blob b;
	bool index;
	int r;

	switch (kind % 4) {
	case 0:
		r = oci_index(j, kind >= 128 ? "v1" : NULL, &b, &index, err);
		if (r == 0)
			check_blob(&b);
		return r;
	case 1:
		r = oci_manifest(j, &image, err);
		break;
	case 2:
		r = oci_docker_manifest(j, kind >= 128 ? "v1" : NULL, &image, err);
		break;
	default:
		r = oci_config(j, (size_t)(kind / 4) % 4, diffs, &config, err);
		if (r == 0)
			BUG_ON(!json_is_object(config));
		json_decref(config);
		return r;
	}
	if (r == 0)
		check_image();
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	json_t *j;
	int r;

	if (size == 0)
		return 0;
	r = import_json_parse((const char *)data + 1, size - 1, &j, &err);
	if (r == 0) {
		r = one(data[0], j, &err);
		json_decref(j);
	}
	BUG_ON(r > 0 || (r < 0 && err.code != r));
	return 0;
}
