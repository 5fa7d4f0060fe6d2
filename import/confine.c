/* SPDX-License-Identifier: Apache-2.0 */
#include "import/confine.h"

#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/landlock.h"
#include "policies/seccomp/filter.h"
#include "seccomp/import.h"

#define NOBODY 65534

static int limit(__rlimit_resource_t what, uint64_t value, const char *name, struct err *err)
{
	struct rlimit l;

	if (getrlimit(what, &l) < 0)
		return err_sys(err, -errno, "%s", name);
	/* Never more than the caller allowed. */
	if (l.rlim_max == RLIM_INFINITY || value < l.rlim_max)
		l.rlim_max = value;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(what, &l) < 0)
		return err_sys(err, -errno, "%s", name);
	return 0;
}

static int set_limits(const struct confine_limits *c, struct err *err)
{
	const struct {
		__rlimit_resource_t what;
		uint64_t value;
		const char *name;
	} all[] = {
#ifndef CASEMATE_NO_FILTERS /* a sanitizer maps terabytes */
		{ RLIMIT_AS, c->memory_bytes, "RLIMIT_AS" },
#endif
		{ RLIMIT_CPU, c->cpu_seconds, "RLIMIT_CPU" },
		{ RLIMIT_FSIZE, c->file_bytes, "RLIMIT_FSIZE" },
		{ RLIMIT_CORE, 0, "RLIMIT_CORE" },
		{ RLIMIT_NPROC, 0, "RLIMIT_NPROC" },
		{ RLIMIT_MEMLOCK, 0, "RLIMIT_MEMLOCK" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		int r = limit(all[i].what, all[i].value, all[i].name, err);

		if (r < 0)
			return r;
	}
	return 0;
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
