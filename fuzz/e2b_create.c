/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of the E2B API: a sandbox to be made, a time, a filter. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/profile.h"
#include "base/bug.h"
#include "base/num.h"

static void try_create(const char *body, size_t size, unsigned v)
{
	static const struct spec_limits limits = { .memory_max = UINT64_C(4) * GIB,
						   .kernel = "default",
						   .image = "default" };
	struct profile *p = NULL;
	struct err err = { 0 };
	struct spec s;

	if (profile_parse(body, size, v, &limits, &s, &p, &err) < 0) {
		BUG_ON(err.msg[0] == '\0');
		return;
	}
	BUG_ON(s.image[0] == '.' || strchr(s.image, '/') != NULL || p->template[0] == '\0');
	BUG_ON(s.timeout_ms == 0 || s.timeout_ms > SPEC_TIMEOUT_MAX);
	BUG_ON(v == 2 && !p->secure);
	(void)profile_matches(p, "a=b&user%3D=c");
	profile_free(p);
	spec_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct profile p = { 0 };
	struct err err = { 0 };
	uint64_t ms = 0;
	char *text;

	if (size > 65536)
		return 0;
	text = malloc(size + 1);
	BUG_ON(text == NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	try_create(text, size, 1);
	try_create(text, size, 2);
	if (profile_parse_timeout(text, size, "timeout", false, 5, &ms, &err) == 0)
		BUG_ON(ms > SPEC_TIMEOUT_MAX);
	(void)profile_matches(&p, text);
	free(text);
	return 0;
}
