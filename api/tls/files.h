/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.h - where a pair comes from: an operator's files, or the state directory, where it is made
 * when there is none that is good for long.
 */
#ifndef API_TLS_FILES_H
#define API_TLS_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "api/tls/options.h"
#include "api/tls/pair.h"

#define FILES_RENEW_DAYS 30U /* a made one with less to go is replaced */

/*
 * The pair that the options name, checked by pair_use. *ret_end: when it ends, seconds since 1970.
 * *ret_made: it is new. 0 or -errno and *err; p is then to be cleared all the same. -EPERM: the
 * key's file can be read or changed by everybody.
 */
MUST_USE int files_load(const struct options *o, int64_t now, struct pair *p, int64_t *ret_end,
			bool *ret_made, struct err *err);

#endif
