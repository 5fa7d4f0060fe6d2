/* SPDX-License-Identifier: Apache-2.0 */
/* hostcheck_kernel.c - the kernel: its age, how it was built, memory, control groups, LSMs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/host/hostcheck_internal.h"
#include "base/fd.h"

#define AGE_DAYS_MAX 90
#define FILE_MAX     8192U
#define MOUNTS_MAX   100U

/* The day in "(2026-01-31)" as Debian writes it, or in "Sat Jan 31 10:00:00 UTC 2026". */
static bool parse_day(const char *text, struct tm *ret)
{
	const char *at = strrchr(text, '(');
	struct tm t = { 0 };

	if (at != NULL && strptime(at, "(%Y-%m-%d)", &t) != NULL) {
		*ret = t;
		return true;
	}
	for (at = text; (at = strchr(at, ' ')) != NULL; at++) {
		const char *zone = strptime(at, " %b %d %H:%M:%S ", &t);
		const char *year = zone == NULL ? NULL : strchr(zone, ' ');
		if (year != NULL && strptime(year, " %Y", &t) != NULL) {
			*ret = t;
			return true;
		}
	}
	return false;
}

static void check_version(struct checkup *c)
{
	char line[512], release[96];
	struct tm day;
	double days;

	if (checkup_read_line(c, "proc/version", line, sizeof(line)) < 0 ||
	    checkup_read_line(c, "proc/sys/kernel/osrelease", release, sizeof(release)) < 0) {
		checkup_found(c, HOSTCHECK_WARN, "unknown");
		return;
	}
	if (!parse_day(line, &day)) {
		checkup_found(c, HOSTCHECK_INFO, "%.90s, of unknown age", release);
		return;
	}
	days = difftime(time(NULL), timegm(&day)) / 86400;
	checkup_found(c, days > AGE_DAYS_MAX ? HOSTCHECK_WARN : HOSTCHECK_OK,
		      "%.90s, built %d days ago", release, (int)days);
}

/* How the kernel was built, where the distribution put that into a file. */
static void check_config(struct checkup *c)
{
	static const char *const want[] = {
		"CONFIG_STRICT_KERNEL_RWX=y",	  "CONFIG_STRICT_DEVMEM=y",
		"CONFIG_HARDENED_USERCOPY=y",	  "CONFIG_SLAB_FREELIST_HARDENED=y",
		"CONFIG_SLAB_FREELIST_RANDOM=y",  "CONFIG_INIT_ON_ALLOC_DEFAULT_ON=y",
		"CONFIG_STACKPROTECTOR_STRONG=y", "CONFIG_VMAP_STACK=y",
		"CONFIG_RANDOMIZE_BASE=y",	  "CONFIG_BPF_JIT_ALWAYS_ON=y",
	};
	bool seen[ARRAY_SIZE(want)] = { false };
	struct words missing = { .len = 0 };
	char line[256], path[160];
	FILE *f;
	int fd;

	if (checkup_read_line(c, "proc/sys/kernel/osrelease", line, 96) < 0 ||
	    strchr(line, '/') != NULL)
		line[0] = '\0';
	(void)snprintf(path, sizeof(path), "boot/config-%.96s", line);
	fd = openat(c->rootfd, path, O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (f == NULL) {
		fd_closep(&fd);
		checkup_found(c, HOSTCHECK_INFO, "unknown: no /boot/config-*");
		return;
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(want); i++)
			seen[i] = seen[i] || strcmp(line, want[i]) == 0;
		if (strcmp(line, "CONFIG_X86_X32_ABI=y") == 0)
			words_add(&missing, "not CONFIG_X86_X32_ABI");
	}
	(void)fclose(f);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		if (!seen[i])
			words_add(&missing, want[i]);
	checkup_found(c, missing.len > 0 ? HOSTCHECK_WARN : HOSTCHECK_OK, "%s",
		      missing.len > 0 ? missing.text : "hardened");
}

static void check_swap(struct checkup *c)
{
	char text[FILE_MAX];
	const char *second;

	if (fd_read_file(c->rootfd, "proc/swaps", text, sizeof(text)) < 0) {
		checkup_found(c, HOSTCHECK_INFO, "unknown");
		return;
	}
	second = strchr(text, '\n');
	if (second == NULL || second[1] == '\0')
		checkup_found(c, HOSTCHECK_OK, "none");
	else
		checkup_found(c, HOSTCHECK_FAIL, "%.*s", (int)strcspn(second + 1, " \t\n"),
			      second + 1);
}

static void check_cgroup(struct checkup *c)
{
	static const char *const need[] = { "cpu", "memory", "pids" };
	char line[256];
	bool all = true;

	if (checkup_read_line(c, "sys/fs/cgroup/cgroup.controllers", line, sizeof(line)) < 0) {
		checkup_found(c, HOSTCHECK_WARN, "v1 or none");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(need); i++)
		all = all && words_have(line, need[i]);
	checkup_found(c,
		      !all		       ? HOSTCHECK_FAIL
		      : words_have(line, "io") ? HOSTCHECK_OK
					       : HOSTCHECK_WARN,
		      "v2: %.120s", line);
}

