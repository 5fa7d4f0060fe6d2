/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes with a network, all the way down: casemated, the jailer, a VM with a card, and the real
 * casemate-egress, which takes its policies. What a guest's packets meet is gateway.c's.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/native/daemon_rig.h"

#define VM(network) "{\"memory_bytes\":67108864,\"network\":" network "}"

static struct daemon_rig d;
static struct answer a;

static void open_rig(bool networks, unsigned pool)
{
	d.networks = networks;
	d.pool = pool;
	d.jail.test_option = "--egress";
	d.jail.test_value = EGRESS_BIN;
	daemon_rig_open(&d);
}

static void set_up(void)
{
	open_rig(true, 0);
}

static void set_up_without(void)
{
	open_rig(false, 0);
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

TestSuite(daemon_network, .init = set_up, .fini = tear_down, .timeout = 60);

static unsigned ask(const char *method, const char *target, const char *body)
{
	daemon_rig_ask(&d, false, method, target, "", body, &a);
	return a.status;
}

static const char *make(const char *body)
{
	static char target[64];

	cr_assert_eq(ask("POST", "/v1/sandboxes", body), 201, "%s", a.body);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s/network", answer_text(&a, "id"));
	return target;
}

Test(daemon_network, a_policy_is_taken_and_replaced)
{
	const char *target = make(VM("{\"allowOut\":[\"192.0.2.1:80\"]}"));

	cr_expect_eq(ask("PUT", target,
			 "{\"allowOut\":[\"192.0.2.1:443\",\"example.org\"],"
			 "\"denyOut\":[\"0.0.0.0/0\"]}"),
		     204, "%s", a.body);
	cr_expect_eq(ask("PUT", target, "{\"allowOut\":[\"192.0.2.1/99\"]}"), 400, "%s", a.body);
	cr_expect_eq(ask("PUT", target, "{\"operator\":{}}"), 400, "%s", a.body);
	cr_expect_eq(ask("PUT", target, "[]"), 400, "%s", a.body);
	cr_expect_eq(ask("PUT", target, "{}"), 204, "%s", a.body);
	cr_expect_eq(ask("PUT", target + strlen("/v1"), "{\"allow_internet_access\":false}"), 204,
		     "%s", a.body);
}

Test(daemon_network, a_bad_policy_makes_no_sandbox)
{
	cr_expect_eq(ask("POST", "/v1/sandboxes", VM("{\"allowOut\":[\"x/99\"]}")), 400, "%s",
		     a.body);
	cr_expect_not_null(strstr(a.body, "allowOut"), "%s", a.body);
}

Test(daemon_network, one_without_a_network_gets_none_later)
{
	const char *target = make("{\"memory_bytes\":67108864}");

	cr_expect_eq(ask("PUT", target, "{}"), 409, "%s", a.body);
}

Test(daemon_network, the_next_casemated_can_change_it)
{
	const char *target = make(VM("{\"allow_internet_access\":true}"));

	daemon_rig_stop(&d, SIGKILL);
	daemon_rig_start(&d);
	cr_expect_eq(ask("PUT", target, "{\"allowOut\":[\"192.0.2.1\"]}"), 204, "%s", a.body);
}

/* What was said last holds, also for the casemated that comes after one that was killed. */
Test(daemon_network, a_changed_policy_outlives_casemated)
{
	const char *target = make(VM("{\"allow_internet_access\":true}"));
	char detail[64];

	(void)snprintf(detail, sizeof(detail), "/sandboxes/%.*s", 20,
		       target + strlen("/v1/sandboxes/"));
	cr_assert_eq(ask("GET", detail, NULL), 200, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "\"allowInternetAccess\":true"), "%s", a.body);
	cr_assert_eq(ask("PUT", target, "{\"allowOut\":[\"192.0.2.1\"]}"), 204, "%s", a.body);
	daemon_rig_stop(&d, SIGKILL);
	daemon_rig_start(&d);
	cr_assert_eq(ask("GET", detail, NULL), 200, "%s", a.body);
	cr_expect_not_null(strstr(a.body, "\"allowInternetAccess\":false"), "%s", a.body);
	cr_expect_not_null(strstr(a.body, "192.0.2.1"), "%s", a.body);
}

Test(daemon_no_network, is_refused_where_the_operator_gives_none, .init = set_up_without,
     .fini = tear_down, .timeout = 60)
{
	cr_expect_eq(ask("POST", "/v1/sandboxes", VM("{}")), 501, "%s", a.body);
	cr_expect_eq(ask("POST", "/v1/sandboxes", "{\"memory_bytes\":67108864}"), 201, "%s",
		     a.body);
}
