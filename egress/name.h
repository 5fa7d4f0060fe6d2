/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name.h - domain names as they are compared: lower case, no dot at the end, letters, digits,
 * hyphens and underscores. Pure. Fuzzed with the parsers that use it.
 */
#ifndef EGRESS_NAME_H
#define EGRESS_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "egress/limits.h"

#define NAME_CAP (EGRESS_NAME_MAX + 1)

/*
 * len bytes of text as a name. -EINVAL: an empty or too long label, another character (names beyond
 * ASCII come as xn--), a hyphen at the edge of a label; or the last label is a number, because then
 * some reader would take the whole for an address.
 */
MUST_USE int name_normalize(const char *text, size_t len, char ret[NAME_CAP]);

/* What a policy names: NAME, or "*.NAME" for all below NAME, but not NAME itself. */
struct name_pattern {
	char name[NAME_CAP];
	bool below;
};
MUST_USE int name_pattern_parse(const char *text, size_t len, struct name_pattern *ret);
/* name: normalized. */
bool name_matches(const struct name_pattern *p, const char *name);

/*
 * The value of an HTTP Host field: NAME, NAME:PORT. -EINVAL also for an address, which is no name.
 */
MUST_USE int name_from_host(const char *value, char ret[NAME_CAP]);

#endif
