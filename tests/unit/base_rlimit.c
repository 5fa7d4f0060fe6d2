/* SPDX-License-Identifier: Apache-2.0 */
/* A process's limits go down, and never up. In a child each: what is lowered stays so. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rlimit.h"

static bool has(__rlimit_resource_t what, rlim_t value)
{
	struct rlimit l;

	return getrlimit(what, &l) == 0 && l.rlim_cur == value && l.rlim_max == value;
}

/* Whether check holds in a process of its own. */
static bool in_child(bool (*check)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(check() ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool lowers(void)
{
	const struct rlimit_lower all[] = { RLIMIT_LOWER(NOFILE, 40), RLIMIT_LOWER(CORE, 0) };
	struct err err;

	return rlimit_lower_all(all, 2, &err) == 0 && has(RLIMIT_NOFILE, 40) && has(RLIMIT_CORE, 0);
}

static bool never_raises(void)
{
	const struct rlimit_lower down[] = { RLIMIT_LOWER(NOFILE, 40) };
	const struct rlimit_lower up[] = { RLIMIT_LOWER(NOFILE, 400) };
	struct err err;

	return rlimit_lower_all(down, 1, &err) == 0 && rlimit_lower_all(up, 1, &err) == 0 &&
	       has(RLIMIT_NOFILE, 40);
}

static bool says_which(void)
{
	const struct rlimit_lower all[] = { { (__rlimit_resource_t)999, 1, "RLIMIT_999" } };
	struct err err = { 0 };

	return rlimit_lower_all(all, 1, &err) == -EINVAL && err.msg[0] != '\0';
}

Test(rlimit, lowers)
{
	cr_assert(in_child(lowers));
}

Test(rlimit, never_raises)
{
	cr_assert(in_child(never_raises));
}

Test(rlimit, says_which)
{
	cr_assert(in_child(says_which));
}
