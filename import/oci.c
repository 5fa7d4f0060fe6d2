/* SPDX-License-Identifier: Apache-2.0 */
#include "import/oci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"

#define TYPE_OCI_INDEX	  "application/vnd.oci.image.index.v1+json"
#define TYPE_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define REF_NAME	  "org.opencontainers.image.ref.name"

static const char *text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s != NULL ? s : "";
}

static int blob_of_descriptor(const json_t *j, struct oci_blob *ret, struct err *err)
{
	char hex[DIGEST_HEX_MAX];

	if (digest_parse(text(j, "digest"), &ret->digest) < 0)
		return err_set(err, -EINVAL, "a descriptor without a sha256 digest");
	digest_hex(&ret->digest, hex);
	(void)snprintf(ret->name, sizeof(ret->name), "blobs/sha256/%s", hex);
	ret->checked = true;
	return 0;
}

static int is_version_2(const json_t *j, struct err *err)
{
	if (json_integer_value(json_object_get(j, "schemaVersion")) != 2)
		return err_set(err, -EINVAL, "schemaVersion is not 2");
	return 0;
}

/* Without a platform it is for whoever takes it. */
static bool is_for_us(const json_t *descriptor)
{
	const json_t *p = json_object_get(descriptor, "platform");

	return p == NULL || (strcmp(text(p, "os"), "linux") == 0 &&
			     strcmp(text(p, "architecture"), "amd64") == 0);
}

int oci_index(const json_t *j, const char *ref, struct oci_blob *ret, bool *ret_index,
	      struct err *err)
{
	const json_t *all = json_object_get(j, "manifests"), *found = NULL, *d;
	const char *type;
	size_t k;
	int r = is_version_2(j, err);

	if (r < 0)
		return r;
	if (!json_is_array(all))
		return err_set(err, -EINVAL, "no array of manifests");
	json_array_foreach(all, k, d)
	{
		const char *name = text(json_object_get(d, "annotations"), REF_NAME);

		if (!is_for_us(d) || (ref != NULL && strcmp(name, ref) != 0))
			continue;
		if (found != NULL)
			return err_set(err, -EINVAL, "more than one image: say which with --ref");
		found = d;
	}
	if (found == NULL)
		return err_set(err, -ENOENT, "no image%s%.80s for linux/amd64",
			       ref != NULL ? " " : "", ref != NULL ? ref : "");
	type = text(found, "mediaType");
	*ret_index = strcmp(type, TYPE_OCI_INDEX) == 0 || strcmp(type, TYPE_DOCKER_INDEX) == 0;
	return blob_of_descriptor(found, ret, err);
}

int oci_manifest(const json_t *j, struct oci_image *ret, struct err *err)
{
	const json_t *layers = json_object_get(j, "layers"), *d;
	size_t k;
	int r = is_version_2(j, err);

	if (r < 0)
		return r;
	ret->layers = 0;
	r = blob_of_descriptor(json_object_get(j, "config"), &ret->config, err);
	if (r < 0)
		return err_wrap(err, "config");
	if (!json_is_array(layers) || json_array_size(layers) > IMPORT_LAYERS_MAX)
		return err_set(err, -EINVAL, "no array of at most %d layers", IMPORT_LAYERS_MAX);
	json_array_foreach(layers, k, d)
	{
		r = blob_of_descriptor(d, &ret->layer[k], err);
		if (r < 0)
			return err_wrap(err, "layer %zu", k);
	}
	ret->layers = json_array_size(layers);
	return 0;
}

/* docker-save names its files itself; the name is only compared with those in the archive. */
static int blob_of_name(const json_t *j, struct oci_blob *ret, struct err *err)
{
	const char *name = json_string_value(j);

	if (name == NULL || name[0] == '\0' || strlen(name) >= sizeof(ret->name))
		return err_set(err, -EINVAL, "no file name of at most %zu bytes",
			       sizeof(ret->name) - 1);
	memcpy(ret->name, name, strlen(name) + 1);
	ret->checked = false;
	return 0;
}

static bool has_tag(const json_t *image, const char *ref)
{
	const json_t *tag;
	size_t k;

	json_array_foreach(json_object_get(image, "RepoTags"), k, tag)
	{
		const char *s = json_string_value(tag);

		if (s != NULL && strcmp(s, ref) == 0)
			return true;
	}
	return false;
}

