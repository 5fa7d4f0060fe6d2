/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/image_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* No control characters: they would go to terminals and logs. */
static bool printable(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

/* A string of at most max bytes; NULL isn't there. */
static int check_text(const json_t *v, const char *name, size_t max, struct err *err)
{
	const char *s = json_string_value(v);

	if (v == NULL)
		return 0;
	if (s == NULL || strlen(s) != json_string_length(v) || strlen(s) > max || !printable(s))
		return err_set(err, -EINVAL,
			       "config: %s: must be a string of at most %zu printable bytes", name,
			       max);
	return 0;
}

static int check_list(const json_t *v, const char *name, size_t max, struct err *err)
{
	size_t i;
	json_t *e;

	if (v == NULL)
		return 0;
	if (!json_is_array(v) || json_array_size(v) > max)
		return err_set(err, -EINVAL, "config: %s: must be an array of at most %zu strings",
			       name, max);
	json_array_foreach(v, i, e)
	{
		/* An argument may have any character but NUL. */
		if (!json_is_string(e) || strlen(json_string_value(e)) != json_string_length(e))
			return err_set(err, -EINVAL, "config: %s: must be strings", name);
	}
	return 0;
}

static int check_env(const json_t *v, struct err *err)
{
	int r = check_list(v, "env", SPEC_ENVS_MAX, err);
	size_t i;
	json_t *e;

	json_array_foreach(v, i, e)
	{
		const char *s = r == 0 ? json_string_value(e) : "A=", *sep = strchr(s, '=');
		if (sep == NULL || sep == s)
			return err_set(err, -EINVAL, "config: env: must be NAME=VALUE");
		if (!spec_env_name_ok(s, (size_t)(sep - s)))
			return err_set(err, -EINVAL,
				       "config: env: a name has a character that it may not have");
	}
	return r;
}

static int check_members(const json_t *in, struct err *err)
{
	const json_t *dir = json_object_get(in, "workdir");
	const json_t *user = json_object_get(in, "user");
	int r = check_env(json_object_get(in, "env"), err);

	if (r == 0)
		r = check_text(user, "user", SPEC_USER_MAX, err);
	if (r == 0 && user != NULL && !spec_user_ok(json_string_value(user)))
		r = err_set(err, -EINVAL,
			    "config: user: must be NAME or UID, or these with :GROUP");
	if (r == 0)
		r = check_text(dir, "workdir", SPEC_CWD_MAX, err);
	if (r == 0 && dir != NULL && json_string_value(dir)[0] != '\0' &&
	    json_string_value(dir)[0] != '/')
		r = err_set(err, -EINVAL, "config: workdir: must be an absolute path");
	if (r == 0)
		r = check_list(json_object_get(in, "entrypoint"), "entrypoint",
			       IMAGE_CONFIG_ARGS_MAX, err);
	if (r == 0)
		r = check_list(json_object_get(in, "cmd"), "cmd", IMAGE_CONFIG_ARGS_MAX, err);
	return r;
}

int image_config_check(const json_t *in, char **ret, struct err *err)
{
	static const char *const names[] = { "env", "user", "workdir", "entrypoint", "cmd" };
	json_t *out;
	char *text;
	int r = in == NULL || json_is_object(in)
			? check_members(in, err)
			: err_set(err, -EINVAL, "config: must be an object");

	if (r < 0)
		return r;
	out = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		json_t *v = json_object_get(in, names[i]);
		if (v != NULL && json_object_set(out, names[i], v) < 0)
			r = -ENOMEM;
	}
	text = r == 0 ? json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII) : NULL;
	json_decref(out);
	if (text == NULL)
		return err_set(err, -ENOMEM, "config: out of memory");
	if (strlen(text) > IMAGE_CONFIG_BYTES_MAX) {
		free(text);
		return err_set(err, -EINVAL, "config: is longer than %u bytes",
			       IMAGE_CONFIG_BYTES_MAX);
	}
	*ret = text;
	return 0;
}

/* ---- For a sandbox ------------------------------------------------------------------------- */

static bool has_env(const struct spec *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->envs_count; i++)
		if (strlen(s->envs[i].name) == len && strncmp(s->envs[i].name, name, len) == 0)
			return true;
	return false;
}

/* The later one of two variables of an image counts: as if they were exported in order. */
static bool comes_again(const json_t *list, size_t i, const char *text, size_t len)
{
	for (size_t k = i + 1; k < json_array_size(list); k++)
		if (strncmp(json_string_value(json_array_get(list, k)), text, len + 1) == 0)
			return true;
	return false;
}

static int add_envs(const json_t *list, struct spec *s, struct err *err)
{
	const size_t have = s->envs_count, more = json_array_size(list);
	struct spec_env *all;

	if (more == 0)
		return 0;
	all = reallocarray(s->envs, have + more, sizeof(*all));
	if (all == NULL)
		return err_set(err, -ENOMEM, "envs: out of memory");
	s->envs = all;
	for (size_t i = 0; i < more; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		const size_t len = strcspn(text, "=");
		struct spec_env *e = &s->envs[s->envs_count];
		if (has_env(s, text, len) || comes_again(list, i, text, len))
			continue;
		if (s->envs_count == SPEC_ENVS_MAX)
			return err_set(err, -EINVAL, "envs: with the image's, more than %u",
				       SPEC_ENVS_MAX);
		*e = (struct spec_env){ strndup(text, len), strdup(text + len + 1) };
		s->envs_count++; /* before the check: spec_done frees a half-made pair too */
		if (e->name == NULL || e->value == NULL)
			return err_set(err, -ENOMEM, "envs: out of memory");
	}
	return 0;
}

/* dst has room for what image_config_check lets pass. */
static void fill(char *dst, const json_t *v)
{
	const char *s = json_string_value(v);

	if (dst[0] == '\0' && s != NULL)
		memcpy(dst, s, strlen(s) + 1);
}

int image_config_apply(const char *text, struct spec *spec, struct err *err)
{
	json_t *c = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	int r;

	if (c == NULL)
		return err_set(err, -ENOMEM, "image: its configuration can't be read");
	r = add_envs(json_object_get(c, "env"), spec, err);
	if (r == 0) {
		fill(spec->user, json_object_get(c, "user"));
		fill(spec->cwd, json_object_get(c, "workdir"));
	}
	json_decref(c);
	return r;
}
