/* SPDX-License-Identifier: Apache-2.0 */
/* What a killed battery left goes; what somebody holds, and what isn't a battery's, stays. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tests/attacks/leftovers.h"

Test(leftovers, only_what_is_nobodys)
{
	static const char *const made[] = { "pids",
					    "pids/casemate-attacks-1",
					    "pids/casemate-attacks-1/slot-3",
					    "pids/casemate-attacks-2",
					    "casemate-attacks-3",
					    "casemate",
					    "casemate/slot-1" };
	static const bool stays[] = { true, false, false, true, false, true, true };
	char root[] = "/tmp/casemate-leftovers.XXXXXX", path[128];
	int held;

	cr_assert_not_null(mkdtemp(root));
	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, made[i]);
		cr_assert_eq(mkdir(path, 0700), 0);
	}
	(void)snprintf(path, sizeof(path), "%s/pids/casemate-attacks-2", root);
	held = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(flock(held, LOCK_EX), 0);
	leftovers_remove(root);
	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, made[i]);
		cr_expect_eq(access(path, F_OK) == 0, stays[i], "%s", made[i]);
	}
	close(held);
	leftovers_remove(root);
	(void)snprintf(path, sizeof(path), "%s/pids/casemate-attacks-2", root);
	cr_expect_neq(access(path, F_OK), 0, "its owner is gone");
	for (size_t i = ARRAY_SIZE(made); i-- > 0;) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, made[i]);
		if (stays[i] && i != 3)
			cr_assert_eq(rmdir(path), 0, "%s", path);
	}
	cr_assert_eq(rmdir(root), 0);
}
