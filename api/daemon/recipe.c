/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/spec.h"
#include "base/log.h"
#include "base/num.h"

struct parsing {
	struct err *err;
	size_t step; /* from 1, for messages */
};

static int bad(const struct parsing *p, const char *what)
{
	return err_set(p->err, -EINVAL, "steps[%zu]: %s", p->step - 1, what);
}

/* ---- Steps --------------------------------------------------------------------------------- */

const char *recipe_arg(const struct recipe_step *s, size_t i)
{
	return i < s->count ? s->args[i] : "";
}

static bool path_ok(const char *s)
{
	return s[0] != '\0' && strlen(s) <= RECIPE_PATH_MAX;
}

/* A path inside the archive: it may not lead out of where that is unpacked. */
static bool source_ok(const char *s)
{
	if (!path_ok(s) || s[0] == '/')
		return false;
	while (*s != '\0') {
		const size_t len = strcspn(s, "/");
		if (len == 2 && strncmp(s, "..", 2) == 0)
			return false;
		s += len;
		s += strspn(s, "/");
	}
	return true;
}

static bool mode_ok(const char *s)
{
	return s[0] == '\0' || (strlen(s) <= 4 && s[strspn(s, "01234567")] == '\0');
}

static bool owner_ok(const char *s)
{
	return spec_user_ok(s); /* "" = the one who runs */
}

static int check_run(const struct recipe_step *s, const struct parsing *p)
{
	if (s->args[0][0] == '\0')
		return bad(p, "RUN: the command is empty");
	return owner_ok(recipe_arg(s, 1)) ? 0 : bad(p, "RUN: not a user");
}

static int check_copy(const struct recipe_step *s, const struct parsing *p)
{
	if (s->files == NULL || strlen(s->files) != RECIPE_FILES_LEN ||
	    s->files[strspn(s->files, "0123456789abcdef")] != '\0')
		return bad(p, "filesHash: must be 64 of 0-9 and a-f");
	if (!source_ok(s->args[0]))
		return bad(p, "COPY: the source must be a relative path without \"..\"");
	if (!path_ok(s->args[1]))
		return bad(p, "COPY: not a target");
	if (!owner_ok(recipe_arg(s, 2)))
		return bad(p, "COPY: not an owner");
	return mode_ok(recipe_arg(s, 3)) ? 0 : bad(p, "COPY: the mode must be octal");
}

static int check_env(const struct recipe_step *s, const struct parsing *p)
{
	if (s->count % 2 != 0)
		return bad(p, "ENV: must be pairs of name and value");
	for (size_t i = 0; i < s->count; i += 2)
		if (!spec_env_name_ok(s->args[i], strlen(s->args[i])))
			return bad(p, "ENV: not the name of a variable");
	return 0;
}

static int check_workdir(const struct recipe_step *s, const struct parsing *p)
{
	return path_ok(s->args[0]) ? 0 : bad(p, "WORKDIR: not a path");
}

static int check_user(const struct recipe_step *s, const struct parsing *p)
{
	return s->args[0][0] != '\0' && spec_user_ok(s->args[0]) ? 0 : bad(p, "USER: not a user");
}

static const struct {
	const char *name;
	size_t min, max;
	int (*check)(const struct recipe_step *s, const struct parsing *p);
} kinds[] = {
	[RECIPE_RUN] = { "RUN", 1, 2, check_run },
	[RECIPE_COPY] = { "COPY", 2, 4, check_copy },
	[RECIPE_ENV] = { "ENV", 2, RECIPE_ARGS_MAX, check_env },
	[RECIPE_WORKDIR] = { "WORKDIR", 1, 1, check_workdir },
	[RECIPE_USER] = { "USER", 1, 1, check_user },
};
_Static_assert(ARRAY_SIZE(kinds) == RECIPE_KIND_COUNT, "a row for each kind");

const char *recipe_kind_name(enum recipe_kind kind)
{
	return kinds[kind].name;
}

static int take_kind(const json_t *v, struct recipe_step *s)
{
	const char *name = json_string_value(v);

	for (int k = 0; name != NULL && k < RECIPE_KIND_COUNT; k++)
		if (strcmp(kinds[k].name, name) == 0) {
			s->kind = (enum recipe_kind)k;
			return 0;
		}
	return -EINVAL;
}

static bool flag_ok(const json_t *v)
{
	return v == NULL || json_is_null(v) || json_is_boolean(v);
}

