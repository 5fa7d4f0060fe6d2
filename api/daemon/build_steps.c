/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_steps.c - a recipe's steps in a build's sandbox. Whatever an archive holds is unpacked
 * there, by the image's own tar. Scripts get what comes from the recipe as arguments, never as a
 * part of their text.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/build_internal.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"

#define SHELL	"/bin/sh"
#define ROOT	"root"
#define ARCHIVE "/tmp/.casemate-copy.tar"

/* "NAME" with NAME's own group, as "NAME:GROUP" says it. */
#define OWNER_SCRIPT                                                           \
	"case $owner in *:*) ;; *)\n"                                          \
	"	group=$(id -g \"$owner\" 2>/dev/null) && owner=$owner:$group || :\n" \
	"esac\n"

/* As E2B has it: bash where there is one. Not a login shell, whose profile would undo ENV PATH. */
static const char run_script[] =
	"if [ -x /bin/bash ]; then exec /bin/bash -c \"$1\"; fi; exec /bin/sh -c \"$1\"";

/* SDKs use the account "user" unless told otherwise: an image that has none gets one. */
static const char prepare_script[] =
	"set -eu\n"
	"[ \"$1\" = user ] || exit 0\n"
	"if ! grep -q '^user:' /etc/passwd 2>/dev/null; then\n"
	"	id=1000\n"
	"	while grep -q \"^[^:]*:[^:]*:$id:\" /etc/passwd /etc/group 2>/dev/null; do id=$((id + 1)); done\n"
	"	shell=/bin/sh; [ ! -x /bin/bash ] || shell=/bin/bash\n"
	"	echo \"user:x:$id:$id::/home/user:$shell\" >>/etc/passwd\n"
	"	grep -q '^user:' /etc/group 2>/dev/null || echo \"user:x:$id:\" >>/etc/group\n"
	"	mkdir -p /home/user\n"
	"	[ ! -d /etc/skel ] || cp -a /etc/skel/. /home/user/\n"
	"	chown -R \"$id:$id\" /home/user\n"
	"	[ ! -d /etc/sudoers.d ] || echo 'user ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/user\n"
	"fi\n";

/* A directory of root's making belongs to who works in it. $1: the path, $2: the user. */
static const char workdir_script[] =
	"set -eu\n"
	"owner=$2\n" OWNER_SCRIPT
	"[ -d \"$1\" ] || { mkdir -p -- \"$1\"; chown \"$owner\" -- \"$1\"; }\n"
	"cd -- \"$1\"\n"
	"pwd\n";

/*
 * $1: the archive, $2: the source, a pattern, $3: the target, $4: the owner, $5: the mode or "". As
 * docker's COPY: of a directory its contents; the target is a directory when it ends in a slash, is
 * one, or more than one thing goes there.
 */
static const char copy_script[] =
	"set -eu\n"
	"umask 022\n"
	"work=$(mktemp -d)\n"
	"trap 'rm -rf \"$work\" \"$1\"' EXIT\n"
	"owner=$4\n" OWNER_SCRIPT
	"tar -xozf \"$1\" -C \"$work\" 2>/dev/null || tar -xof \"$1\" -C \"$work\"\n"
	"chown -hR \"$owner\" \"$work\"\n"
	"[ -z \"$5\" ] || chmod -R \"$5\" \"$work\"\n"
	"target=$3\n"
	"archive=$1\n"
	"pattern=$2\n"
	"here=$(pwd)\n"
	"case $target in /*) ;; *) target=$here/$target ;; esac\n"
	"cd \"$work\"\n"
	"IFS=\n"
	"set -- $pattern\n"
	"unset IFS\n"
	"[ -e \"$1\" ] || [ -L \"$1\" ] || { echo \"COPY: $pattern: no such file\" >&2; exit 1; }\n"
	"into=0\n"
	"case $target in */ | */. | */..) into=1 ;; esac\n"
	"if [ $# -gt 1 ] || [ -d \"$target\" ] || { [ -d \"$1\" ] && [ ! -L \"$1\" ]; }; then into=1; fi\n"
	"dir=$target\n"
	"[ $into = 1 ] || dir=$(dirname -- \"$target\")\n"
	"[ -d \"$dir\" ] || { mkdir -p -- \"$dir\"; chown \"$owner\" -- \"$dir\"; }\n"
	"for entry do\n"
	"	if [ -d \"$entry\" ] && [ ! -L \"$entry\" ]; then\n"
	"		cp -a -- \"$entry/.\" \"$target/\"\n"
	"	elif [ $into = 1 ]; then\n"
	"		cp -a -- \"$entry\" \"$target/\"\n"
	"	else\n"
	"		cp -a -- \"$entry\" \"$target\"\n"
	"	fi\n"
	"done\n"
	"trap - EXIT\n"
	"rm -rf \"$work\" \"$archive\"\n";

static const struct recipe_step *step_of(const struct build *b)
{
	return &b->recipe.steps[b->step];
}

