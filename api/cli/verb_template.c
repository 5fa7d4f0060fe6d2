/* SPDX-License-Identifier: Apache-2.0 */
/* verb_template.c - casemate template: built from a Dockerfile, listed, tagged, removed. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "api/cli/template_build.h"
#include "base/fd.h"
#include "base/num.h"

#define REF_MAX	    129U
#define REF_CHARS   "abcdefghijklmnopqrstuvwxyz0123456789._:-"
#define TEMPLATE_MS 30000U

static const char help[] =
	"Usage: casemate template build [-f FILE] [-t NAME[:TAG]] [--cpus N] [--memory SIZE]\n"
	"                               [--scratch SIZE] [--no-cache] [--json] DIR\n"
	"       casemate template ls [--json]\n"
	"       casemate template tag NAME[:TAG] TAG...\n"
	"       casemate template rm NAME...\n"
	"A template is what a sandbox was after a Dockerfile's commands had run in it, with\n"
	"what its CMD has started; sandboxes are made from it as from a snapshot. The part of\n"
	"the language that is understood: FROM (an image, or a template), RUN, COPY, ENV,\n"
	"WORKDIR, USER, ENTRYPOINT, CMD. A build that has begun goes on without this command.\n"
	"\n"
	"  -f, --file FILE     the Dockerfile (default: DIR/Dockerfile)\n"
	"  -t, --tag NAME:TAG  what it is called (default: DIR's name)\n"
	"      --ready COMMAND  succeeds when what CMD starts is ready\n"
	"      --cpus N        processors of its sandboxes (default 2)\n"
	"      --memory SIZE   and their memory (default 1G)\n"
	"      --scratch SIZE  their files on a disk of that size, not in memory\n"
	"      --no-cache      run every command, whatever an earlier build has kept\n"
	"      --json          for programs";

static bool ref_ok(const char *s)
{
	return s[0] != '\0' && strlen(s) <= REF_MAX && s[strspn(s, REF_CHARS)] == '\0';
}

static int call(struct cli *cli, const char *method, const char *path, const json_t *body,
		json_t **ret)
{
	return call_daemon(cli,
			   &(struct call){ .method = method,
					   .path = path,
					   .body = body,
					   .timeout_ms = TEMPLATE_MS,
					   .what = "templates" },
			   ret);
}

/* ---- build --------------------------------------------------------------------------------- */

/* DIR's name, as far as it can be a template's. */
static bool name_from_dir(const char *dir, char *dst, size_t cap)
{
	char *full = realpath(dir, NULL);
	const char *slash = full == NULL ? NULL : strrchr(full, '/');
	size_t n = 0;

	for (const char *s = slash == NULL ? "" : slash + 1; *s != '\0' && n + 1 < cap; s++)
		dst[n++] = (char)(*s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s);
	dst[n] = '\0';
	free(full);
	return ref_ok(dst) && strpbrk(dst, ".:") == NULL;
}

/* Reads and understands it. */
static int parse(const char *path, struct dockerfile *ret)
{
	char *text = malloc(DOCKERFILE_BYTES_MAX + 1);
	ssize_t n = text == NULL ? -ENOMEM
				 : fd_read_file(AT_FDCWD, path, text, DOCKERFILE_BYTES_MAX + 1);
	struct err err = { 0 };
	int status = CLI_OK;

	if (n < 0)
		status = cli_fail("template build: %.200s: %s", path,
				  n == -EFBIG ? "is too long" : strerror((int)-n));
	else if (dockerfile_parse(text, (size_t)n, ret, &err) < 0)
		status = cli_fail("template build: %.200s: %s", path, err.msg);
	free(text);
	return status;
}

/* own: room for a name, when none was given. */
static int build(struct cli *cli, struct template_build *b, char own[REF_MAX + 1], const char *file,
		 const char *dir)
{
	char path[4096];
	int status;

	if (b->name == NULL && !name_from_dir(dir, own, REF_MAX + 1))
		return cli_fail("template build: %.64s: is no name for a template; pass -t", dir);
	if (b->name == NULL)
		b->name = own;
	if (!ref_ok(b->name))
		return cli_fail("template build: -t: is not NAME or NAME:TAG");
	(void)snprintf(path, sizeof(path), "%.3000s/Dockerfile", dir);
	status = parse(file != NULL ? file : path, &b->file);
	if (status != CLI_OK)
		return status;
	if (b->file.skipped != 0)
		cli_warn("template build: line %u: EXPOSE is skipped: any port can be reached",
			 b->file.skipped);
	if (chdir(dir) < 0) {
		status = cli_fail("template build: %.200s: %s", dir, strerror(errno));
	} else {
		if (access(".dockerignore", F_OK) == 0)
			cli_warn("template build: .dockerignore isn't read");
		status = template_build(cli, b);
	}
	dockerfile_done(&b->file);
	return status;
}

