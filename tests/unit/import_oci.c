/* SPDX-License-Identifier: Apache-2.0 */
/* OCI layouts and docker-save archives: layers on layers, digests, and JSON that wants to be
 * believed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "import/json.h"
#include "import/oci.h"
#include "import_rig.h"

#define LAYERS 3

/* What goes wrong in a bundle that is otherwise good. */
enum flaw {
	FLAW_NONE,
	FLAW_LAYER_BYTES,  /* a layer is another than its digest says */
	FLAW_DIFF_ID,	   /* the digest is right, what is in it is not */
	FLAW_CONFIG_BYTES, /* the configuration */
	FLAW_MANIFEST_BYTES,
	FLAW_DUPLICATE_KEY,
	FLAW_TWO_IMAGES,
	FLAW_OTHER_MACHINE,
	FLAW_MISSING_LAYER,
	FLAW_ONE_DIFF_ID_LESS,
	FLAW_ENV_IS_A_NUMBER,
	FLAW_NESTED_INDEX, /* an index that names itself can't be made: digests. One that is no
			      manifest can. */
};

struct text {
	char s[8192];
};

static void bundle_layers(struct bytes layer[LAYERS], struct digest diff[LAYERS])
{
	for (int k = 0; k < LAYERS; k++) {
		for (int packed = 0; packed < 2; packed++) {
			struct bytes b;
			struct tar t;

			tar_begin(&t, !packed || k == 0 ? TAR_PLAIN : k == 1 ? TAR_GZIP : TAR_ZSTD);
			if (k == 0) {
				tar_file(&t, "etc/gone", "lower");
				tar_file(&t, "etc/stays", "lower");
				tar_file(&t, "etc/changed", "lower");
				tar_file(&t, "opaque/old", "lower");
				tar_file(&t, "tree/a/b", "lower");
				tar_file(&t, "linked", "lower");
				tar_hardlink(&t, "also", "linked");
			} else if (k == 1) {
				tar_file(&t, "etc/.wh.gone", "");
				tar_file(&t, "etc/changed", "middle");
				tar_file(&t, "opaque/new", "middle");
				tar_file(&t, "opaque/.wh..wh..opq", "");
				tar_file(&t, ".wh.tree", "");
				tar_file(&t, ".wh.linked", "");
				tar_file(&t, ".wh..wh.plnk", "");
				tar_file(&t, ".wh.nothing", "");
				tar_file(&t, "back", "middle");
			} else {
				tar_file(&t, ".wh.back", "");
				tar_file(&t, "back", "top"); /* hides what is below only */
				tar_file(&t, "tree", "a file now");
			}
			b = tar_end(&t);
			if (!packed) {
				diff[k] = sha256(b);
				free(b.data);
			} else {
				layer[k] = b;
			}
		}
	}
}

static struct digest text_digest(const char *s)
{
	return sha256((struct bytes){ (uint8_t *)(uintptr_t)s, strlen(s) });
}

static void make_config(struct text *t, const struct digest diff[LAYERS], enum flaw flaw)
{
	char d[LAYERS][DIGEST_TEXT_MAX];

	for (int k = 0; k < LAYERS; k++)
		digest_text(&diff[flaw == FLAW_DIFF_ID ? 0 : k], d[k]);
	(void)snprintf(
		t->s, sizeof(t->s),
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[%s],"
		"\"User\":\"nobody\",\"WorkingDir\":\"/srv\",\"Cmd\":[\"sh\"],\"Entrypoint\":null,"
		"\"Labels\":{\"x\":\"y\"}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\",\"%s\"%s%s%s]}}",
		flaw == FLAW_ENV_IS_A_NUMBER ? "1" : "\"PATH=/bin\"", d[0], d[1],
		flaw == FLAW_ONE_DIFF_ID_LESS ? "" : ",\"",
		flaw == FLAW_ONE_DIFF_ID_LESS ? "" : d[2],
		flaw == FLAW_ONE_DIFF_ID_LESS ? "" : "\"");
}

static void add_blob(struct tar *t, const char *hex, const void *data, size_t len, bool spoil)
{
	char name[128];
	uint8_t *copy = malloc(len + 1);

	memcpy(copy, data, len);
	if (spoil)
		copy[len - 1] ^= 1;
	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", hex);
	tar_bytes(t, name, copy, len);
	free(copy);
}

