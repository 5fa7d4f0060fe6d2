/* SPDX-License-Identifier: Apache-2.0 */
/* sniff.h - from the first bytes of a connection: what is it, and which server does it name? Pure.
 */
#ifndef EGRESS_SNIFF_H
#define EGRESS_SNIFF_H

#include <stddef.h>

#include "api/http/head.h"
#include "base/compiler.h"
#include "egress/name.h"

/* More than this is never looked at: at that length the answer is there. */
#define SNIFF_MAX HTTP_HEAD_MAX

enum sniff_kind { SNIFF_OTHER, SNIFF_TLS, SNIFF_HTTP };

struct sniff {
	enum sniff_kind kind;
	char name[NAME_CAP]; /* "" = none that can be relied on */
};

/* All that has come; `from`: how much of it an earlier call has looked at in vain. 0, or -EAGAIN:
 * that can't be told yet. A hello whose real name is encrypted names nobody. */
MUST_USE int sniff_parse(const void *data, size_t len, size_t from, struct sniff *ret);

#endif
