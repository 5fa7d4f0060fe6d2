/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_rows.h - the rows of the table: what the guest calls them, what they are printed as, and the
 * samples of each VMM. */
#ifndef TESTS_BENCH_VMM_ROWS_H
#define TESTS_BENCH_VMM_ROWS_H

#include <stddef.h>

#include "base/compiler.h"

#define ROW_VMMS_MAX 6U /* ours and its peers */

/* A group of rows is measured in one run of a VM. */
enum row_group {
	GROUP_START,
	GROUP_EXITS,
	GROUP_BLK,
	GROUP_NET,
	GROUP_VSOCK,
	GROUP_LINUX,
	GROUP_COUNT
};
#define IN_GROUP(g) (1U << (g))
const char *row_group_name(enum row_group g);

/* One sample of the harness's own, in the row's unit; name must be a row's. */
void rows_add(unsigned vmm, const char *name, double value);
/* Takes the samples of what a guest has printed: 0, -EBADMSG when it isn't complete, -EPROTO when
 * it has a row that is not in the table. */
MUST_USE int rows_parse(unsigned vmm, const char *text);
/* When the guest says that its first instruction was; 0 = it doesn't. CLOCK_REALTIME, ns. */
unsigned long long rows_first_ns(const char *text);
/* The rows of one group as JSON lines; vmm 0 is ours, a peer without samples has no line of its own
 * unless all have none. */
void rows_print(enum row_group g, const char *const names[], unsigned vmms, const char *where);

#endif
