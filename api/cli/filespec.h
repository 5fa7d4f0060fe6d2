/* SPDX-License-Identifier: Apache-2.0 */
/* filespec.h - the argument of --file: HOST:GUEST[:in|:out|:inout]. Pure. */
#ifndef API_CLI_FILESPEC_H
#define API_CLI_FILESPEC_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

#define FILESPEC_PATH_MAX 1024U

enum filespec_way {
	FILESPEC_AUTO, /* in when HOST exists, else out */
	FILESPEC_IN = 1,
	FILESPEC_OUT = 2,
	FILESPEC_INOUT = FILESPEC_IN | FILESPEC_OUT
};

struct filespec {
	char host[FILESPEC_PATH_MAX];
	char guest[FILESPEC_PATH_MAX];
	enum filespec_way way;
};

/* HOST and GUEST are not empty; HOST may hold no ':', GUEST no ':' either. */
MUST_USE int filespec_parse(const char *arg, struct filespec *ret, struct err *err);

#endif