static unsigned number_of(const struct build *b)
{
	return (unsigned)b->step + 1;
}

/* ---- Results ------------------------------------------------------------------------------- */

static void on_output(const uint8_t *data, size_t len, bool is_stderr, void *arg)
{
	struct build *b = arg;

	build_log_output(b->log, b->phase == BUILD_STEPS ? number_of(b) : 0, data, len, is_stderr);
}

/* The agent says it in words of its own; SDKs' users know these. */
static void explain_refusal(const struct guest_result *res, const char *user, char *text,
			    size_t cap)
{
	if (strncmp(res->msg, "no such user", 12) == 0)
		(void)snprintf(text, cap, "unauthenticated: invalid username: '%s'", user);
	else
		(void)snprintf(text, cap, "%s", res->msg);
}

static void fail_command(struct build *b, const char *what, const char *user,
			 const struct guest_result *res)
{
	const unsigned step = b->phase == BUILD_STEPS ? number_of(b) : 0;
	char text[256];

	switch (res->end) {
	case GUEST_EXITED:
		build_fail(b, step, "failed to run command '%.200s': exit status %u", what,
			   res->code);
		return;
	case GUEST_SIGNALLED:
		build_fail(b, step, "failed to run command '%.200s': signal %u", what, res->code);
		return;
	case GUEST_TIMED_OUT:
		build_fail(b, step, "failed to run command '%.200s': it took too long", what);
		return;
	case GUEST_REFUSED:
		explain_refusal(res, user, text, sizeof(text));
		build_fail(b, step, "failed to run command '%.200s': command failed: %s", what,
			   text);
		return;
	case GUEST_LOST:
		build_fail(b, step, "failed to run command '%.200s': %s", what, res->msg);
		return;
	case GUEST_END_COUNT:
		break;
	}
	BUG("not an end");
}

/* True: the command did what it should. */
static bool took(struct build *b, const char *what, const char *user,
		 const struct guest_result *res)
{
	guest_command_free(b->command);
	b->command = NULL;
	build_log_flush(b->log);
	if (res->end == GUEST_EXITED && res->code == 0)
		return true;
	fail_command(b, what, user, res);
	return false;
}

/* ---- RUN ----------------------------------------------------------------------------------- */

static const char *user_of(const struct build *b, const char *said)
{
	return said[0] != '\0' ? said : build_text(b->config, "user");
}

static void on_run(const struct guest_result *res, void *arg)
{
	struct build *b = arg;
	const struct recipe_step *s = step_of(b);

	if (took(b, s->args[0], user_of(b, recipe_arg(s, 1)), res))
		build_step_worked(b);
}

static void begin_run(struct build *b, const struct recipe_step *s)
{
	static const struct guest_command_ops ops = { .output = on_output, .done = on_run };
	const struct build_command c = { .argv = { SHELL, "-c", run_script, "sh", s->args[0] },
					 .user = user_of(b, recipe_arg(s, 1)) };

	(void)!build_run(b, &c, &ops, &b->command);
}

/* ---- COPY ---------------------------------------------------------------------------------- */

static void on_copied(const struct guest_result *res, void *arg)
{
	struct build *b = arg;

	if (took(b, "COPY", ROOT, res))
		build_step_worked(b);
}

static void on_sent(const char *fault, void *arg)
{
	static const struct guest_command_ops ops = { .output = on_output, .done = on_copied };
	struct build *b = arg;
	const struct recipe_step *s = step_of(b);
	const struct build_command c = { .argv = { SHELL, "-c", copy_script, "sh", ARCHIVE,
						   s->args[0], s->args[1],
						   user_of(b, recipe_arg(s, 2)), recipe_arg(s, 3) },
					 .user = ROOT };

	guest_file_free(b->sending);
	b->sending = NULL;
	fd_closep(&b->archive);
	if (fault != NULL)
		build_fail(b, number_of(b), "COPY: the archive can't be sent: %s", fault);
	else
		(void)!build_run(b, &c, &ops, &b->command);
}

int build_archive(const struct build *b, const struct recipe_step *s,
		  char digest[BUILD_FILES_DIGEST_LEN + 1])
{
	struct build_files_key key;

	memcpy(key.template, b->template, sizeof(key.template));
	memcpy(key.hash, s->files, sizeof(key.hash));
	return build_files_open(b->all->files, &key, digest);
}

static void begin_copy(struct build *b, const struct recipe_step *s)
{
	char digest[BUILD_FILES_DIGEST_LEN + 1];
	int r;

	b->archive = build_archive(b, s, digest);
	if (b->archive == -ENOENT) {
		build_fail(b, number_of(b), "COPY: its files were not uploaded");
		return;
	}
	r = b->archive;
	if (r >= 0)
		r = guest_file_begin(b->all->sv->loop, b->sandbox, b->archive, ARCHIVE, on_sent, b,
				     &b->sending);
	if (r < 0)
		build_fail(b, number_of(b), "COPY: %s", strerror(-r));
	else
		build_log_add(b->log, BUILD_LOG_DEBUG, number_of(b), "archive sha256:%s", digest);
}

