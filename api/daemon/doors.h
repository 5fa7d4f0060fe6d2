/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doors.h - where casemated's clients come in, and who they are there: the operator at the local
 * door, anybody with an API key at the others.
 */
#ifndef API_DAEMON_DOORS_H
#define API_DAEMON_DOORS_H

#include <stddef.h>

#include "api/daemon/options.h"
#include "api/http/http.h"
#include "base/compiler.h"
#include "base/err.h"

#define DOORS_MAX 4U /* that http_listen takes */

struct door {
	int fd; /* listening; -1 = handed on */
	enum http_door kind;
	const char *made; /* the unix socket is ours and has this path; NULL: it is not */
};

struct doors {
	struct door list[DOORS_MAX];
	size_t count;
};

/*
 * The one way from root to serving: opens what the service manager hasn't, makes the state's
 * directory, gives up privileges and installs the filter, and only then lets clients in. ret is
 * empty at first, and on failure as on success the caller's to doors_close. 0 or -errno and *err.
 */
MUST_USE int doors_open(const struct options *o, struct doors *ret, struct err *err);
/* Closes what nobody took, removes the sockets that are ours. */
void doors_close(struct doors *d);

#endif
