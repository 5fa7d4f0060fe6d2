/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_limits.h"
#include "agent/device.h"
#include "agent/mount.h"
#include "agent/net.h"
#include "base/fd.h"

#define MODULES_DIR "/modules"
#define HOSTNAME    "casemate"

/* What distributions switch on at boot and programs with several users in them rely on. */
static const struct {
	const char *path, *value;
} sysctls[] = {
	{ "/proc/sys/fs/protected_hardlinks", "1" },
	{ "/proc/sys/fs/protected_symlinks", "1" },
	{ "/proc/sys/fs/protected_fifos", "1" },
	{ "/proc/sys/fs/protected_regular", "2" },
	{ "/proc/sys/net/ipv4/ping_group_range", "0 2147483647" },
};

/* Nothing to read; what is written goes to the kernel's log: it never blocks, and `quiet` on the
 * kernel's command line spares the console's exits. */
static int set_stdio(struct err *err)
{
	static const char *const paths[] = { "/dev/null", "/dev/kmsg", "/dev/kmsg" };

	for (int i = 0; i < 3; i++) {
		CLEANUP(fd_closep)
		int fd = open(paths[i], (i == 0 ? O_RDONLY : O_WRONLY) | O_NOCTTY | O_CLOEXEC);
		if (fd < 0)
			return err_sys(err, -errno, "%s", paths[i]);
		if (fd == i) /* it was closed: keep this one, but across exec */
			(void)fcntl(fd_steal(&fd), F_SETFD, 0);
		else if (dup2(fd, i) < 0)
			return err_sys(err, -errno, "dup2");
	}
	return 0;
}

static void set_sysctls(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++) {
		CLEANUP(fd_closep) int fd = open(sysctls[i].path, O_WRONLY | O_CLOEXEC);
		/* A kernel without the feature has no file. */
		if (fd >= 0)
			(void)!write(fd, sysctls[i].value, strlen(sysctls[i].value));
	}
}

static int set_limits(struct err *err)
{
	const struct rlimit rl = { .rlim_cur = AGENT_NOFILE_SOFT, .rlim_max = AGENT_NOFILE_HARD };

	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		return err_sys(err, -errno, "descriptor limit");
	return 0;
}

static int find_root(int *ret_scratch, struct err *err)
{
	struct device_disks disks;
	int r = device_load_modules(MODULES_DIR, err);

	if (r < 0)
		return r;
	r = device_find_disks(&disks, err);
	if (r < 0 || disks.root == NULL)
		return r;
	return mount_root(disks.root, disks.scratch, ret_scratch, err);
}

int boot_root(int *ret_scratch, struct err *err)
{
	int r;

	(void)umask(022);
	/* Ctrl-Alt-Del becomes a SIGINT to us instead of an unclean restart. */
	(void)reboot(RB_DISABLE_CAD);
	r = mount_dev(err);
	if (r == 0)
		r = set_stdio(err);
	if (r == 0)
		r = find_root(ret_scratch, err);
	if (r == 0)
		r = set_limits(err);
	return r;
}

int boot_system(struct err *err)
{
	int r = mount_system(err);

	if (r == 0)
		r = net_open(err);
	if (r < 0)
		return r;
	set_sysctls();
	if (sethostname(HOSTNAME, strlen(HOSTNAME)) < 0)
		return err_sys(err, -errno, "sethostname");
	return 0;
}