/* ---- ENV, WORKDIR, USER -------------------------------------------------------------------- */

static void take_step(struct build *b)
{
	const struct recipe_step *s = step_of(b);
	int r = build_config_step(b->config, s);

	if (r == -E2BIG)
		build_fail(b, number_of(b), "ENV: more than %u variables", SPEC_ENVS_MAX);
	else if (r < 0)
		build_fail(b, number_of(b), "%s: not a text", recipe_kind_name(s->kind));
	else
		build_next_step(b);
}

static void begin_env(struct build *b, const struct recipe_step *s)
{
	(void)s;
	take_step(b);
}

static void on_workdir(const struct guest_result *res, void *arg)
{
	struct build *b = arg;

	if (took(b, "WORKDIR", ROOT, res))
		take_step(b);
}

static void begin_workdir(struct build *b, const struct recipe_step *s)
{
	static const struct guest_command_ops ops = { .output = on_output, .done = on_workdir };
	json_t *path = build_path(build_text(b->config, "workdir"), s->args[0]);
	const struct build_command c = { .argv = { SHELL, "-c", workdir_script, "sh",
						   json_string_value(path),
						   build_text(b->config, "user") },
					 .user = ROOT,
					 .cwd = "/" };

	if (path == NULL)
		build_fail(b, number_of(b), "WORKDIR: not a path");
	else if (json_string_length(path) > SPEC_CWD_MAX)
		build_fail(b, number_of(b), "WORKDIR: longer than %u bytes", SPEC_CWD_MAX);
	else
		(void)!build_run(b, &c, &ops, &b->command);
	json_decref(path);
}

static void on_user(const struct guest_result *res, void *arg)
{
	struct build *b = arg;

	if (took(b, "USER", step_of(b)->args[0], res))
		take_step(b);
}

/* One that isn't there would be noticed by the first who uses the template. */
static void begin_user(struct build *b, const struct recipe_step *s)
{
	static const struct guest_command_ops ops = { .output = on_output, .done = on_user };
	const struct build_command c = { .argv = { SHELL, "-c", ":" },
					 .user = s->args[0],
					 .cwd = "/" };

	(void)!build_run(b, &c, &ops, &b->command);
}

/* ---- One after the other ------------------------------------------------------------------- */

static void (*const begin[])(struct build *b, const struct recipe_step *s) = {
	[RECIPE_RUN] = begin_run,	  [RECIPE_COPY] = begin_copy, [RECIPE_ENV] = begin_env,
	[RECIPE_WORKDIR] = begin_workdir, [RECIPE_USER] = begin_user,
};
_Static_assert(sizeof(begin) / sizeof(begin[0]) == RECIPE_KIND_COUNT, "one for each kind");

static void begin_step(struct build *b)
{
	const struct recipe_step *s;

	if (b->step == b->recipe.count) {
		build_start(b);
		return;
	}
	s = step_of(b);
	build_log_add(b->log, BUILD_LOG_INFO, number_of(b), "[%u/%zu] %s %s%s%s", number_of(b),
		      b->recipe.count, recipe_kind_name(s->kind), s->args[0],
		      s->kind == RECIPE_COPY ? " " : "", s->kind == RECIPE_COPY ? s->args[1] : "");
	begin[s->kind](b, s);
}

/* Steps that need nothing of the guest would call each other, 256 deep at most. */
void build_next_step(struct build *b)
{
	b->step++;
	begin_step(b);
}

static void on_prepared(const struct guest_result *res, void *arg)
{
	struct build *b = arg;

	if (!took(b, "prepare", ROOT, res))
		return;
	build_enter(b, BUILD_STEPS);
	begin_step(b);
}

/* A layer has all that: what its steps are, is told. */
static void go_on(struct build *b)
{
	for (size_t i = 0; i < b->step; i++) {
		const struct recipe_step *s = &b->recipe.steps[i];
		build_log_add(b->log, BUILD_LOG_INFO, (unsigned)i + 1, "CACHED [%zu/%zu] %s %s",
			      i + 1, b->recipe.count, recipe_kind_name(s->kind), s->args[0]);
	}
	build_enter(b, BUILD_STEPS);
	begin_step(b);
}

void build_prepare(struct build *b)
{
	static const struct guest_command_ops ops = { .output = on_output, .done = on_prepared };
	const struct build_command c = { .argv = { SHELL, "-c", prepare_script, "sh",
						   build_text(b->config, "user") },
					 .user = ROOT,
					 .cwd = "/" };

	build_enter(b, BUILD_PREPARING);
	b->work_since_ms = now_ms();
	if (b->layer[0] != '\0')
		go_on(b);
	else
		(void)!build_run(b, &c, &ops, &b->command);
}