/* ---- ls, tag, rm --------------------------------------------------------------------------- */

static void print_row(const json_t *o)
{
	char cpus[24], memory[32];

	(void)snprintf(cpus, sizeof(cpus), "%" PRId64, cli_number(o, "cpuCount"));
	(void)snprintf(memory, sizeof(memory), "%" PRId64 " MiB", cli_number(o, "memoryMB"));
	const char *name = json_string_value(json_array_get(json_object_get(o, "names"), 0));
	(void)printf("%-32s%-22s%-10s%-6s%-12s%s\n", name != NULL && ref_ok(name) ? name : "-",
		     cli_text(o, "templateID"), cli_text(o, "buildStatus"), cpus, memory,
		     cli_text(o, "updatedAt"));
}

static int list(struct cli *cli, bool json)
{
	json_t *answer = NULL, *o;
	int status = call(cli, "GET", "/templates", NULL, &answer);
	size_t i;

	if (status == CLI_OK && json) {
		status = cli_print_json(answer);
	} else if (status == CLI_OK) {
		(void)printf("%-32s%-22s%-10s%-6s%-12s%s\n", "NAME", "ID", "STATE", "CPUS",
			     "MEMORY", "UPDATED");
		json_array_foreach(answer, i, o)
		{
			print_row(o);
		}
	}
	json_decref(answer);
	return status;
}

static int tag(struct cli *cli, int count, char **args)
{
	json_t *tags = json_array(), *body, *answer = NULL;
	int status;

	for (int i = 1; i < count; i++)
		(void)json_array_append_new(tags, json_string(args[i]));
	body = json_pack("{s:s, s:o}", "target", args[0], "tags", tags);
	status = body == NULL ? cli_fail("template tag: not a name")
			      : call(cli, "POST", "/templates/tags", body, &answer);
	json_decref(body);
	json_decref(answer);
	return status;
}

static bool is_untagged(const char *s)
{
	return ref_ok(s) && strchr(s, ':') == NULL;
}

static int rm(struct cli *cli, int count, char **names)
{
	const struct call_remove all = { "template rm", "/templates/", "the name of a template",
					 is_untagged,	TEMPLATE_MS,   "templates" };

	return call_remove(cli, &all, count, names);
}

int verb_template(struct cli *cli, int argc, char **argv)
{
	struct template_build b = { .cpus = 2, .memory_mib = 1024 };
	const char *file = NULL, *memory = NULL, *scratch = NULL;
	char own[REF_MAX + 1];
	uint64_t bytes;
	const struct option_spec list_of[] = {
		{ "file", 'f', OPTION_TEXT, &file, 0, 0, NULL },
		{ "tag", 't', OPTION_TEXT, &b.name, 0, 0, NULL },
		{ "ready", 0, OPTION_TEXT, &b.ready, 0, 0, NULL },
		{ "cpus", 0, OPTION_NUMBER, &b.cpus, 1, 32, NULL },
		{ "memory", 0, OPTION_TEXT, &memory, 0, 0, NULL },
		{ "no-cache", 0, OPTION_FLAG, &b.no_cache, 0, 0, NULL },
		{ "scratch", 0, OPTION_TEXT, &scratch, 0, 0, NULL },
		{ "json", 0, OPTION_FLAG, &b.json, 0, 0, NULL },
	};
	const struct args args = { help, list_of, ARRAY_SIZE(list_of), 1, ARGS_MANY, true };
	const int status = args_parse(&args, argc, argv), left = argc - optind - 1;
	const char *verb = status == ARGS_GO ? argv[optind] : "";

	if (status != ARGS_GO)
		return status;
	if (memory != NULL && parse_size(memory, 64 * MIB, UINT64_MAX, &bytes) < 0)
		return cli_fail("template: --memory: must be a size, at least 64M");
	if (scratch != NULL && parse_size(scratch, MIB, (uint64_t)1 << 50, &b.scratch_bytes) < 0)
		return cli_fail("template: --scratch: must be a size, at least 1M");
	b.scratch_bytes = align_up(b.scratch_bytes, MIB);
	if (memory != NULL)
		b.memory_mib = bytes / MIB;
	if (strcmp(verb, "build") == 0 && left == 1)
		return build(cli, &b, own, file, argv[optind + 1]);
	if (strcmp(verb, "ls") == 0 && left == 0)
		return list(cli, b.json);
	if (strcmp(verb, "tag") == 0 && left >= 2)
		return tag(cli, left, argv + optind + 1);
	if (strcmp(verb, "rm") == 0 && left >= 1)
		return rm(cli, left, argv + optind + 1);
	return cli_fail("template: build, ls, tag or rm; see casemate template --help");
}
