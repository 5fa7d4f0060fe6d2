/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <errno.h>

int options_each(int argc, char **argv, const struct option *longs, options_take_fn *take,
		 void *dst, struct err *err)
{
	int c, r = 0;

	optind = 0; /* glibc: from the start again */
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (c == ':')
			return err_set(err, -EINVAL, "%.64s: needs a value; try --help",
				       argv[optind - 1]);
		if (c == '?')
			return err_set(err, -EINVAL, "%.64s: unknown option; try --help",
				       argv[optind - 1]);
		r = take(c, optarg, dst, err);
	}
	if (r == 0 && optind < argc)
		return err_set(err, -EINVAL, "%.64s: unexpected argument; try --help",
			       argv[optind]);
	return r;
}
