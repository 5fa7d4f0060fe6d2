/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h - RFC 4648. Pure. */
#ifndef AGENT_JSON_BASE64_H
#define AGENT_JSON_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

/* Characters of the padded encoding, and bytes that a text of len characters can decode to. */
#define BASE64_LEN(n)	((((size_t)(n) + 2) / 3) * 4)
#define BASE64_BYTES(n) (((size_t)(n) / 4 + 1) * 3)

/* Standard alphabet with padding; dst has BASE64_LEN(len) bytes, no NUL is added. */
void base64_encode(const uint8_t *src, size_t len, char *dst);
/* Standard or URL-safe alphabet, padded or not; dst has BASE64_BYTES(len) bytes. The length or
 * -EINVAL. */
MUST_USE ssize_t base64_decode(const char *src, size_t len, uint8_t *dst);

#endif
