/* SPDX-License-Identifier: Apache-2.0 */
/* usage_table.h - what sandboxes use (GET /v1/usage), as a table: for stats and top. Pure. */
#ifndef API_CLI_USAGE_TABLE_H
#define API_CLI_USAGE_TABLE_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

/* Writes the table to f: a head, and one line for each sandbox, the busiest first. At most `rows`
 * lines of sandboxes (0 = all), none wider than `cols` (0 = as it is), each ended by `end`. */
void usage_table_print(FILE *f, const json_t *answer, size_t rows, size_t cols, const char *end);

#endif
