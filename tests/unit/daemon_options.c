/* SPDX-License-Identifier: Apache-2.0 */
/* casemated's command line: each option goes where it belongs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "api/daemon/options.h"
#include "tests/unit/options_parse.h"

Test(daemon_options, defaults)
{
	struct options o;

	cr_assert_eq(PARSE_NOTHING(&o), 0);
	cr_expect_str_eq(o.socket, "/run/casemate/casemated.sock");
	cr_expect_not(o.network.on);
	cr_expect_eq(o.network.authorities_fd, -1);
	cr_expect_eq(o.listen_count, 0);
}

Test(daemon_options, networks)
{
	struct options o;

	cr_assert_eq(PARSE(&o, "--networks", "--network-allow", "10.0.0.0/8:443", "--network-allow",
			   "10.1.0.0/16", "--network-deny", "192.0.2.1", "--resolver", "192.0.2.53",
			   "--ca-file", "/etc/ca.pem"),
		     0);
	cr_expect(o.network.on);
	cr_assert_eq(o.network.allow_count, 2);
	cr_expect_str_eq(o.network.allow[1], "10.1.0.0/16");
	cr_assert_eq(o.network.deny_count, 1);
	cr_expect_str_eq(o.network.deny[0], "192.0.2.1");
	cr_assert_eq(o.network.resolvers_count, 1);
	cr_expect_str_eq(o.network.resolvers[0], "192.0.2.53");
	cr_expect_str_eq(o.network.authorities, "/etc/ca.pem");
}

Test(daemon_options, refused)
{
	struct options o;

	cr_expect_eq(PARSE(&o, "--nope"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--socket"), -EINVAL);
	cr_expect_eq(PARSE(&o, "stray"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--max-sandboxes", "0"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--max-sandboxes", "4097"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--hold", "1500ms"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--log-level", "loud"), -EINVAL);
	cr_expect_eq(PARSE(&o, "--listen", "a:1", "--listen", "b:1", "--listen", "c:1"), -EINVAL);
}
