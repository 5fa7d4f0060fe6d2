/* SPDX-License-Identifier: Apache-2.0 */
/* A flat-keyed control file: a number is what stands in a line of its own behind the key. */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "jailer/cgroup_internal.h"

#define KEY   "usage_usec"
#define UNSET UINT64_C(0x5a5a5a5a5a5a5a5a)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[512], line[64];
	uint64_t v = UNSET, again;
	int r;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	r = cgroup_parse_key(text, KEY, &v);
	BUG_ON(r != 0 && r != -ENOENT && r != -EINVAL && r != -ERANGE);
	BUG_ON(r != 0 && v != UNSET);
	BUG_ON(r == -ENOENT && strncmp(text, KEY " ", strlen(KEY " ")) == 0);
	if (r == 0) {
		BUG_ON(strstr(text, KEY " ") == NULL);
		(void)snprintf(line, sizeof(line), KEY " %" PRIu64 "\n", v);
		BUG_ON(cgroup_parse_key(line, KEY, &again) != 0 || again != v);
	}
	v = UNSET;
	BUG_ON(cgroup_parse_key(text, "", &v) != 0 && v != UNSET);
	return 0;
}
