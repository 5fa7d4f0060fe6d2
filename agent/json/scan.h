/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.h - JSON text, token by token. Strict (RFC 8259, UTF-8), nothing allocated but into the
 * caller's buffer. Functions return 0 or -EINVAL, with what was wrong and where in s->err.
 */
#ifndef AGENT_JSON_SCAN_H
#define AGENT_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

struct scan {
	const char *text;
	size_t len, at;
	unsigned depth;
	struct err *err;
};

/* The next character that is not a space, without taking it; '\0' = the end. */
char scan_peek(struct scan *s);
/* Takes this character, or fails. */
MUST_USE int scan_take(struct scan *s, char c);
/* A member or element follows (1), or the closing bracket has been taken (0). *first: true at the
 * first call. */
MUST_USE int scan_more(struct scan *s, char close, bool *first);
/* Enters and leaves an array or object: bounded depth. */
MUST_USE int scan_enter(struct scan *s, char open);
void scan_leave(struct scan *s);
/* A string, unescaped and appended to out. U+0000 is refused. May also be -ENOSPC or -ENOMEM. */
MUST_USE int scan_string(struct scan *s, struct buf *out);
/* A number's text, as a copy in dst. */
MUST_USE int scan_number(struct scan *s, char *dst, size_t cap);
/* This word: "true", "false" or "null". */
MUST_USE int scan_word(struct scan *s, const char *word);
/* Any value, dropped. */
MUST_USE int scan_skip(struct scan *s);
int scan_fail(struct scan *s, const char *what);

#endif
