/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci.h - what the JSON documents of an OCI layout and of a docker-save archive say: which image,
 * which layers, which configuration. Pure functions over parsed JSON; any thread. Sources: the OCI
 * image specification 1.1 (index, manifest, config), Docker's image specification 1.2
 * (manifest.json).
 */
#ifndef IMPORT_OCI_H
#define IMPORT_OCI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "import/digest.h"
#include "import/limits.h"
#include "import/source.h"

struct oci_blob {
	char name[SOURCE_NAME_MAX]; /* in the source */
	struct digest digest;
	bool checked; /* has a digest; docker-save's layers have none of their own */
};

struct oci_image {
	struct oci_blob config;
	struct oci_blob layer[IMPORT_LAYERS_MAX];
	size_t layers;
};

/*
 * The one image of an index for this machine: the manifest, or an index again (*ret_index). ref:
 * the annotation org.opencontainers.image.ref.name, or NULL, which is enough when there is only
 * one.
 */
MUST_USE int oci_index(const json_t *j, const char *ref, struct oci_blob *ret, bool *ret_index,
		       struct err *err);
MUST_USE int oci_manifest(const json_t *j, struct oci_image *ret, struct err *err);
/* ref: one of the RepoTags, or NULL. */
MUST_USE int oci_docker_manifest(const json_t *j, const char *ref, struct oci_image *ret,
				 struct err *err);

/*
 * The configuration blob: the digests of the uncompressed layers, as many as there are layers, and
 * in *ret (the caller's) what a command is started with: env, user, workdir, entrypoint, cmd.
 */
MUST_USE int oci_config(const json_t *j, size_t layers, struct digest diffs[IMPORT_LAYERS_MAX],
			json_t **ret, struct err *err);

#endif