static void check_selinux(struct checkup *c)
{
	char line[16];
	ssize_t n = checkup_read_line(c, "sys/fs/selinux/enforce", line, sizeof(line));

	checkup_found(c, n > 0 && line[0] == '1' ? HOSTCHECK_OK : HOSTCHECK_FAIL, "%s",
		      n <= 0	       ? "absent"
		      : line[0] == '1' ? "enforcing"
				       : "permissive");
}

static void check_landlock(struct checkup *c)
{
	char line[256], list[256], *at = list;

	if (checkup_read_line(c, "sys/kernel/security/lsm", line, sizeof(line)) < 0) {
		checkup_found(c, HOSTCHECK_INFO, "unknown: securityfs is not mounted");
		return;
	}
	memcpy(list, line, sizeof(list));
	for (const char *word = words_next(&at); word != NULL; word = words_next(&at)) {
		if (strcmp(word, "landlock") == 0) {
			checkup_found(c, HOSTCHECK_OK, "%.120s", line);
			return;
		}
	}
	checkup_found(c, HOSTCHECK_WARN, "%.120s", line);
}

static void check_core_pattern(struct checkup *c)
{
	char line[160];

	if (checkup_read_line(c, "proc/sys/kernel/core_pattern", line, sizeof(line)) < 0)
		checkup_found(c, HOSTCHECK_INFO, "unknown");
	else
		checkup_found(c, line[0] == '|' ? HOSTCHECK_WARN : HOSTCHECK_OK, "%.100s", line);
}

/* A namespace of mounts is copied for each jail. */
static void check_mounts(struct checkup *c)
{
	static char text[1U << 16];
	unsigned n = 0;

	if (fd_read_file(c->rootfd, "proc/self/mountinfo", text, sizeof(text)) < 0)
		return;
	for (const char *p = text; *p != '\0'; p++)
		n += *p == '\n';
	checkup_found(c, n > MOUNTS_MAX ? HOSTCHECK_INFO : HOSTCHECK_OK, "%u", n);
}

static void check_console(struct checkup *c)
{
	char line[64];

	if (checkup_read_line(c, "proc/sys/kernel/printk", line, sizeof(line)) < 0)
		return;
	line[strcspn(line, " \t")] = '\0';
	checkup_found(c, strlen(line) == 1 && line[0] <= '4' ? HOSTCHECK_OK : HOSTCHECK_INFO,
		      "level %.8s", line);
}

static void check_hidepid(struct checkup *c)
{
	static char text[1U << 16];
	const char *proc;

	if (fd_read_file(c->rootfd, "proc/self/mounts", text, sizeof(text)) < 0)
		return;
	proc = strstr(text, " /proc proc ");
	if (proc == NULL)
		return;
	text[(size_t)(proc - text) + strcspn(proc, "\n")] = '\0';
	checkup_found(c, strstr(proc, "hidepid=") != NULL ? HOSTCHECK_OK : HOSTCHECK_INFO, "%s",
		      strstr(proc, "hidepid=") != NULL ? "hidepid"
						       : "every user sees all processes");
}

const struct check hostcheck_kernel[] = {
	{ "kernel", check_version, "built in the last 90 days: what is known is mended",
	  "update the kernel and boot it, or patch it live" },
	{ "kernel-config", check_config, "options that stop whole classes of attacks",
	  "use a distribution's kernel, or build these in" },
	{ "swap", check_swap, "none: guests' memory must not reach a disk in clear",
	  "swapoff -a, or encrypt it with a random key" },
	{ "cgroup", check_cgroup, "v2 with cpu, memory, pids and io: limits that hold",
	  "boot with systemd.unified_cgroup_hierarchy=1, or enable the controllers in "
	  "cgroup.subtree_control" },
	{ "selinux", check_selinux,
	  "enforcing: the layer that separates sandboxes when another one fails",
	  "enable SELinux with Casemate's policy, or accept the risk with the jailer's "
	  "--allow-no-selinux" },
	{ "landlock", check_landlock, "in the LSM list: the VMM denies itself all files",
	  "add landlock to lsm=" },
	{ "core-pattern", check_core_pattern,
	  "a file: a pipe starts a helper as root on a tenant's command (VMMs don't dump)",
	  "sysctl kernel.core_pattern=core" },
	{ "proc-hidepid", check_hidepid, "hidepid=2: users don't see each other's processes",
	  "mount -o remount,hidepid=2 /proc" },
	{ "mounts", check_mounts, "at most 100: each jail copies them first",
	  "unmount what isn't needed, or give the jailer a mount namespace of its own" },
	{ "console", check_console, "level 4 or less: a console that prints slows every start",
	  "boot with quiet, or sysctl kernel.printk=4" },
	{ NULL, NULL, NULL, NULL },
};
