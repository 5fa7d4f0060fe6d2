/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rlimit.h"

#include <errno.h>

static int lower(const struct rlimit_lower *l, struct err *err)
{
	struct rlimit have;

	if (getrlimit(l->what, &have) < 0)
		return err_sys(err, -errno, "%s", l->name);
	if (have.rlim_max == RLIM_INFINITY || l->value < have.rlim_max)
		have.rlim_max = l->value;
	have.rlim_cur = have.rlim_max;
	return setrlimit(l->what, &have) < 0 ? err_sys(err, -errno, "%s", l->name) : 0;
}

int rlimit_lower_all(const struct rlimit_lower *all, size_t count, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = lower(&all[i], err);
	return r;
}