static int take_step(const json_t *v, struct recipe_step *s, const struct parsing *p)
{
	const json_t *args = json_object_get(v, "args");

	if (!json_is_object(v) || take_kind(json_object_get(v, "type"), s) < 0)
		return bad(p, "type: must be RUN, COPY, ENV, WORKDIR or USER");
	s->count = json_array_size(args);
	if (s->count < kinds[s->kind].min || s->count > kinds[s->kind].max)
		return bad(p, "args: too few or too many");
	for (size_t i = 0; i < s->count; i++) {
		s->args[i] = json_string_value(json_array_get(args, i));
		if (s->args[i] == NULL)
			return bad(p, "args: must be strings");
	}
	if (!flag_ok(json_object_get(v, "force")))
		return bad(p, "force: must be true or false");
	s->force = json_is_true(json_object_get(v, "force"));
	s->files = json_string_value(json_object_get(v, "filesHash"));
	return kinds[s->kind].check(s, p);
}

static int take_steps(const json_t *v, struct recipe *r, struct err *err)
{
	const size_t n = json_array_size(v);
	struct parsing p = { .err = err };

	if (v != NULL && !json_is_null(v) && !json_is_array(v))
		return err_set(err, -EINVAL, "steps: must be a list");
	if (n > RECIPE_STEPS_MAX)
		return err_set(err, -EINVAL, "steps: more than %u", RECIPE_STEPS_MAX);
	r->steps = calloc(n + 1, sizeof(*r->steps));
	if (r->steps == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	for (p.step = 1; p.step <= n; p.step++) {
		int e = take_step(json_array_get(v, p.step - 1), &r->steps[r->count], &p);
		if (e < 0)
			return e;
		r->count++;
	}
	return 0;
}

/* ---- The whole ----------------------------------------------------------------------------- */

/* A member that is a text; "" counts as none. */
static int take_text(const struct recipe *r, const char *name, const char **ret, struct err *err)
{
	const json_t *v = json_object_get(r->root, name);

	*ret = json_string_value(v);
	if (*ret != NULL && **ret == '\0')
		*ret = NULL;
	return v == NULL || json_is_null(v) || json_is_string(v)
		       ? 0
		       : err_set(err, -EINVAL, "%s: must be a string", name);
}

static int take_scratch(const json_t *v, uint64_t *ret)
{
	const json_int_t n = json_integer_value(v);

	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || n < 0 || (uint64_t)n % MIB != 0)
		return -EINVAL;
	*ret = (uint64_t)n;
	return 0;
}

static int take_members(struct recipe *r, struct err *err)
{
	const struct {
		const char *name;
		const char **ret;
	} texts[] = {
		{ "fromImage", &r->image },  { "fromTemplate", &r->template },
		{ "startCmd", &r->start },   { "readyCmd", &r->ready },
		{ "defaultUser", &r->user }, { "defaultWorkdir", &r->workdir },
	};
	const json_t *registry = json_object_get(r->root, "fromImageRegistry");

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		int e = take_text(r, texts[i].name, texts[i].ret, err);
		if (e < 0)
			return e;
	}
	if (!flag_ok(json_object_get(r->root, "force")))
		return err_set(err, -EINVAL, "force: must be true or false");
	r->force = json_is_true(json_object_get(r->root, "force"));
	if (take_scratch(json_object_get(r->root, "scratch_bytes"), &r->scratch_bytes) < 0)
		return err_set(err, -EINVAL, "scratch_bytes: must be a multiple of 1 MiB");
	if ((r->image == NULL) == (r->template == NULL))
		return err_set(err, -EINVAL, "fromImage, fromTemplate: one of them must be given");
	if (registry != NULL && !json_is_null(registry))
		return err_set(err, -ENOTSUP,
			       "fromImageRegistry: this service reaches no registry; import the "
			       "image with casemate image import");
	if (r->user != NULL && !spec_user_ok(r->user))
		return err_set(err, -EINVAL, "defaultUser: not a user");
	if (r->workdir != NULL && (r->workdir[0] != '/' || !path_ok(r->workdir)))
		return err_set(err, -EINVAL, "defaultWorkdir: must be an absolute path");
	return take_steps(json_object_get(r->root, "steps"), r, err);
}

int recipe_parse(const char *body, size_t len, struct recipe *ret, struct err *err)
{
	json_error_t jerr;
	char shown[128];
	int r;

	*ret = (struct recipe){ .root = json_loadb(body, len, JSON_REJECT_DUPLICATES, &jerr) };
	if (ret->root == NULL) {
		(void)log_escape(shown, sizeof(shown), jerr.text, strlen(jerr.text));
		return err_set(err, -EINVAL, "body: line %d: %s", jerr.line, shown);
	}
	r = json_is_object(ret->root) ? take_members(ret, err)
				      : err_set(err, -EINVAL, "body: must be a JSON object");
	if (r < 0)
		recipe_done(ret);
	return r;
}

void recipe_done(struct recipe *r)
{
	free(r->steps);
	json_decref(r->root);
	*r = (struct recipe){ 0 };
}
