/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/label.h"

#include <errno.h>
#include <selinux/selinux.h>
#include <stdio.h>

#include "base/bug.h"
#include "jailer/slot.h"

#define VMM_CONTEXT	"system_u:system_r:casemate_vmm_t:"
#define EGRESS_CONTEXT	"system_u:system_r:casemate_egress_t:"
#define SCRATCH_CONTEXT "system_u:object_r:casemate_scratch_t:"

_Static_assert(sizeof(SCRATCH_CONTEXT) + SLOT_MCS_MAX <= LABEL_MAX, "room for a context");

enum label_mode label_mode(void)
{
	if (is_selinux_enabled() <= 0)
		return LABEL_ABSENT;
	return security_getenforce() == 1 ? LABEL_ENFORCING : LABEL_PERMISSIVE;
}

const char *label_mode_name(enum label_mode mode)
{
	static const char *const names[] = {
		[LABEL_ABSENT] = "absent",
		[LABEL_PERMISSIVE] = "permissive",
		[LABEL_ENFORCING] = "enforcing",
	};
	_Static_assert(ARRAY_SIZE(names) == LABEL_MODE_COUNT, "a name for each mode");

	BUG_ON(mode >= LABEL_MODE_COUNT);
	return names[mode];
}

static void make_context(enum label_mode mode, const char *domain, uint32_t slot,
			 char ret[LABEL_MAX])
{
	char level[SLOT_MCS_MAX];

	ret[0] = '\0';
	if (mode == LABEL_ABSENT)
		return;
	slot_level(slot, level);
	(void)snprintf(ret, LABEL_MAX, "%s%s", domain, level);
}

void label_of_slot(enum label_mode mode, uint32_t slot, char ret[LABEL_MAX])
{
	make_context(mode, VMM_CONTEXT, slot, ret);
}

void label_of_egress(enum label_mode mode, uint32_t slot, char ret[LABEL_MAX])
{
	make_context(mode, EGRESS_CONTEXT, slot, ret);
}

void label_of_binary(enum label_mode mode, enum label_binary which, char ret[LABEL_MAX])
{
	static const char *const types[] = {
		[LABEL_JAILER] = "casemate_jailer_exec_t",
		[LABEL_VMM] = "casemate_vmm_exec_t",
		[LABEL_EGRESS] = "casemate_egress_exec_t",
	};
	_Static_assert(ARRAY_SIZE(types) == LABEL_BINARY_COUNT, "a type for each program");

	BUG_ON(which >= LABEL_BINARY_COUNT);
	ret[0] = '\0';
	if (mode != LABEL_ABSENT)
		(void)snprintf(ret, LABEL_MAX, "system_u:object_r:%s:s0", types[which]);
}

int label_mode_accept(enum label_mode mode, bool allow_no_selinux, struct err *err)
{
	if (mode == LABEL_ENFORCING || allow_no_selinux)
		return 0;
	return err_set(err, -ENOTSUP,
		       "SELinux is %s: one of the two walls around a jail is missing; start with "
		       "--allow-no-selinux to go on without it",
		       mode == LABEL_ABSENT ? "not active" : "permissive and denies nothing");
}

int label_check_policy(enum label_mode mode, struct err *err)
{
	char context[LABEL_MAX];

	if (mode == LABEL_ABSENT)
		return 0;
	/* The last slot has the highest categories. */
	label_of_slot(mode, SLOT_COUNT - 1, context);
	if (security_check_context(context) < 0)
		return err_sys(err, -errno,
			       "the SELinux policy doesn't know %s: install casemate.cil with "
			       "semodule",
			       context);
	return 0;
}

int label_files_begin(enum label_mode mode, uint32_t slot, struct err *err)
{
	char level[SLOT_MCS_MAX], context[LABEL_MAX];

	if (mode == LABEL_ABSENT)
		return 0;
	slot_level(slot, level);
	(void)snprintf(context, sizeof(context), SCRATCH_CONTEXT "%s", level);
	if (setfscreatecon(context) < 0)
		return err_sys(err, -errno, "SELinux label %s", context);
	return 0;
}

void label_files_end(enum label_mode mode)
{
	if (mode != LABEL_ABSENT && setfscreatecon(NULL) < 0)
		BUG("the label of new files can't be taken back");
}

int label_next_exec(const char *context)
{
	if (context[0] == '\0')
		return 0;
	return setexeccon(context) < 0 ? -errno : 0;
}
