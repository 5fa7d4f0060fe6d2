/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/run_opts.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/cli/netspec.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"

#define CPUS_MAX    32U
#define MEMORY_MIN  (UINT64_C(64) * MIB)
#define MEMORY_STEP (UINT64_C(2) * MIB)
#define SIZE_MAX_   (UINT64_C(1) << 46)
#define TIMEOUT_MAX (UINT64_C(24) * 3600 * 1000)

#define TEMPLATE_BYTES_MAX 32768

#define RUN    RUN_VERB_RUN
#define CREATE RUN_VERB_CREATE
#define EXEC   RUN_VERB_EXEC

static int set_cpus(struct run_opts *o, const char *arg, struct err *err)
{
	if (parse_u64(arg, 1, CPUS_MAX, &o->cpus) == 0)
		return 0;
	return err_set(err, -EINVAL, "--cpus: \"%.32s\" is not a number from 1 to %u", arg,
		       CPUS_MAX);
}

static int set_memory(struct run_opts *o, const char *arg, struct err *err)
{
	uint64_t n;
	int r = parse_size(arg, 0, SIZE_MAX_, &n);

	if (r == -EINVAL)
		return err_set(err, r, "--memory: \"%.32s\" is not a size such as 512M", arg);
	if (r < 0 || n < MEMORY_MIN)
		return err_set(err, -EINVAL,
			       "--memory: \"%.32s\" is out of range; at least 64M is needed", arg);
	o->memory_bytes = align_up(n, MEMORY_STEP);
	return 0;
}

static int set_scratch(struct run_opts *o, const char *arg, struct err *err)
{
	if (parse_size(arg, MIB, SIZE_MAX_, &o->scratch_bytes) < 0)
		return err_set(err, -EINVAL, "--scratch: \"%.32s\" is not a size of 1M or more",
			       arg);
	o->scratch_bytes = align_up(o->scratch_bytes, MIB);
	return 0;
}

static int set_timeout(struct run_opts *o, const char *arg, struct err *err)
{
	if (parse_duration_ms(arg, TIMEOUT_MAX, &o->timeout_ms) == 0 && o->timeout_ms > 0)
		return 0;
	return err_set(
		err, -EINVAL,
		"--timeout: \"%.32s\" is not a time such as 500ms, 2s, 5m or 1h (at most 24h)",
		arg);
}

