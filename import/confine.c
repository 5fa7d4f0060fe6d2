/* SPDX-License-Identifier: Apache-2.0 */
#include "import/confine.h"

#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/landlock.h"
#include "base/rlimit.h"
#include "policies/seccomp/filter.h"
#include "seccomp/import.h"

#define NOBODY 65534

static int set_limits(const struct confine_limits *c, struct err *err)
{
	const struct rlimit_lower all[] = {
#ifndef CASEMATE_NO_FILTERS /* a sanitizer maps terabytes */
		RLIMIT_LOWER(AS, c->memory_bytes),
#endif
		RLIMIT_LOWER(CPU, c->cpu_seconds),
		RLIMIT_LOWER(FSIZE, c->file_bytes),
		RLIMIT_LOWER(CORE, 0),
		RLIMIT_LOWER(NPROC, 0),
		RLIMIT_LOWER(MEMLOCK, 0),
	};

	return rlimit_lower_all(all, ARRAY_SIZE(all), err);
}

static int drop_root(struct err *err)
{
	if (geteuid() != 0 && getuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return err_sys(err, -errno, "becoming nobody");
	return 0;
}

int confine(const struct confine_limits *limits, struct err *err)
{
	int abi, r = drop_root(err);

	/* Nobody else's process of the same user may look into this one. */
	if (r == 0 &&
	    (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
		r = err_sys(err, -errno, "prctl");
	if (r == 0)
		r = set_limits(limits, err);
	if (r < 0)
		return r;
	r = landlock_deny_all(&abi);
	if (r < 0)
		return err_sys(err, r, "Landlock");
	r = SECCOMP_INSTALL(seccomp_import, 0);
	return r < 0 ? err_sys(err, r, "seccomp") : 0;
}
