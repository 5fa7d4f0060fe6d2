/* SPDX-License-Identifier: Apache-2.0 */
/* verb_image.c - casemate image: root images, their names, and what is left over. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "api/cli/image_internal.h"
#include "base/num.h"

#define NAME_CHARS  "abcdefghijklmnopqrstuvwxyz0123456789._-"
#define DIGEST_SHOW 19 /* "sha256:" and 12 digits */

static const char help[] =
	"Usage: casemate image import [--name NAME] [--ref REF] [--json] FILE|DIR\n"
	"       casemate image pull [--name NAME] [--insecure] [--json] REF\n"
	"       casemate image ls [--json]\n"
	"       casemate image inspect [--json] NAME\n"
	"       casemate image rm NAME...\n"
	"       casemate image gc [--min-age TIME] [--json]\n"
	"Root images. FILE is a tar of a root directory, an OCI layout in a tar, or what\n"
	"docker save writes; DIR an OCI layout. It is unpacked here, by casemate-import,\n"
	"and the image that comes out is sent to the daemon. pull has skopeo fetch REF\n"
	"first: a registry's (debian:12), or what skopeo(1) takes (docker-archive:FILE).\n"
	"\n"
	"  --name NAME     what it is called from now on (default: FILE's, or REF's)\n"
	"  --ref REF       which image of an archive that has several\n"
	"  --insecure      pull: by HTTP, or with a certificate that nobody vouches for\n"
	"  --libexec DIR   where casemate-import is (default /usr/libexec/casemate)\n"
	"  --min-age TIME  gc: leaves images that came later (default 1h)\n"
	"  --json          for programs";

static int call(struct cli *cli, const char *method, const char *path, const json_t *body,
		json_t **ret)
{
	return call_daemon(cli,
			   &(struct call){ .method = method,
					   .path = path,
					   .body = body,
					   .timeout_ms = IMAGE_CALL_MS,
					   .what = "images" },
			   ret);
}

bool image_name_ok(const char *s)
{
	return s[0] != '\0' && s[0] != '.' && strlen(s) <= IMAGE_NAME_MAX &&
	       s[strspn(s, NAME_CHARS)] == '\0';
}

/* ---- ls, inspect --------------------------------------------------------------------------- */

static void print_row(const char *name, const json_t *o)
{
	const time_t s = (time_t)(cli_number(o, "created_unix_ms") / 1000);
	char when[32] = "-", size[32] = "-";
	struct tm tm;

	if (s != 0 && localtime_r(&s, &tm) != NULL)
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	if (cli_number(o, "bytes") > 0)
		(void)snprintf(size, sizeof(size), "%" PRId64 " MiB",
			       (cli_number(o, "bytes") + (int64_t)MIB - 1) / (int64_t)MIB);
	(void)printf("%-24s%-22.*s%-12s%-18s%s\n", name, DIGEST_SHOW, cli_text(o, "digest"), size,
		     when, json_is_false(json_object_get(o, "present")) ? "missing" : "");
}

static int list(struct cli *cli, bool json)
{
	json_t *answer = NULL, *o, *nothing = json_object();
	int status = call(cli, "GET", "/v1/images", NULL, &answer);
	size_t i;

	if (status == CLI_OK && json) {
		status = cli_print_json(answer);
	} else if (status == CLI_OK) {
		(void)printf("%-24s%-22s%-12s%s\n", "NAME", "DIGEST", "SIZE", "IMPORTED");
		json_array_foreach(json_object_get(answer, "images"), i, o)
		{
			print_row(cli_text(o, "name"), o);
		}
		json_array_foreach(json_object_get(answer, "placed"), i, o)
		{
			const char *name = json_string_value(o);
			if (name != NULL && image_name_ok(name)) /* no control characters */
				print_row(name, nothing);
		}
		json_array_foreach(json_object_get(answer, "unnamed"), i, o)
		{
			print_row("-", o);
		}
	}
	json_decref(nothing);
	json_decref(answer);
	return status;
}

