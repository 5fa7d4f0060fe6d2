/* SPDX-License-Identifier: Apache-2.0 */
/*
 * casemate-vmm - one virtual machine, in a process that may do nothing else.
 *
 * The jailer starts it with the descriptors of vmm_fds.h and no arguments. The order of main is the
 * design: log, limits, descriptors, Landlock, first filter, and only then a byte from outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/landlock.h"
#include "base/log.h"
#include "vmm/control.h"
#include "vmm/seccomp.h"
#include "vmm/vmm_fds.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE		 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define STATUS_FAILED 1

#define HEAP_OBJECT_MAX (16 * 1024)
#define HEAP_STEP	(8 * 1024)

/*
 * From HEAP_OBJECT_MAX on an object is a mapping of its own, whose pages calloc leaves untouched;
 * on the heap it would clear them, and most of a device's tables and rings are never used. The heap
 * grows in small steps and gives back what the C library took before main, because what fits into
 * its rest is taken from there whatever its size.
 */
static void heap_setup(void)
{
	BUG_ON(mallopt(M_MMAP_THRESHOLD, HEAP_OBJECT_MAX) != 1);
	BUG_ON(mallopt(M_TOP_PAD, HEAP_STEP) != 1);
	(void)malloc_trim(0);
}

/*
 * This process's own code shall not be a victim of what a guest has taught the branch predictors or
 * the store buffer: barriers between it and others, for good. The guest has its own controls.
 * ENXIO, ENODEV, EINVAL: nothing to control here; EPERM: the administrator has decided.
 */
static int stop_speculation(struct err *err)
{
	static const unsigned long kinds[] = { PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (prctl(PR_SET_SPECULATION_CTRL, kinds[i], PR_SPEC_FORCE_DISABLE, 0, 0) < 0 &&
		    errno != ENXIO && errno != ENODEV && errno != EINVAL && errno != EPERM)
			return err_sys(err, -errno, "PR_SET_SPECULATION_CTRL");
	return 0;
}

/* No life without the jailer, no dumps, no ptrace by our own uid, no privilege by exec, no memory
 * that becomes code. */
static int set_limits(struct err *err)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(err, -errno, "RLIMIT_CORE");
	/* What is run by descriptor has no name of its own. */
	if (prctl(PR_SET_NAME, "casemate-vmm", 0, 0, 0) < 0)
		return err_sys(err, -errno, "PR_SET_NAME");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, -errno, "PR_SET_DUMPABLE");
	/* The jailer asked for this too, but a change of SELinux domain at exec clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_sys(err, -errno, "PR_SET_PDEATHSIG");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, -errno, "PR_SET_NO_NEW_PRIVS");
	/* EINVAL: a kernel before 6.3. The filters forbid executable memory there as well. */
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0 && errno != EINVAL)
		return err_sys(err, -errno, "PR_SET_MDWE");
	/* A host peer that goes away is an error of a write, not a signal. */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_sys(err, -errno, "SIGPIPE");
	return stop_speculation(err);
}

/*
 * Fills every free number below VMM_FD_DYNAMIC with /dev/null. So what is made later, and what
 * arrives over the control socket, gets a number from VMM_FD_DYNAMIC on, and the numbers that the
 * filters allow more for can't be taken by anything else.
 */
static int reserve_numbers(struct err *err)
{
	for (int fd = 0; fd <= VMM_FD_CONTROL; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return err_sys(err, -errno,
				       "descriptor %d is missing; casemate-vmm is started "
				       "by casemate-jailer",
				       fd);
	for (;;) {
		/* The lowest that is free. */
		CLEANUP(fd_closep) int fd = fd_dup(0, VMM_FD_CONTROL + 1);
		if (fd < 0)
			return err_sys(err, fd, "reserving descriptors");
		if (fd >= VMM_FD_DYNAMIC)
			return 0;
		(void)fd_steal(&fd);
	}
}

static int run(struct err *err)
{
	int abi = 0;
	int r = set_limits(err);

	if (r < 0)
		return r;
	r = reserve_numbers(err);
	if (r < 0)
		return r;
	r = landlock_deny_all(&abi);
	if (r < 0)
		return err_sys(err, r, "Landlock");
	r = vmm_seccomp_install(SECCOMP_START);
	if (r < 0)
		return err_sys(err, r, "seccomp filter");
	/* None in the kernel: the filters and the empty root say the same, and doctor tells. */
	log_info("vm.jailed", "landlock_abi=%d", abi);
	return control_serve(err);
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	int status;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("casemate-vmm " CASEMATE_VERSION "\n");
		return 0;
	}
	heap_setup();
	log_setup("vmm", LOG_LEVEL_INFO);
	if (argc != 1) {
		log_error("vmm.start", "it takes no arguments: casemate-jailer starts it");
		return STATUS_FAILED;
	}
	status = run(&err);
	if (status < 0) {
		log_error("vmm.start", "%s", err.msg);
		status = STATUS_FAILED;
	}
	/* Not exit(): threads are still there, and nothing is buffered. */
	_exit(status);
}
