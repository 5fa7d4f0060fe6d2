/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/off.h"

#include <stdio.h>
#include <string.h>

#include "base/bug.h"

static const char *const names[] = {
	[OFF_SEC] = "sec", [OFF_CAP] = "cap",	[OFF_UID] = "uid",   [OFF_NS] = "ns",
	[OFF_FS] = "fs",   [OFF_FDS] = "fds",	[OFF_CGRP] = "cgrp", [OFF_RLIM] = "rlim",
	[OFF_LLK] = "llk", [OFF_SYSC] = "sysc", [OFF_X] = "x",
};
_Static_assert(ARRAY_SIZE(names) == OFF_COUNT, "a name for each layer");

const char *off_name(enum off o)
{
	BUG_ON(o >= OFF_COUNT);
	return names[o];
}

void off_list(unsigned mask, char *ret, size_t cap)
{
	size_t len = 0;

	BUG_ON(cap < OFF_COUNT * 6);
	ret[0] = '\0';
	for (unsigned o = 0; o < OFF_COUNT; o++) {
		if ((mask & OFF_BIT(o)) != 0)
			len += (size_t)snprintf(ret + len, cap - len, "%s%s", len > 0 ? "," : "",
						names[o]);
	}
}

unsigned off_of_jailer(unsigned mask)
{
	return mask & ~(OFF_BIT(OFF_SEC) | OFF_BIT(OFF_LLK) | OFF_BIT(OFF_X));
}
