/* SPDX-License-Identifier: Apache-2.0 */
/*
 * term.h - our terminal, for -t: raw mode and back, and its size. The terminal is restored by
 * term_restore and, whatever happens, when the process exits.
 */
#ifndef API_CLI_TERM_H
#define API_CLI_TERM_H

#include <stdint.h>

#include "base/compiler.h"

/* Raw mode on fd 0: 0 or -errno (-ENOTTY: not a terminal). */
MUST_USE int term_raw(void);
void term_restore(void);
/* Columns and rows of the terminal at fd 0; 80 x 24 when it doesn't know. */
void term_size(uint32_t *ret_cols, uint32_t *ret_rows);

#endif
