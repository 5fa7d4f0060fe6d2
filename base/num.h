/* SPDX-License-Identifier: Apache-2.0 */
/* num.h - checked arithmetic and numbers from text. Pure; any thread. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* True on overflow; *r is then not to be used. */
#define ADD_OVERFLOW(a, b, r) __builtin_add_overflow((a), (b), (r))
#define SUB_OVERFLOW(a, b, r) __builtin_sub_overflow((a), (b), (r))
#define MUL_OVERFLOW(a, b, r) __builtin_mul_overflow((a), (b), (r))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Is [off, off+len) inside [0, size)? Wrap-safe. */
static inline bool range_fits(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

static inline bool is_pow2(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* v rounded up to a multiple of align (a power of two). The caller has checked for overflow. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

/* Whole text as a decimal number in [min, max]: 0, -EINVAL (not a number), -ERANGE. */
MUST_USE int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* The digits of base 8, 10 or 16 at *at, without sign, blank or prefix, as a number <= max; *at is
 * then behind them. 0, -EINVAL (no digit there), -ERANGE. On failure neither is touched. */
MUST_USE int parse_u64_at(const char **at, unsigned base, uint64_t max, uint64_t *ret);

/* A size with an optional suffix K, M, G or T (1024; also KiB, MiB...): bytes; as parse_u64. */
MUST_USE int parse_size(const char *s, uint64_t min, uint64_t max, uint64_t *ret_bytes);

/* A duration: a number with ms, s, m or h (none = seconds) and at most three decimals ("1.5s"): in
 * whole ms, rounded down. */
MUST_USE int parse_duration_ms(const char *s, uint64_t max_ms, uint64_t *ret_ms);

#endif
