/* SPDX-License-Identifier: Apache-2.0 */
/* A host on which SELinux denies nothing is refused, unless the operator has said so. */
#include <criterion/criterion.h>
#include <errno.h>

#include "jailer/label.h"

Test(jailer_label, less_than_enforcing_must_be_asked_for)
{
	static const struct {
		enum label_mode mode;
		bool allow;
		int want;
	} cases[] = {
		{ LABEL_ENFORCING, false, 0 },	       { LABEL_ENFORCING, true, 0 },
		{ LABEL_PERMISSIVE, false, -ENOTSUP }, { LABEL_PERMISSIVE, true, 0 },
		{ LABEL_ABSENT, false, -ENOTSUP },     { LABEL_ABSENT, true, 0 },
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_eq(label_mode_accept(cases[i].mode, cases[i].allow, &err), cases[i].want,
			     "%s, %d", label_mode_name(cases[i].mode), cases[i].allow);
}
