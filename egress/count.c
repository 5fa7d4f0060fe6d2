/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/count.h"

#include "base/compiler.h"

const char *count_name(enum count which)
{
	static const char *const names[] = {
#define COUNT_TEXT(symbol, name) [COUNT_##symbol] = (name),
		COUNTS(COUNT_TEXT)
#undef COUNT_TEXT
	};

	_Static_assert(ARRAY_SIZE(names) == COUNT_COUNT, "a name for each");
	return names[which];
}
