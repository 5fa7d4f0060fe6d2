/* SPDX-License-Identifier: Apache-2.0 */
/* le.h - little-endian fields of shared layouts; a type of their own so that they can't be mixed
 * up. */
#ifndef BASE_LE_H
#define BASE_LE_H

#include <endian.h>
#include <stdint.h>

typedef struct {
	uint16_t le;
} le16_t;
typedef struct {
	uint32_t le;
} le32_t;
typedef struct {
	uint64_t le;
} le64_t;

static inline uint16_t le16_get(le16_t v)
{
	return le16toh(v.le);
}
static inline uint32_t le32_get(le32_t v)
{
	return le32toh(v.le);
}
static inline uint64_t le64_get(le64_t v)
{
	return le64toh(v.le);
}
static inline le16_t le16_put(uint16_t v)
{
	return (le16_t){ htole16(v) };
}
static inline le32_t le32_put(uint32_t v)
{
	return (le32_t){ htole32(v) };
}
static inline le64_t le64_put(uint64_t v)
{
	return (le64_t){ htole64(v) };
}

#endif
