/* SPDX-License-Identifier: Apache-2.0 */
/* What a client asks for in POST /v1/sandboxes, and to fork one. */
#include <stddef.h>
#include <stdint.h>

#include "api/daemon/spec.h"
#include "base/bug.h"
#include "base/num.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct spec_limits limits = { .memory_max = UINT64_C(4) * GIB,
						   .scratch_max = UINT64_C(16) * GIB,
						   .kernel = "default",
						   .image = "default" };
	struct err err = { 0 };
	struct spec s, copy;
	struct spec_fork f;

	if (size > 65536)
		return 0;
	if (spec_parse_fork((const char *)data, size, &f, &err) == 0)
		BUG_ON(f.count < 1 || f.count > SPEC_FORK_MAX);
	if (spec_parse((const char *)data, size, &limits, &s, &err) < 0)
		return 0;
	BUG_ON(s.vcpus < 1 || s.vcpus > SPEC_VCPUS_MAX);
	BUG_ON(s.memory_bytes < SPEC_MEMORY_MIN || s.memory_bytes > limits.memory_max);
	BUG_ON(s.memory_bytes % SPEC_MEMORY_STEP != 0 || s.scratch_bytes > limits.scratch_max);
	BUG_ON(s.envs_count > SPEC_ENVS_MAX || s.image[0] == '.' || s.kernel[0] == '\0');
	if (spec_copy(&s, &copy) == 0)
		spec_done(&copy);
	spec_done(&s);
	return 0;
}
