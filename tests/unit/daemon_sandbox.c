/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's transition table and ids. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "api/daemon/sandbox.h"

Test(sandbox, life)
{
	cr_assert_eq(sandbox_next(SANDBOX_CREATING, SANDBOX_EV_BOOTED), SANDBOX_RUNNING);
	cr_assert_eq(sandbox_next(SANDBOX_RUNNING, SANDBOX_EV_STOP), SANDBOX_STOPPING);
	cr_assert_eq(sandbox_next(SANDBOX_RUNNING, SANDBOX_EV_EXIT), SANDBOX_STOPPING);
	cr_assert_eq(sandbox_next(SANDBOX_STOPPING, SANDBOX_EV_GONE), SANDBOX_ENDED);
}

Test(sandbox, life_of_a_spare)
{
	cr_assert_eq(sandbox_next(SANDBOX_CREATING, SANDBOX_EV_READY), SANDBOX_SPARE);
	cr_assert_eq(sandbox_next(SANDBOX_SPARE, SANDBOX_EV_CLAIM), SANDBOX_CREATING);
	cr_assert_eq(sandbox_next(SANDBOX_SPARE, SANDBOX_EV_EXIT), SANDBOX_STOPPING);
	cr_assert_eq(sandbox_next(SANDBOX_SPARE, SANDBOX_EV_STOP), SANDBOX_STOPPING);
	/* Nobody gets one without a claim, and what a tenant had never comes back. */
	cr_assert_eq(sandbox_next(SANDBOX_SPARE, SANDBOX_EV_BOOTED), -EINVAL);
	for (int ev = 0; ev < SANDBOX_EVENT_COUNT; ev++)
		cr_assert_neq(sandbox_next(SANDBOX_RUNNING, (enum sandbox_event)ev), SANDBOX_SPARE);
}

/* On the disk: a file in the place of a jail. What can't go on from it is still there. */
Test(sandbox, paused_on_the_disk)
{
	cr_assert_eq(sandbox_next(SANDBOX_RUNNING, SANDBOX_EV_PARK), SANDBOX_PARKING);
	cr_assert_eq(sandbox_next(SANDBOX_PARKING, SANDBOX_EV_GONE), SANDBOX_PAUSED);
	cr_assert_eq(sandbox_next(SANDBOX_PAUSED, SANDBOX_EV_RESUME), SANDBOX_CREATING);
	cr_assert_eq(sandbox_next(SANDBOX_CREATING, SANDBOX_EV_UNDONE), SANDBOX_PARKING);
	cr_assert_eq(sandbox_next(SANDBOX_PARKING, SANDBOX_EV_STOP), SANDBOX_STOPPING);
	cr_assert_eq(sandbox_next(SANDBOX_PAUSED, SANDBOX_EV_STOP), SANDBOX_STOPPING);
	cr_assert_eq(sandbox_next(SANDBOX_PAUSED, SANDBOX_EV_EXIT), SANDBOX_STOPPING);
	/* Only what runs gets there, and only by a resume does it leave it alive. */
	for (int st = 0; st < SANDBOX_STATE_COUNT; st++)
		if (st != SANDBOX_RUNNING)
			cr_assert_eq(sandbox_next((enum sandbox_state)st, SANDBOX_EV_PARK),
				     -EINVAL);
	for (int ev = 0; ev < SANDBOX_EVENT_COUNT; ev++) {
		int next = sandbox_next(SANDBOX_PAUSED, (enum sandbox_event)ev);
		cr_assert(next == -EINVAL || next == SANDBOX_STOPPING || ev == SANDBOX_EV_RESUME);
		cr_assert_neq(sandbox_next(SANDBOX_PARKING, (enum sandbox_event)ev),
			      SANDBOX_RUNNING);
	}
}

Test(sandbox, failure_while_creating)
{
	cr_assert_eq(sandbox_next(SANDBOX_CREATING, SANDBOX_EV_FAULT), SANDBOX_STOPPING);
	cr_assert_eq(sandbox_next(SANDBOX_CREATING, SANDBOX_EV_EXIT), SANDBOX_STOPPING);
	cr_assert_eq(sandbox_next(SANDBOX_STOPPING, SANDBOX_EV_VOID), SANDBOX_FAILED);
}

/* Whatever happens, a jail is given up only when the jailer says that it is gone. */
Test(sandbox, only_gone_ends_it)
{
	for (int st = 0; st < SANDBOX_STATE_COUNT; st++)
		for (int ev = 0; ev < SANDBOX_EVENT_COUNT; ev++) {
			int next = sandbox_next((enum sandbox_state)st, (enum sandbox_event)ev);
			bool ended = next == SANDBOX_ENDED || next == SANDBOX_FAILED;
			bool was = st == SANDBOX_ENDED || st == SANDBOX_FAILED;
			if (ended && !was) {
				cr_assert_eq(st, SANDBOX_STOPPING);
				cr_assert(ev == SANDBOX_EV_GONE || ev == SANDBOX_EV_VOID);
			}
			/* The dead stay dead, and nothing comes back from stopping. */
			if (was)
				cr_assert(next == st || next == -EINVAL);
			if (st == SANDBOX_STOPPING)
				cr_assert(next != SANDBOX_RUNNING && next != SANDBOX_CREATING);
		}
}

Test(sandbox, impossible_pairs)
{
	cr_assert_eq(sandbox_next(SANDBOX_RUNNING, SANDBOX_EV_BOOTED), -EINVAL);
	cr_assert_eq(sandbox_next(SANDBOX_RUNNING, SANDBOX_EV_GONE), -EINVAL);
	cr_assert_eq(sandbox_next(SANDBOX_CREATING, SANDBOX_EV_GONE), -EINVAL);
	cr_assert_eq(sandbox_next(SANDBOX_STOPPING, SANDBOX_EV_BOOTED), -EINVAL);
	cr_assert_eq(sandbox_next(SANDBOX_ENDED, SANDBOX_EV_EXIT), -EINVAL);
}

Test(sandbox, ids)
{
	char a[SANDBOX_ID_LEN + 1], b[SANDBOX_ID_LEN + 1];
	bool seen[256] = { false };

	sandbox_id_make(b);
	for (int i = 0; i < 1000; i++) {
		sandbox_id_make(a);
		cr_assert(sandbox_id_valid(a), "%s", a);
		cr_assert_str_neq(a, b);
		memcpy(b, a, sizeof(b));
		for (size_t k = 1; k < SANDBOX_ID_LEN; k++)
			seen[(unsigned char)a[k]] = true;
	}
	for (const char *p = "abcdefghijklmnopqrstuvwxyz0123456789"; *p != '\0'; p++)
		cr_assert(seen[(unsigned char)*p], "'%c' never came", *p);
}

Test(sandbox, not_ids)
{
	cr_assert_not(sandbox_id_valid(""));
	cr_assert_not(sandbox_id_valid("iaaaaaaaaaaaaaaaaaa"));
	cr_assert_not(sandbox_id_valid("iaaaaaaaaaaaaaaaaaaaa"));
	cr_assert_not(sandbox_id_valid("aaaaaaaaaaaaaaaaaaaa"));
	cr_assert_not(sandbox_id_valid("iAaaaaaaaaaaaaaaaaaa"));
	cr_assert_not(sandbox_id_valid("i../../aaaaaaaaaaaaa"));
}