/* "HEX.json" or "blobs/sha256/HEX": the configuration is called by its digest. */
static void config_digest(struct oci_blob *b)
{
	const char *last = strrchr(b->name, '/');
	char hex[DIGEST_HEX_MAX];
	size_t len;

	last = last != NULL ? last + 1 : b->name;
	len = strlen(last);
	if (len > 5 && strcmp(last + len - 5, ".json") == 0)
		len -= 5;
	if (len != DIGEST_HEX_MAX - 1)
		return;
	memcpy(hex, last, len);
	hex[len] = '\0';
	b->checked = digest_parse_hex(hex, &b->digest) == 0;
}

int oci_docker_manifest(const json_t *j, const char *ref, struct oci_image *ret, struct err *err)
{
	const json_t *image, *found = NULL, *layers, *l;
	size_t k;
	int r;

	json_array_foreach(j, k, image)
	{
		if (ref != NULL && !has_tag(image, ref))
			continue;
		if (found != NULL)
			return err_set(err, -EINVAL, "more than one image: say which with --ref");
		found = image;
	}
	if (found == NULL)
		return err_set(err, -ENOENT, "no image%s%.80s in it", ref != NULL ? " " : "",
			       ref != NULL ? ref : "");
	ret->layers = 0;
	r = blob_of_name(json_object_get(found, "Config"), &ret->config, err);
	if (r < 0)
		return err_wrap(err, "Config");
	config_digest(&ret->config);
	layers = json_object_get(found, "Layers");
	if (!json_is_array(layers) || json_array_size(layers) > IMPORT_LAYERS_MAX)
		return err_set(err, -EINVAL, "no array of at most %d Layers", IMPORT_LAYERS_MAX);
	json_array_foreach(layers, k, l)
	{
		r = blob_of_name(l, &ret->layer[k], err);
		if (r < 0)
			return err_wrap(err, "Layers[%zu]", k);
	}
	ret->layers = json_array_size(layers);
	return 0;
}

static int diff_ids(const json_t *j, size_t layers, struct digest diffs[IMPORT_LAYERS_MAX],
		    struct err *err)
{
	const json_t *rootfs = json_object_get(j, "rootfs");
	const json_t *ids = json_object_get(rootfs, "diff_ids"), *id;
	size_t k;

	BUG_ON(layers > IMPORT_LAYERS_MAX);
	if (strcmp(text(rootfs, "type"), "layers") != 0 || !json_is_array(ids) ||
	    json_array_size(ids) != layers)
		return err_set(err, -EINVAL, "rootfs doesn't name %zu layers", layers);
	json_array_foreach(ids, k, id)
	{
		const char *s = json_string_value(id);

		if (s == NULL || digest_parse(s, &diffs[k]) < 0)
			return err_set(err, -EINVAL, "diff_ids[%zu] is no sha256 digest", k);
	}
	return 0;
}

static bool is_list_of_strings(const json_t *j)
{
	const json_t *s;
	size_t k;

	if (!json_is_array(j))
		return false;
	json_array_foreach(j, k, s) if (!json_is_string(s)) return false;
	return true;
}

int oci_config(const json_t *j, size_t layers, struct digest diffs[IMPORT_LAYERS_MAX], json_t **ret,
	       struct err *err)
{
	static const struct {
		const char *from, *to;
		bool list;
	} fields[] = {
		{ "Env", "env", true },
		{ "User", "user", false },
		{ "WorkingDir", "workdir", false },
		{ "Entrypoint", "entrypoint", true },
		{ "Cmd", "cmd", true },
	};
	const json_t *config = json_object_get(j, "config");
	json_t *out;
	int r;

	if (!json_is_object(j))
		return err_set(err, -EINVAL, "not an object");
	r = diff_ids(j, layers, diffs, err);
	if (r < 0)
		return r;
	out = json_object();
	if (out == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		json_t *v = json_object_get(config, fields[i].from);

		if (v == NULL || json_is_null(v))
			continue;
		r = fields[i].list ? is_list_of_strings(v) : json_is_string(v);
		r = r ? json_object_set(out, fields[i].to, v) : -EINVAL;
		if (r < 0) {
			json_decref(out);
			return err_set(err, -EINVAL, "config.%s has a wrong type", fields[i].from);
		}
	}
	*ret = out;
	return 0;
}
