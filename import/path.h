/* SPDX-License-Identifier: Apache-2.0 */
/* path.h - the names of an archive's entries, taken apart. Pure; any thread. */
#ifndef IMPORT_PATH_H
#define IMPORT_PATH_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "import/limits.h"

struct path {
	size_t count; /* 0: the root itself */
	struct path_part {
		const char *name; /* into the text that was parsed; not terminated */
		size_t len;	  /* 1 to IMPORT_NAME_MAX */
	} part[IMPORT_DEPTH_MAX];
};

/*
 * Refuses what is absolute, has a "..", an over-long component, too many of them, or is empty. "."
 * and doubled slashes mean nothing and go. 0, -EINVAL, -ENAMETOOLONG (err says which entry).
 */
MUST_USE int path_parse(const char *text, struct path *ret, struct err *err);

#endif
