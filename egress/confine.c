/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/landlock.h"
#include "base/num.h"
#include "base/rlimit.h"
#include "egress/limits.h"
#include "policies/seccomp/filter.h"
#include "seccomp/egress.h"

/* A connection: two sockets; four more, and two ends of TLS, where that ends here. */
#define FDS_FIXED   (64U + EGRESS_QUERIES_MAX + EGRESS_DNS_CONNS_MAX + 4U * EGRESS_TLS_MAX)
#define FLOW_BYTES  (UINT64_C(256) << 10)
#define OTHER_BYTES ((UINT64_C(48) << 20) + EGRESS_TLS_MAX * FLOW_BYTES)

static int set_limits(size_t flows, struct err *err)
{
	const struct rlimit_lower all[] = {
#ifndef CASEMATE_NO_FILTERS /* a sanitizer maps terabytes */
		RLIMIT_LOWER(AS, OTHER_BYTES + flows * FLOW_BYTES),
#endif
		RLIMIT_LOWER(NOFILE, FDS_FIXED + 2 * flows),
		RLIMIT_LOWER(CORE, 0),
		RLIMIT_LOWER(FSIZE, 0),
		RLIMIT_LOWER(NPROC, 0),
		RLIMIT_LOWER(MEMLOCK, 0),
	};

	return rlimit_lower_all(all, ARRAY_SIZE(all), err);
}

/* Not by libcap-ng: it reads /proc. */
static int drop_capabilities(struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &head, none) < 0)
		return err_sys(err, -errno, "capabilities");
	return 0;
}

static int drop_root(uid_t uid, struct err *err)
{
	if (getauxval(AT_EUID) != 0 && getauxval(AT_UID) != 0)
		return 0;
	if (uid == 0)
		return err_set(err, -EPERM, "--uid: root has to say who it becomes");
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(err, -errno, "becoming %u", uid);
	return 0;
}

int confine(uid_t uid, size_t flows, struct err *err)
{
	int abi, r = drop_root(uid, err);

	if (r == 0)
		r = drop_capabilities(err);
	/* Nobody else's process of the same user may look into this one. */
	if (r == 0 &&
	    (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
		r = err_sys(err, -errno, "prctl");
	if (r == 0)
		r = set_limits(flows, err);
	if (r < 0)
		return r;
	r = landlock_deny_all_but_connect(&abi);
	if (r < 0)
		return err_sys(err, r, "Landlock");
	r = SECCOMP_INSTALL(seccomp_egress, 0);
	return r < 0 ? err_sys(err, r, "seccomp") : 0;
}
