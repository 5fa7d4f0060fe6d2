/* SPDX-License-Identifier: Apache-2.0 */
/* What an importer says about an image's processes, and what becomes of it for a sandbox. */
#include <stdlib.h>
#include <string.h>

#include "api/daemon/image_config.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *in = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL), *again;
	struct spec spec = { .vcpus = 1 };
	struct err err = { 0 };
	char *text = NULL, *same = NULL;

	if (in == NULL)
		return 0;
	if (image_config_check(in, &text, &err) == 0) {
		/* What is let in is let in again, as it is. */
		again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		BUG_ON(again == NULL || image_config_check(again, &same, &err) != 0);
		BUG_ON(strcmp(text, same) != 0);
		json_decref(again);
		BUG_ON(image_config_apply(text, &spec, &err) != 0);
		BUG_ON(spec.envs_count > SPEC_ENVS_MAX);
		BUG_ON(spec.cwd[0] != '\0' && spec.cwd[0] != '/');
		spec_done(&spec);
	}
	free(text);
	free(same);
	json_decref(in);
	return 0;
}
