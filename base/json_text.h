/* SPDX-License-Identifier: Apache-2.0 */
/* json_text.h - writing JSON text. All: 0, -ENOSPC (the buffer's max), -ENOMEM. */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"

/* The length of the valid UTF-8 character at s (no surrogates, shortest form); 0 = not one. */
size_t utf8_length(const char *s, size_t len);

/* In quotes, escaped. What is not UTF-8 becomes U+FFFD: file names may hold any byte. */
MUST_USE int json_put_string(struct buf *b, const char *s, size_t len);
/* Formatted text as it is, at most 511 bytes (-ENOSPC). */
MUST_USE int json_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

#endif