static struct bytes make_oci(enum flaw flaw)
{
	static struct text config, manifest, index, one;
	char hex[LAYERS][DIGEST_HEX_MAX], config_hex[DIGEST_HEX_MAX], manifest_hex[DIGEST_HEX_MAX];
	struct digest diff[LAYERS], d;
	struct bytes layer[LAYERS];
	struct tar t;

	bundle_layers(layer, diff);
	make_config(&config, diff, flaw);
	d = text_digest(config.s);
	digest_hex(&d, config_hex);
	for (int k = 0; k < LAYERS; k++) {
		d = sha256(layer[k]);
		digest_hex(&d, hex[k]);
	}
	(void)snprintf(
		manifest.s, sizeof(manifest.s),
		"{\"schemaVersion\":2,%s\"config\":{\"digest\":\"sha256:%s\",\"size\":1},\"layers\":["
		"{\"digest\":\"sha256:%s\"},{\"digest\":\"sha256:%s\"},{\"digest\":\"sha256:%s\"}]}",
		flaw == FLAW_DUPLICATE_KEY ? "\"layers\":[]," : "", config_hex, hex[0], hex[1],
		hex[2]);
	d = text_digest(manifest.s);
	digest_hex(&d, manifest_hex);
	(void)snprintf(
		one.s, sizeof(one.s),
		"{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"platform\":{\"os\":\"linux\","
		"\"architecture\":\"%s\"},\"annotations\":{\"org.opencontainers.image.ref.name\":\"v1\"}}",
		flaw == FLAW_NESTED_INDEX ? "application/vnd.oci.image.index.v1+json"
					  : "application/vnd.oci.image.manifest.v1+json",
		manifest_hex, flaw == FLAW_OTHER_MACHINE ? "arm64" : "amd64");
	(void)snprintf(index.s, sizeof(index.s),
		       "{\"schemaVersion\":2,\"manifests\":[%.4000s%s%.4000s]}", one.s,
		       flaw == FLAW_TWO_IMAGES ? "," : "", flaw == FLAW_TWO_IMAGES ? one.s : "");
	tar_begin(&t, TAR_PLAIN);
	tar_file(&t, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	for (int k = 0; k < LAYERS; k++) {
		if (k == 1 && flaw == FLAW_MISSING_LAYER)
			continue;
		add_blob(&t, hex[k], layer[k].data, layer[k].len,
			 k == 0 && flaw == FLAW_LAYER_BYTES);
	}
	for (int k = 0; k < LAYERS; k++)
		free(layer[k].data);
	add_blob(&t, config_hex, config.s, strlen(config.s), flaw == FLAW_CONFIG_BYTES);
	add_blob(&t, manifest_hex, manifest.s, strlen(manifest.s), flaw == FLAW_MANIFEST_BYTES);
	tar_file(&t, "index.json", index.s);
	return tar_end(&t);
}

static struct bytes make_docker(enum flaw flaw)
{
	static struct text config, manifest;
	struct digest diff[LAYERS], d;
	struct bytes layer[LAYERS];
	char hex[DIGEST_HEX_MAX], name[128];
	struct tar t;

