/* SPDX-License-Identifier: Apache-2.0 */
/* How a template is to be made, as a client says it. */
#include <stdint.h>
#include <string.h>

#include "api/daemon/recipe.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct recipe r;

	if (recipe_parse((const char *)data, size, &r, &err) < 0) {
		BUG_ON(err.msg[0] == '\0' || r.root != NULL || r.steps != NULL);
		return 0;
	}
	BUG_ON((r.image == NULL) == (r.template == NULL) || r.count > RECIPE_STEPS_MAX);
	for (size_t i = 0; i < r.count; i++) {
		const struct recipe_step *s = &r.steps[i];
		BUG_ON(s->count == 0 || s->count > RECIPE_ARGS_MAX);
		for (size_t k = 0; k < s->count; k++)
			BUG_ON(s->args[k] == NULL);
		BUG_ON(s->kind == RECIPE_COPY &&
		       (s->args[0][0] == '/' || strlen(s->files) != RECIPE_FILES_LEN));
	}
	recipe_done(&r);
	return 0;
}
