/* SPDX-License-Identifier: Apache-2.0 */
/* filespec.h - a file here and one in a sandbox: --file HOST:GUEST[:in|:out|:inout], and the two
 * arguments of cp. Pure. */
#ifndef API_CLI_FILESPEC_H
#define API_CLI_FILESPEC_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

#define FILESPEC_PATH_MAX 1024U
#define FILESPEC_ID_LEN	  20U

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
	const char *option; /* what complaints call it: "--file", "cp" */
};

/* HOST and GUEST are not empty; HOST may hold no ':', GUEST no ':' either. */
MUST_USE int filespec_parse(const char *arg, struct filespec *ret, struct err *err);

/* cp SRC DST, one of which is ID:PATH; in or out follows from that. */
MUST_USE int filespec_pair(const char *src, const char *dst, struct filespec *ret,
			   char ret_id[FILESPEC_ID_LEN + 1], struct err *err);
/* path is a directory: appends the last part of the path like. -EINVAL: it has none;
 * -ENAMETOOLONG. */
MUST_USE int filespec_append(char path[FILESPEC_PATH_MAX], const char *like);

#endif