	bundle_layers(layer, diff);
	make_config(&config, diff, flaw);
	d = text_digest(config.s);
	digest_hex(&d, hex);
	(void)snprintf(
		manifest.s, sizeof(manifest.s),
		"[{\"Config\":\"%s.json\",\"RepoTags\":[\"a:v1\"],\"Layers\":[\"0/layer.tar\","
		"\"1/layer.tar\",\"2/layer.tar\"]}]",
		hex);
	tar_begin(&t, TAR_PLAIN);
	for (int k = 0; k < LAYERS; k++) {
		(void)snprintf(name, sizeof(name), "%d/layer.tar", k);
		tar_bytes(&t, name, layer[k].data, layer[k].len);
		free(layer[k].data);
	}
	(void)snprintf(name, sizeof(name), "%s.json", hex);
	if (flaw == FLAW_CONFIG_BYTES)
		config.s[strlen(config.s) - 1] = ' ';
	tar_file(&t, name, config.s);
	tar_file(&t, "manifest.json", manifest.s);
	return tar_end(&t);
}

static void expect_merged(const struct imported *i)
{
	static const struct {
		const char *path, *text; /* NULL: not there */
	} rows[] = {
		{ "etc/gone", NULL },	  { "etc/stays", "lower" },   { "etc/changed", "middle" },
		{ "opaque/old", NULL },	  { "opaque/new", "middle" }, { "tree", "a file now" },
		{ "linked", NULL },	  { "also", "lower" },	      { "back", "top" },
		{ "etc/.wh.gone", NULL }, { ".wh..wh.plnk", NULL },
	};
	struct file f;

	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		bool there = image_find(i->image, rows[k].path, &f);

		cr_expect_eq(there, rows[k].text != NULL, "%s", rows[k].path);
		if (!there)
			continue;
		if (rows[k].text != NULL)
			cr_expect_str_eq(f.text, rows[k].text, "%s", rows[k].path);
		cr_expect_eq(f.nlink, 1, "%s", rows[k].path);
		file_done(&f);
	}
}

Test(import_oci, layers_make_one_tree)
{
	struct bytes oci = make_oci(FLAW_NONE), docker = make_docker(FLAW_NONE);
	struct imported a = import_bytes(oci, NULL, NULL), b = import_bytes(docker, "a:v1", NULL);
	const json_t *config;
	struct digest x, y;

	cr_assert_eq(a.result, 0, "%s", a.err.msg);
	cr_assert_eq(b.result, 0, "%s", b.err.msg);
	expect_merged(&a);
	expect_merged(&b);
	x = sha256(a.image);
	y = sha256(b.image);
	cr_expect(digest_equal(&x, &y));
	config = json_object_get(a.report, "config");
	cr_expect_str_eq(json_string_value(json_object_get(config, "user")), "nobody");
	cr_expect_str_eq(json_string_value(json_object_get(config, "workdir")), "/srv");
	cr_expect_eq(json_array_size(json_object_get(config, "env")), 1);
	cr_expect_null(json_object_get(config, "entrypoint"));
	cr_expect_eq(json_array_size(json_object_get(a.report, "layers")), LAYERS);
	imported_done(&a);
	imported_done(&b);
	free(oci.data);
	free(docker.data);
}

/* Writes the archive's files below `at`, or takes them away again. */
static void unpack(struct bytes b, int at, bool remove)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;

	cr_assert_eq(archive_read_support_format_tar(a), ARCHIVE_OK);
	cr_assert_eq(archive_read_open_memory(a, b.data, b.len), ARCHIVE_OK);
	while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(e);
		int fd;

		if (remove) {
			cr_expect_eq(unlinkat(at, name, 0), 0, "%s", name);
			continue;
		}
		fd = openat(at, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		cr_assert_geq(fd, 0, "%s", name);
		cr_assert_eq(archive_read_data_into_fd(a, fd), ARCHIVE_OK);
		(void)close(fd);
	}
	(void)archive_read_free(a);
}

/* A layout as a directory gives the same image; a link in it is not followed. */
Test(import_oci, a_directory)
{
	char dir[] = "/tmp/casemate-import.XXXXXX";
	struct bytes oci = make_oci(FLAW_NONE);
	struct imported tar = import_bytes(oci, NULL, NULL), i;
	int at;

	cr_assert_not_null(mkdtemp(dir));
	at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(mkdirat(at, "blobs", 0700) == 0 && mkdirat(at, "blobs/sha256", 0700) == 0);
	unpack(oci, at, false);
	i = import_fd(at, "v1", NULL);
	cr_expect_eq(i.result, 0, "%s", i.err.msg);
	cr_expect(i.image.len == tar.image.len &&
		  memcmp(i.image.data, tar.image.data, i.image.len) == 0);
	imported_done(&i);
	cr_assert_eq(unlinkat(at, "index.json", 0), 0);
	cr_assert_eq(symlinkat("/etc/hostname", at, "index.json"), 0);
	i = import_fd(at, NULL, NULL);
	cr_expect_eq(i.result, -ELOOP, "%s", i.err.msg);
	imported_done(&i);
	unpack(oci, at, true);
	cr_expect(unlinkat(at, "blobs/sha256", AT_REMOVEDIR) == 0 &&
		  unlinkat(at, "blobs", AT_REMOVEDIR) == 0 && rmdir(dir) == 0);
	(void)close(at);
	imported_done(&tar);
	free(oci.data);
}