static int path_of(const char *name, char path[96])
{
	if (!image_name_ok(name))
		return cli_fail("image: %.64s: is not the name of an image", name);
	(void)snprintf(path, 96, "/v1/images/%s", name);
	return CLI_OK;
}

static int inspect(struct cli *cli, const char *name, bool json)
{
	json_t *answer = NULL;
	char path[96], *text;
	int status = path_of(name, path);

	if (status == CLI_OK)
		status = call(cli, "GET", path, NULL, &answer);
	if (status == CLI_OK) {
		text = json_dumps(answer,
				  (json ? JSON_COMPACT : JSON_INDENT(2)) | JSON_ENSURE_ASCII);
		status = text == NULL ? cli_fail("out of memory") : CLI_OK;
		if (text != NULL)
			(void)puts(text);
		free(text);
	}
	json_decref(answer);
	return status;
}

/* ---- rm, gc -------------------------------------------------------------------------------- */

static int rm(struct cli *cli, int count, char **names)
{
	const struct call_remove all = { "image rm",	"/v1/images/", "the name of an image",
					 image_name_ok, IMAGE_CALL_MS, "images" };

	return call_remove(cli, &all, count, names);
}

static int gc(struct cli *cli, const struct image_opts *o)
{
	json_t *answer = NULL;
	json_t *body = json_pack("{s:I}", "min_age_s", (json_int_t)(o->min_age_ms / 1000));
	int status = body == NULL ? cli_fail("out of memory")
				  : call(cli, "POST", "/v1/images/gc", body, &answer);

	if (status == CLI_OK && o->json)
		status = cli_print_json(answer);
	else if (status == CLI_OK)
		(void)printf("%zu removed, %" PRId64 " MiB\n",
			     json_array_size(json_object_get(answer, "removed")),
			     cli_number(answer, "freed_bytes") / (int64_t)MIB);
	json_decref(body);
	json_decref(answer);
	return status;
}

/* ---- The verb ------------------------------------------------------------------------------ */

int verb_image(struct cli *cli, int argc, char **argv)
{
	struct image_opts o = { .importer = { .libexec = "/usr/libexec/casemate" },
				.min_age_ms = 3600 * UINT64_C(1000) };
	const struct option_spec list_of[] = {
		{ "name", 0, OPTION_TEXT, &o.name, 0, 0, NULL },
		{ "ref", 0, OPTION_TEXT, &o.importer.ref, 0, 0, NULL },
		{ "libexec", 0, OPTION_TEXT, &o.importer.libexec, 0, 0, NULL },
		{ "min-age", 0, OPTION_TIME, &o.min_age_ms, 1, 24 * UINT64_C(3600000), NULL },
		{ "insecure", 0, OPTION_FLAG, &o.insecure, 0, 0, NULL },
		{ "json", 0, OPTION_FLAG, &o.json, 0, 0, NULL },
	};
	const struct args args = { help, list_of, ARRAY_SIZE(list_of), 1, ARGS_MANY, true };
	const int status = args_parse(&args, argc, argv), left = argc - optind - 1;
	const char *verb = status == ARGS_GO ? argv[optind] : "";

	if (status != ARGS_GO)
		return status;
	if (strcmp(verb, "import") == 0 && left == 1)
		return image_import(cli, &o, argv[optind + 1]);
	if (strcmp(verb, "pull") == 0 && left == 1)
		return image_pull(cli, &o, argv[optind + 1]);
	if (strcmp(verb, "ls") == 0 && left == 0)
		return list(cli, o.json);
	if (strcmp(verb, "inspect") == 0 && left == 1)
		return inspect(cli, argv[optind + 1], o.json);
	if (strcmp(verb, "rm") == 0)
		return rm(cli, left, argv + optind + 1);
	if (strcmp(verb, "gc") == 0 && left == 0)
		return gc(cli, &o);
	return cli_fail("image: import, pull, ls, inspect, rm or gc; see casemate image --help");
}
