/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cred.c - from root to nobody in particular. Each step is read back: a set that is silently not
 * empty would be worse than a start that fails.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jailer/stage.h"

#ifndef PR_SET_MDWE /* Linux 6.3; Debian 12's headers are older */
#define PR_SET_MDWE		 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define CAP_NUMBER_MAX 63 /* the sets have 64 bits */

/* All bits and their locks: nothing about uid 0 is special any more, and that can't be undone. */
#define SECUREBITS                                                                               \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                         \
	 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | \
	 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* The jailer has written the maps of our namespace: true after its answer. */
static bool ask_for_maps(void)
{
	const struct stage_report q = { .kind = REPORT_MAP };
	struct stage_order o = { 0 };
	size_t none = 0;

	return fd_send(STAGE_FD_REPORT, &q, sizeof(q), NULL, 0) == (ssize_t)sizeof(q) &&
	       fd_recv(STAGE_FD_REPORT, &o, sizeof(o), NULL, &none) == (ssize_t)sizeof(o) &&
	       o.kind == ORDER_MAPPED;
}

/*
 * Should: be in a user namespace in which the jail's uid and gid are the only ones: there is no
 * root to become, whatever happens.
 * Mustn't: come before the other namespaces are made: they belong to the host's user namespace,
 * so that a capability which a kernel bug might give in this one is good for none of them.
 * Mustn't: come after stage_chroot, which makes it impossible.
 */
int stage_user(struct stage_env *env)
{
	if (!env->userns)
		return 0;
	/* The kernel may forget the death signal with a change of credentials. */
	if (unshare(CLONE_NEWUSER) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return ask_for_maps() ? 0 : -EPIPE;
}

/*
 * Should: make sure that no exec can ever give a capability, and that uid 0 means nothing.
 * Mustn't: come after stage_caps: dropping from the set needs CAP_SETPCAP.
 */
int stage_bounding(struct stage_env *env)
{
	(void)env;
	for (unsigned long cap = 0; cap <= CAP_NUMBER_MAX; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0 && errno == EINVAL)
			break; /* the kernel knows no more */
		if (has < 0 || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
			return -EPERM;
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) < 0 ? -errno : 0;
}

/*
 * Should: run as a uid and gid that no other process on this host has.
 * Mustn't: keep a group of the jailer, or a saved id to go back to.
 */
int stage_ids(struct stage_env *env)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	/* Without stage_bounding's securebits the capabilities would go with the uid. */
	if (layer_is_off(env, LAYER_CAP) && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return -errno;
	if (setgroups(0, NULL) < 0 || setresgid(env->uid, env->uid, env->uid) < 0 ||
	    setresuid(env->uid, env->uid, env->uid) < 0)
		return -errno;
	if (getresuid(&ru, &eu, &su) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return -errno;
	if (ru != env->uid || eu != env->uid || su != env->uid || rg != env->uid ||
	    eg != env->uid || sg != env->uid || getgroups(0, NULL) != 0)
		return -EPERM;
	/* The kernel has forgotten it with the old uid. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
}

#ifdef CASEMATE_TEST
/* The layer left out: the jailer's capabilities outlive the change of uid and the exec. */
static int keep_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
		data[i].effective = data[i].inheritable = data[i].permitted;
	if (syscall(SYS_capset, &head, data) < 0)
		return -errno;
	for (unsigned long cap = 0; cap <= CAP_NUMBER_MAX; cap++) {
		if ((data[cap / 32].permitted >> (cap % 32) & 1) != 0 &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return -errno;
	}
	return 0;
}
#else
#define keep_caps() 0
#endif

/* Should: have no capability in any set (the change of uid kept them: NO_SETUID_FIXUP). */
int stage_caps(struct stage_env *env)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (layer_is_off(env, LAYER_CAP))
		return keep_caps();
	if (syscall(SYS_capset, &head, data) < 0 || syscall(SYS_capget, &head, data) < 0)
		return -errno;
	for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
		if (data[i].effective != 0 || data[i].permitted != 0 || data[i].inheritable != 0)
			return -EPERM;
	}
	return 0;
}

/* The other end of the report socket is the jailer's: has it died? */
static bool jailer_is_gone(void)
{
	struct pollfd p = { .fd = STAGE_FD_REPORT };

	return poll(&p, 1, 0) < 0 || (p.revents & (POLLERR | POLLHUP)) != 0;
}

/*
 * Should: no new privileges by exec, no write-and-execute memory, no core dump or ptrace by the
 * same uid, and death with the jailer.
 * Mustn't: come before stage_ids: the kernel forgets the death signal when the uid changes. It
 * also forgets it at an exec that changes the SELinux domain, and dumpable at any exec, so the VMM
 * sets both again.
 */
int stage_locks(struct stage_env *env)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	/* EINVAL: a kernel that doesn't have it. */
	if (!layer_is_off(env, LAYER_SYSC) &&
	    prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return jailer_is_gone() ? -EPIPE : 0;
}