static int set_env(struct run_opts *o, const char *arg, struct err *err)
{
	const size_t len = strcspn(arg, "=");
	const char *value = arg[len] == '=' ? arg + len + 1 : NULL;
	char *name;

	if (len == 0)
		return err_set(err, -EINVAL, "--env: \"%.32s\" is not NAME=VALUE", arg);
	if (o->envs_count == RUN_ENVS_MAX)
		return err_set(err, -EINVAL, "--env: more than %u variables", RUN_ENVS_MAX);
	name = strndup(arg, len);
	if (name == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	if (value == NULL)
		value = getenv(name);
	o->envs[o->envs_count++] = (struct run_env){ .name = name, .value = value };
	if (value == NULL)
		return err_set(err, -EINVAL, "--env: %.32s is not set here; write %.32s=VALUE",
			       name, name);
	return 0;
}

static int set_file(struct run_opts *o, const char *arg, struct err *err)
{
	int r;

	if (o->files_count == RUN_FILES_MAX)
		return err_set(err, -EINVAL, "--file: more than %u files", RUN_FILES_MAX);
	if (o->files == NULL)
		o->files = calloc(RUN_FILES_MAX, sizeof(*o->files));
	if (o->files == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	r = filespec_parse(arg, &o->files[o->files_count], err);
	if (r == 0)
		o->files_count++;
	return r;
}

/* Whether it is a good one, the daemon and the VMM say; here it must be JSON and not too long. */
static int set_cpu_template(struct run_opts *o, const char *arg, struct err *err)
{
	CLEANUP(fd_closep) int fd = open(arg, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	static char text[TEMPLATE_BYTES_MAX];
	json_error_t jerr;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -EINVAL, "--cpu-template: %.64s: %s", arg, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)sizeof(text))
		return err_set(err, -EINVAL,
			       "--cpu-template: %.64s: not a file of at most %d bytes", arg,
			       TEMPLATE_BYTES_MAX);
	r = fd_read_full(fd, text, (size_t)st.st_size);
	if (r < 0)
		return err_set(err, -EINVAL, "--cpu-template: %.64s: %s", arg, strerror(-r));
	json_decref(o->cpu_template);
	o->cpu_template = json_loadb(text, (size_t)st.st_size, JSON_REJECT_DUPLICATES, &jerr);
	if (o->cpu_template == NULL)
		return err_set(err, -EINVAL, "--cpu-template: %.64s: line %d: %.64s", arg,
			       jerr.line, jerr.text);
	return 0;
}

static int set_net(struct run_opts *o, const char *arg, struct err *err)
{
	return netspec_add(&o->network, arg, err);
}

#define SET_TEXT(field)                                                              \
	static int set_##field(struct run_opts *o, const char *arg, struct err *err) \
	{                                                                            \
		if (arg[0] == '\0')                                                  \
			return err_set(err, -EINVAL, "--" #field ": is empty");      \
		o->field = arg;                                                      \
		return 0;                                                            \
	}
#define SET_FLAG(field)                                                              \
	static int set_##field(struct run_opts *o, const char *arg, struct err *err) \
	{                                                                            \
		(void)arg;                                                           \
		(void)err;                                                           \
		o->field = true;                                                     \
		return 0;                                                            \
	}

SET_TEXT(cwd)
SET_TEXT(user)
SET_TEXT(image)
SET_TEXT(snapshot)
SET_TEXT(template)
SET_TEXT(kernel)
SET_TEXT(hostname)
SET_TEXT(huge_pages)
SET_TEXT(root)
SET_TEXT(on_timeout)
SET_TEXT(cpuset_cpus)
SET_TEXT(cpuset_mems)
SET_FLAG(interactive)
SET_FLAG(tty)
SET_FLAG(json)
SET_FLAG(keep)
SET_FLAG(help)

static const struct {
	const char *name;
	const char *value; /* what the help calls it; NULL = a flag */
	unsigned letter;   /* the short form; 0 = none */
	unsigned verbs;
	int (*set)(struct run_opts *o, const char *arg, struct err *err);
	const char *text;
} options[] = {
	{ "cpus", "N", 0, RUN | CREATE, set_cpus, "virtual CPUs, 1 to 32 (default 1)" },
	{ "memory", "SIZE", 0, RUN | CREATE, set_memory, "guest memory, from 64M (default 512M)" },
	{ "scratch", "SIZE", 0, RUN | CREATE, set_scratch,
	  "a writable disk for the overlay (default: in memory)" },
	{ "image", "NAME", 0, RUN | CREATE, set_image, "root image in the host's store" },
	{ "snapshot", "NAME", 0, RUN | CREATE, set_snapshot,
	  "go on from this snapshot, which says what the machine is" },
	{ "template", "NAME", 0, RUN | CREATE, set_template,
	  "the same of a template, NAME or NAME:TAG" },
	{ "kernel", "NAME", 0, RUN | CREATE, set_kernel, "guest kernel in the host's store" },
	{ "hostname", "NAME", 0, RUN | CREATE, set_hostname,
	  "the guest's host name (default: the id)" },
	{ "huge-pages", "KIND", 0, RUN | CREATE, set_huge_pages,
	  "guest memory in 2M pages: none, transparent or hugetlb" },
	{ "root", "KIND", 0, RUN | CREATE, set_root,
	  "the root image as a disk, or as shared memory: blk or pmem" },
	{ "cpuset-cpus", "LIST", 0, RUN | CREATE, set_cpuset_cpus,
	  "host CPUs that it may run on: 0-3,8" },
	{ "cpuset-mems", "LIST", 0, RUN | CREATE, set_cpuset_mems,
	  "host memory nodes that it may use: 0" },
	{ "cpu-template", "FILE", 0, RUN | CREATE, set_cpu_template,
	  "JSON that narrows the guest's CPU" },
	{ "net", "WHAT", 0, RUN | CREATE, set_net,
	  "a network: internet, none, allow=DESTINATION, deny=CIDR (default: no card)" },
	{ "env", "NAME[=VALUE]", 0, RUN | CREATE | EXEC, set_env,
	  "set a variable, or pass ours on" },
	{ "cwd", "DIR", 0, RUN | CREATE | EXEC, set_cwd, "working directory in the guest" },
	{ "user", "NAME", 0, RUN | CREATE | EXEC, set_user, "user in the guest (default root)" },
	{ "timeout", "TIME", 0, RUN | CREATE | EXEC, set_timeout,
	  "end it after TIME: 500ms, 2s, 5m, 1h" },
	{ "on-timeout", "WHAT", 0, CREATE, set_on_timeout,
	  "what the end of --timeout does: end, pause or pause-files (default end)" },
	{ "file", "HOST:GUEST", 0, RUN, set_file,
	  "copy in if HOST exists, else out; or say :in, :out, :inout" },
	{ "interactive", NULL, 'i', RUN | EXEC, set_interactive, "pass standard input on" },
	{ "tty", NULL, 't', RUN | EXEC, set_tty, "give the command a terminal" },
	{ "keep", NULL, 0, RUN, set_keep, "leave the sandbox running afterwards" },
	{ "json", NULL, 0, RUN | CREATE | EXEC, set_json,
	  "a JSON object about it at the end (run, exec: on standard error)" },
	{ "help", NULL, 'h', RUN | CREATE | EXEC, set_help, "show this text" },
};
#define OPTIONS	  ARRAY_SIZE(options)
#define LONG_BASE 256

/* getopt's two descriptions of the options of a verb. */
static void describe(enum run_verb verb, struct option longs[OPTIONS + 1],
		     char shorts[2 * OPTIONS + 3])
{
	size_t n = 0, s = 0;

	shorts[s++] = '+'; /* the command's own options are not ours */
	shorts[s++] = ':';
	for (size_t i = 0; i < OPTIONS; i++) {
		if ((options[i].verbs & verb) == 0)
			continue;
		longs[n++] = (struct option){ .name = options[i].name,
					      .has_arg = options[i].value != NULL,
					      .val = LONG_BASE + (int)i };
		if (options[i].letter != 0)
			shorts[s++] = (char)options[i].letter;
	}
	longs[n] = (struct option){ .name = NULL };
	shorts[s] = '\0';
}

static size_t find_option(int c)
{
	if (c >= LONG_BASE)
		return (size_t)(c - LONG_BASE);
	for (size_t i = 0; i < OPTIONS; i++)
		if (options[i].letter == (unsigned)c)
			return i;
	BUG("getopt returned what it wasn't given");
}

int run_opts_parse(enum run_verb verb, int argc, char **argv, struct run_opts *ret, struct err *err)
{
	struct option longs[OPTIONS + 1];
	char shorts[2 * OPTIONS + 3];
	int c, r = 0;

	memset(ret, 0, sizeof(*ret));
	describe(verb, longs, shorts);
	optind = 0;
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == ':')
			return err_set(err, -EINVAL,
				       "%s: %.64s needs a value; try casemate %s --help", argv[0],
				       argv[optind - 1], argv[0]);
		if (c == '?' && optopt != 0 && optopt < LONG_BASE)
			return err_set(err, -EINVAL,
				       "%s: unknown option -%c; try casemate %s --help", argv[0],
				       optopt, argv[0]);
		if (c == '?')
			return err_set(err, -EINVAL,
				       "%s: unknown option %.64s; try casemate %s --help", argv[0],
				       argv[optind - 1], argv[0]);
		r = options[find_option(c)].set(ret, optarg, err);
	}
	if (optind < argc) {
		ret->rest = argv + optind;
		ret->rest_count = (size_t)(argc - optind);
	}
	return r;
}

void run_opts_done(struct run_opts *o)
{
	json_decref(o->network);
	o->network = NULL;
	for (size_t i = 0; i < o->envs_count; i++)
		free(o->envs[i].name);
	o->envs_count = 0;
	free(o->files);
	json_decref(o->cpu_template);
	o->cpu_template = NULL;
	o->files = NULL;
	o->files_count = 0;
}

void run_opts_help(enum run_verb verb)
{
	for (size_t i = 0; i < OPTIONS; i++) {
		char left[48];
		if ((options[i].verbs & verb) == 0)
			continue;
		(void)snprintf(left, sizeof(left), "%c%c%s--%s%s%s", options[i].letter ? '-' : ' ',
			       options[i].letter ? options[i].letter : ' ',
			       options[i].letter ? ", " : "  ", options[i].name,
			       options[i].value != NULL ? " " : "",
			       options[i].value != NULL ? options[i].value : "");
		(void)printf("  %-28s %s\n", left, options[i].text);
	}
}
