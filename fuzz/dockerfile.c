/* SPDX-License-Identifier: Apache-2.0 */
/* A Dockerfile of anybody's. */
#include <stdint.h>
#include <string.h>

#include "api/cli/dockerfile.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct dockerfile d;
	json_t *step;
	size_t i;

	if (dockerfile_parse((const char *)data, size, &d, &err) < 0) {
		BUG_ON(err.msg[0] == '\0' || d.from != NULL || d.steps != NULL || d.start != NULL);
		return 0;
	}
	BUG_ON(d.from == NULL || json_array_size(d.steps) > DOCKERFILE_STEPS_MAX);
	json_array_foreach(d.steps, i, step)
		BUG_ON(json_array_size(json_object_get(step, "args")) == 0);
	dockerfile_done(&d);
	return 0;
}
