/* SPDX-License-Identifier: Apache-2.0 */
/* build_state.c - what a template's sandboxes are to have: environment, user and directory, as the
 * steps of its recipe change them. Pure. */
#include <errno.h>
#include <string.h>

#include "api/daemon/build_internal.h"
#include "base/bug.h"

const char *build_text(const json_t *config, const char *name)
{
	const char *s = json_string_value(json_object_get(config, name));

	return s == NULL ? "" : s;
}

json_t *build_path(const char *before, const char *path)
{
	const size_t len = strlen(before);

	if (path[0] == '/')
		return json_string(path);
	return json_sprintf("%s%s%s", before, len > 0 && before[len - 1] == '/' ? "" : "/", path);
}

int build_config_step(json_t *config, const struct recipe_step *s)
{
	int r = 0;

	switch (s->kind) {
	case RECIPE_ENV:
		for (size_t i = 0; i + 1 < s->count && r == 0; i += 2)
			r = build_set_env(config, s->args[i], s->args[i + 1]);
		return r;
	case RECIPE_WORKDIR:
		r = json_object_set_new(config, "workdir",
					build_path(build_text(config, "workdir"), s->args[0]));
		return r < 0 ? -ENOMEM : 0;
	case RECIPE_USER:
		r = json_object_set_new(config, "user", json_string(s->args[0]));
		return r < 0 ? -ENOMEM : 0;
	case RECIPE_RUN:
	case RECIPE_COPY:
		return 0;
	case RECIPE_KIND_COUNT:
		break;
	}
	BUG("not a step");
}

int build_set_env(json_t *config, const char *name, const char *value)
{
	json_t *list = json_object_get(config, "env");
	json_t *text = json_sprintf("%s=%s", name, value);
	const size_t len = strlen(name);
	int r;

	if (list == NULL) {
		list = json_array();
		if (json_object_set_new(config, "env", list) < 0)
			list = NULL;
	}
	if (list == NULL || text == NULL) {
		json_decref(text);
		return -ENOMEM;
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *have = json_string_value(json_array_get(list, i));
		if (strncmp(have, name, len) == 0 && have[len] == '=')
			return json_array_set_new(list, i, text) < 0 ? -ENOMEM : 0;
	}
	if (json_array_size(list) >= SPEC_ENVS_MAX) {
		json_decref(text);
		return -E2BIG;
	}
	r = json_array_append_new(list, text);
	return r < 0 ? -ENOMEM : 0;
}
