/* SPDX-License-Identifier: Apache-2.0 */
/* image_add.c - casemate image import and pull: from an archive or a registry to a name of the
 * daemon's. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/cli/http_client.h"
#include "api/cli/image_internal.h"
#include "api/cli/progress.h"
#include "api/cli/puller.h"
#include "base/fd.h"

/* "dir/Debian_12.tar.gz" is debian_12: false when that would be no name. */
static bool name_from_path(const char *path, char dst[IMAGE_NAME_MAX + 1])
{
	size_t len = strlen(path), from;

	while (len > 1 && path[len - 1] == '/')
		len--;
	for (from = len; from > 0 && path[from - 1] != '/'; from--)
		;
	if (len - from > IMAGE_NAME_MAX)
		return false;
	memcpy(dst, path + from, len - from);
	dst[len - from] = '\0';
	for (char *c = dst; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	char *tar = strstr(dst, ".tar");
	if (tar == NULL)
		tar = strstr(dst, ".tgz");
	if (tar != NULL)
		*tar = '\0';
	return image_name_ok(dst);
}

/* The image, and then its name. */
static int send_image(struct cli *cli, const char *name, int image, const json_t *report,
		      json_t **ret, struct err *err)
{
	const char *digest =
		json_string_value(json_object_get(json_object_get(report, "image"), "digest"));
	const json_t *config = json_object_get(report, "config");
	struct progress p;
	struct http_client *c = NULL;
	json_t *body = NULL, *stored = NULL;
	struct stat st;
	char path[160];
	int r = http_client_open(cli, &c, err);

	(void)snprintf(path, sizeof(path), "/v1/images?digest=%.80s", digest);
	progress_begin(&p, cli, "sending the image");
	p.total = fstat(image, &st) == 0 ? (uint64_t)st.st_size : 0;
	if (r == 0)
		r = http_client_upload(c, "POST", path, image, &p.done, &stored, err);
	progress_end(&p);
	if (r == 0) {
		body = json_pack("{s:s, s:O*}", "digest", digest, "config", config);
		(void)snprintf(path, sizeof(path), "/v1/images/%s", name);
		r = body == NULL
			    ? err_set(err, -ENOMEM, "out of memory")
			    : http_client_call(c, "PUT", path, body, IMAGE_CALL_MS, ret, NULL, err);
	}
	json_decref(body);
	json_decref(stored);
	http_client_free(c);
	return r;
}

/* An archive becomes an image of the daemon's, by this name. */
static int make(struct cli *cli, const struct image_opts *o, int archive, const char *name,
		json_t **ret, struct err *err)
{
	CLEANUP(fd_closep) int image = -1;
	json_t *report = NULL;
	struct progress p;
	int r;

	progress_begin(&p, cli, "making an image");
	r = importer_run(cli, &o->importer, archive, &image, &report, err);
	progress_end(&p);
	if (r == 0)
		r = send_image(cli, name, image, report, ret, err);
	json_decref(report);
	return r;
}

/* The verb's end: what was made, or why nothing was. */
static int tell(const struct cli *cli, const struct image_opts *o, const char *verb, int r,
		const struct err *err, json_t *answer)
{
	int status = CLI_OK;

	if (r < 0 && cli->signo != 0)
		status = CLI_SIGNALLED + cli->signo;
	else if (r < 0)
		status = cli_fail("image %s: %s", verb, err->msg);
	else if (o->json)
		status = cli_print_json(answer);
	else
		(void)printf("%s %s\n", cli_text(answer, "name"), cli_text(answer, "digest"));
	json_decref(answer);
	return status;
}

int image_import(struct cli *cli, const struct image_opts *o, const char *path)
{
	CLEANUP(fd_closep) int archive = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	json_t *answer = NULL;
	char name[IMAGE_NAME_MAX + 1];
	struct err err = { 0 };
	int r;

	if (o->name != NULL && !image_name_ok(o->name))
		return cli_fail("image import: --name: 1 to 64 of a-z, 0-9, '.', '_' and '-'");
	if (o->name == NULL && !name_from_path(path, name))
		return cli_fail("image import: %.64s: is no name for an image; pass --name", path);
	if (archive < 0)
		return cli_fail("image import: %.200s: %s", path, strerror(errno));
	cli->quiet = o->json;
	r = make(cli, o, archive, o->name != NULL ? o->name : name, &answer, &err);
	return tell(cli, o, "import", r, &err, answer);
}

int image_pull(struct cli *cli, const struct image_opts *o, const char *ref)
{
	CLEANUP(fd_closep) int layout = -1;
	struct puller puller = { .ref = ref, .insecure = o->insecure };
	json_t *answer = NULL;
	char name[IMAGE_NAME_MAX + 2];
	struct progress p;
	struct err err = { 0 };
	int r;

	puller_name(ref, name, sizeof(name));
	if (o->name != NULL && !image_name_ok(o->name))
		return cli_fail("image pull: --name: 1 to 64 of a-z, 0-9, '.', '_' and '-'");
	if (o->name == NULL && !image_name_ok(name))
		return cli_fail("image pull: %.64s: is no name for an image; pass --name", ref);
	cli->quiet = o->json;
	progress_begin(&p, cli, "fetching the image");
	r = puller_run(cli, &puller, &layout, &err);
	progress_end(&p);
	if (r == 0)
		r = make(cli, o, layout, o->name != NULL ? o->name : name, &answer, &err);
	puller_done(&puller);
	return tell(cli, o, "pull", r, &err, answer);
}
