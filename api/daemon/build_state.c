/* SPDX-License-Identifier: Apache-2.0 */
/* build_state.c - what a template's sandboxes are to have: environment, user and directory, as the
 * steps of its recipe change them. Pure. */
#include <errno.h>
#include <string.h>

#include "api/daemon/build_internal.h"

const char *build_text(const json_t *config, const char *name)
{
	const char *s = json_string_value(json_object_get(config, name));

	return s == NULL ? "" : s;
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
