/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sandboxes: found by id, counted by kind and state, records in the order of ends. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/sandbox_internal.h"

#define MANY (3 * SANDBOX_BUCKETS) /* so that buckets hold several */

static struct sandboxes table;
static struct sandbox sandboxes[MANY];

static struct sandbox *add(unsigned i)
{
	struct sandbox *s = &sandboxes[i];

	s->table = &table;
	(void)snprintf(s->id, sizeof(s->id), "s%019u", i);
	sandboxes_link(&table, s);
	return s;
}

static unsigned count(enum sandbox_kind kind, enum sandbox_state state)
{
	return table.count[kind][state];
}

Test(table, finds_by_id)
{
	for (unsigned i = 0; i < MANY; i++)
		(void)add(i);
	for (unsigned i = 0; i < MANY; i += 2)
		sandboxes_unlink(&table, &sandboxes[i]);
	for (unsigned i = 0; i < MANY; i++) {
		const struct sandbox *found = sandboxes_find(&table, sandboxes[i].id);
		cr_assert_eq(found, i % 2 == 0 ? NULL : &sandboxes[i]);
	}
	cr_assert_null(sandboxes_find(&table, "s"));
	cr_assert_null(sandboxes_find(&table, ""));
	cr_assert_eq(count(SANDBOX_KIND_TENANT, SANDBOX_CREATING), MANY / 2);
}

Test(table, the_pools_own_are_not_found)
{
	struct sandbox *s = add(0);

	sandbox_become(s, SANDBOX_KIND_SPARE, SANDBOX_SPARE);
	cr_assert_null(sandboxes_find(&table, s->id));
	sandbox_become(s, SANDBOX_KIND_TENANT, SANDBOX_CREATING);
	cr_assert_eq(sandboxes_find(&table, s->id), s);
}

Test(table, counts_by_kind_and_state)
{
	struct sandbox *a = add(0), *b = add(1);

	sandbox_become(a, SANDBOX_KIND_SPARE, SANDBOX_CREATING);
	sandbox_become(a, SANDBOX_KIND_SPARE, SANDBOX_SPARE);
	sandbox_become(b, SANDBOX_KIND_TENANT, SANDBOX_RUNNING);
	cr_assert_eq(count(SANDBOX_KIND_SPARE, SANDBOX_SPARE), 1);
	cr_assert_eq(count(SANDBOX_KIND_TENANT, SANDBOX_RUNNING), 1);
	sandbox_become(a, SANDBOX_KIND_TENANT, SANDBOX_SPARE);
	sandbox_become(a, SANDBOX_KIND_TENANT, SANDBOX_RUNNING);
	cr_assert_eq(count(SANDBOX_KIND_SPARE, SANDBOX_SPARE), 0);
	cr_assert_eq(count(SANDBOX_KIND_TENANT, SANDBOX_RUNNING), 2);
	sandboxes_unlink(&table, a);
	sandboxes_unlink(&table, b);
	for (unsigned k = 0; k < SANDBOX_KIND_COUNT; k++)
		for (unsigned st = 0; st < SANDBOX_STATE_COUNT; st++)
			cr_assert_eq(table.count[k][st], 0);
	cr_assert_null(table.first);
}

static void end(unsigned i)
{
	sandbox_become(&sandboxes[i], SANDBOX_KIND_TENANT, SANDBOX_STOPPING);
	sandbox_become(&sandboxes[i], SANDBOX_KIND_TENANT,
		       i % 2 == 0 ? SANDBOX_ENDED : SANDBOX_FAILED);
}

Test(table, records_in_the_order_of_their_ends)
{
	static const unsigned order[] = { 2, 0, 3, 1 };

	for (unsigned i = 0; i < 5; i++)
		(void)add(i);
	for (unsigned i = 0; i < 4; i++)
		end(order[i]);
	cr_assert_eq(table.records, 4);
	/* From the middle, from the end, and one that has not ended. */
	sandboxes_unlink(&table, &sandboxes[0]);
	sandboxes_unlink(&table, &sandboxes[1]);
	sandboxes_unlink(&table, &sandboxes[4]);
	cr_assert_eq(table.records, 2);
	cr_assert_eq(table.record_first, &sandboxes[2]);
	cr_assert_eq(table.record_last, &sandboxes[3]);
	cr_assert_eq(table.record_first->record_next, &sandboxes[3]);
	sandboxes_unlink(&table, &sandboxes[2]);
	sandboxes_unlink(&table, &sandboxes[3]);
	cr_assert_null(table.record_first);
	cr_assert_null(table.record_last);
	cr_assert_eq(table.records, 0);
}
