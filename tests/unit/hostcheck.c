/* SPDX-License-Identifier: Apache-2.0 */
/* doctor's checks over a made-up /proc and /sys. */
#include "api/host/hostcheck.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/casemate-hostcheck.XXXXXX";
static struct hostcheck found[64];
static size_t count;

static void make_dirs(char *path)
{
	for (char *p = strchr(path + sizeof(root), '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)mkdir(path, 0755);
		*p = '/';
	}
}

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	make_dirs(path);
	f = fopen(path, "w");
	cr_assert_not_null(f, "%s", path);
	fputs(text, f);
	fclose(f);
}

static void keep(const struct hostcheck *c, void *arg)
{
	(void)arg;
	cr_assert_lt(count, 64);
	found[count++] = *c;
}

static const struct hostcheck *check(const char *id)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(found[i].id, id) == 0)
			return &found[i];
	cr_assert_fail("no check %s", id);
	return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void run(void)
{
	int fd = open(root, O_PATH | O_DIRECTORY);

	cr_assert_geq(fd, 0);
	hostcheck_run(fd, keep, NULL);
	close(fd);
	/* Before any assertion can fail. */
	cr_assert_eq(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(root));
}

Test(hostcheck, good_host, .init = set_up)
{
	put("dev/kvm", "");
	put("sys/module/kvm_intel/parameters/nested", "N\n");
	put("sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
	put("proc/cmdline", "root=/dev/sda1 mitigations=auto,nosmt\n");
	put("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
	put("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
	put("sys/fs/selinux/enforce", "1");
	put("sys/kernel/mm/ksm/run", "0\n");
	put("proc/sys/kernel/randomize_va_space", "2\n");
	run();
	cr_assert_eq(check("kvm-kind")->level, HOSTCHECK_OK);
	cr_assert_eq(check("kvm-nested")->level, HOSTCHECK_OK);
	cr_assert_eq(check("cpu-vulnerabilities")->level, HOSTCHECK_OK);
	cr_assert_eq(check("cmdline")->level, HOSTCHECK_OK);
	cr_assert_eq(check("swap")->level, HOSTCHECK_OK);
	cr_assert_eq(check("cgroup")->level, HOSTCHECK_OK);
	cr_assert_eq(check("selinux")->level, HOSTCHECK_OK);
	cr_assert_eq(check("ksm")->level, HOSTCHECK_OK);
	cr_assert_eq(check("aslr")->level, HOSTCHECK_OK);
	cr_assert_str_eq(check("ksm")->fix, "");
}

Test(hostcheck, bad_host, .init = set_up)
{
	put("dev/null", "");
	put("sys/module/kvm_amd/parameters/nested", "1\n");
	put("sys/devices/system/cpu/vulnerabilities/retbleed", "Vulnerable\n");
	put("sys/devices/system/cpu/vulnerabilities/mds", "Vulnerable: Clear CPU\n");
	put("proc/cmdline", "quiet mitigations=off nopti\n");
	put("proc/swaps", "Filename\tType\n/dev/sda2 partition 1 0 -2\n");
	put("sys/fs/selinux/enforce", "0");
	put("sys/kernel/mm/ksm/run", "1\n");
	put("proc/sys/kernel/randomize_va_space", "rubbish\033[2J\n");
	run();
	cr_assert_eq(check("kvm")->level, HOSTCHECK_FAIL);
	cr_assert_eq(check("kvm-nested")->level, HOSTCHECK_FAIL);
	cr_assert_eq(check("cpu-vulnerabilities")->level, HOSTCHECK_FAIL);
	cr_assert_not_null(strstr(check("cpu-vulnerabilities")->value, "retbleed"));
	cr_assert_not_null(strstr(check("cpu-vulnerabilities")->value, "mds"));
	cr_assert_eq(check("cmdline")->level, HOSTCHECK_FAIL);
	cr_assert_str_eq(check("cmdline")->value, "mitigations=off nopti");
	cr_assert_eq(check("swap")->level, HOSTCHECK_FAIL);
	cr_assert_str_eq(check("swap")->value, "/dev/sda2");
	cr_assert_eq(check("cgroup")->level, HOSTCHECK_WARN);
	cr_assert_eq(check("selinux")->level, HOSTCHECK_FAIL);
	cr_assert_str_eq(check("selinux")->value, "permissive");
	cr_assert_eq(check("ksm")->level, HOSTCHECK_FAIL);
	cr_assert_eq(check("aslr")->level, HOSTCHECK_WARN);
	cr_assert_str_eq(check("aslr")->value, "rubbish\\x1b[2J");
}

/* What can't be read is never called fine unless its absence is what is wanted. */
Test(hostcheck, empty_host, .init = set_up)
{
	put("dev/null", "");
	run();
	for (size_t i = 0; i < count; i++)
		if (found[i].level == HOSTCHECK_OK)
			cr_assert_not_null(strstr("ksm userfaultfd kexec", found[i].id), "%s",
					   found[i].id);
	cr_assert_gt(count, 20);
}
