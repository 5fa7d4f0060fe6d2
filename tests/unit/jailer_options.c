/* SPDX-License-Identifier: Apache-2.0 */
/* casemate-jailer's command line. */
#include <criterion/criterion.h>
#include <errno.h>

#include "base/num.h"
#include "jailer/options.h"
#include "jailer/slot.h"
#include "tests/unit/options_parse.h"

Test(jailer_options, defaults)
{
	struct options o;

	cr_assert_eq(PARSE_NOTHING(&o), 0);
	cr_expect_str_eq(o.socket, "/run/casemate/jailer.sock");
	cr_expect_not(o.host.allow_no_selinux);
	cr_expect_eq(o.host.uid_base, SLOT_UID_BASE);
	cr_expect_eq(o.jails.max, 256);
	cr_expect_eq(o.host.slots, 512, "as many again are being cleaned up");
}

Test(jailer_options, good)
{
	struct options o;

	cr_assert_eq(PARSE(&o, "--max", "2", "--pool", "256", "--pool-nics", "1", "--uid-base",
			   "100000", "--cgroup", "a.b-c_1", "--io-bytes", "1M", "--io-ops", "0",
			   "--allow-no-selinux", "--log-level", "debug"),
		     0);
	cr_expect_eq(o.jails.pool, 256);
	cr_expect_eq(o.jails.pool_nics, 1);
	cr_expect_eq(o.host.uid_base, 100000);
	cr_expect_eq(o.host.io.bytes_per_s, MIB);
	cr_expect_eq(o.host.io.ops_per_s, 0);
	cr_expect(o.host.allow_no_selinux);
	cr_expect_eq(o.level, LOG_LEVEL_DEBUG);
	cr_expect_geq(o.host.slots, 2 + 2 * 257, "what lies ready has its slots, too");
}

Test(jailer_options, refused)
{
	struct options o;

	cr_expect_eq(PARSE(&o, "--max", "0"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--max", "4294967297"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--pool", "257"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--uid-base", "0"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--uid-base", "4294967295"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--cgroup", "../a"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--cgroup", ""), -EINVAL);
	cr_expect_eq(PARSE(&o, "--io-bytes", "lots"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--log-level", "loud"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--layers-off", "cap"), -EINVAL, "only the test build has it");
	cr_expect_eq(PARSE(&o, "--nope"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--max"), -EINVAL);
	cr_expect_eq(PARSE(&o, "stray"), -EINVAL);
}