Test(import_oci, flaws_are_refused)
{
	static const struct {
		enum flaw flaw;
		bool docker;
		const char *ref;
		int result;
	} rows[] = {
		{ FLAW_NONE, false, NULL, 0 },
		{ FLAW_NONE, false, "v1", 0 },
		{ FLAW_NONE, false, "v2", -ENOENT },
		{ FLAW_NONE, true, NULL, 0 },
		{ FLAW_NONE, true, "a:v2", -ENOENT },
		{ FLAW_LAYER_BYTES, false, NULL, -EBADMSG },
		{ FLAW_DIFF_ID, false, NULL, -EBADMSG },
		{ FLAW_DIFF_ID, true, NULL, -EBADMSG },
		{ FLAW_CONFIG_BYTES, false, NULL, -EBADMSG },
		{ FLAW_CONFIG_BYTES, true, NULL, -EBADMSG },
		{ FLAW_MANIFEST_BYTES, false, NULL, -EBADMSG },
		{ FLAW_DUPLICATE_KEY, false, NULL, -EINVAL },
		{ FLAW_TWO_IMAGES, false, NULL, -EINVAL },
		{ FLAW_OTHER_MACHINE, false, NULL, -ENOENT },
		{ FLAW_MISSING_LAYER, false, NULL, -ENOENT },
		{ FLAW_ONE_DIFF_ID_LESS, false, NULL, -EINVAL },
		{ FLAW_ENV_IS_A_NUMBER, false, NULL, -EINVAL },
		{ FLAW_NESTED_INDEX, false, NULL, -EINVAL },
	};

	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct bytes b =
			rows[k].docker ? make_docker(rows[k].flaw) : make_oci(rows[k].flaw);
		struct imported i = import_bytes(b, rows[k].ref, NULL);

		cr_expect_eq(i.result, rows[k].result, "row %zu: %d %s", k, i.result, i.err.msg);
		imported_done(&i);
		free(b.data);
	}
}

Test(import_oci, json_has_limits)
{
	static char text[2 * IMPORT_JSON_DEPTH + 3];
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "{\"a\":[1,{\"b\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"}]}", true },
		{ "{\"a\":1,\"a\":2}", false },
		{ "{\"a\":\"\\u0000\"}", false },
		{ "{\"a\":1} x", false },
		{ "{\"a\":\"\xff\"}", false },
		{ "", false },
		{ "{\"a\":", false },
	};
	struct err err;
	json_t *j;

	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		int r = import_json_parse(rows[k].text, strlen(rows[k].text), &j, &err);

		cr_expect_eq(r == 0, rows[k].good, "row %zu: %s", k, err.msg);
		if (r == 0)
			json_decref(j);
	}
	for (size_t depth = IMPORT_JSON_DEPTH; depth <= IMPORT_JSON_DEPTH + 1; depth++) {
		int r;

		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		r = import_json_parse(text, 2 * depth, &j, &err);
		cr_expect_eq(r, depth == IMPORT_JSON_DEPTH ? 0 : -E2BIG);
		if (r == 0)
			json_decref(j);
	}
}

Test(import_oci, digests)
{
	static const char good[] =
		"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char text[DIGEST_TEXT_MAX + 1];
	struct digest d;

	cr_assert_eq(digest_parse(good, &d), 0);
	digest_text(&d, text);
	cr_expect_str_eq(text, good);
	(void)snprintf(text, sizeof(text), "%s", good);
	text[20] = 'A'; /* one spelling only: the name of a file is made from it */
	cr_expect_eq(digest_parse(text, &d), -EINVAL);
	text[20] = '/';
	cr_expect_eq(digest_parse(text, &d), -EINVAL);
	(void)snprintf(text, sizeof(text), "%s0", good);
	cr_expect_eq(digest_parse(text, &d), -EINVAL);
	cr_expect_eq(digest_parse("sha512:00", &d), -EINVAL);
	cr_expect_eq(digest_parse("sha256:../../etc/passwd", &d), -EINVAL);
}
