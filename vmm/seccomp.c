/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/seccomp.h"

#include "base/bug.h"
#include "policies/seccomp/filter.h"
#include "seccomp/vmm_blk.h"
#include "seccomp/vmm_control.h"
#include "seccomp/vmm_copy.h"
#include "seccomp/vmm_net.h"
#include "seccomp/vmm_start.h"
#include "seccomp/vmm_vcpu.h"

int vmm_seccomp_install(enum seccomp_role role)
{
	switch (role) {
	case SECCOMP_START:
		return SECCOMP_INSTALL(seccomp_vmm_start, 0);
	case SECCOMP_CONTROL:
		return SECCOMP_INSTALL(seccomp_vmm_control, 0);
	case SECCOMP_VCPU:
		return SECCOMP_INSTALL(seccomp_vmm_vcpu, 0);
	case SECCOMP_BLK:
		return SECCOMP_INSTALL(seccomp_vmm_blk, 0);
	case SECCOMP_NET:
		return SECCOMP_INSTALL(seccomp_vmm_net, 0);
	case SECCOMP_COPY:
		return SECCOMP_INSTALL(seccomp_vmm_copy, 0);
	case SECCOMP_ROLE_COUNT:
		break;
	}
	BUG("unknown role");
}
