/* SPDX-License-Identifier: Apache-2.0 */
/* doctor's checks over a made-up /proc and /sys. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/host/hostcheck_internal.h"
#include "base/num.h"

static char root[] = "/tmp/casemate-hostcheck.XXXXXX";
static struct hostcheck results[128];
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
	cr_assert_lt(count, 128);
	results[count++] = *c;
}

static const struct hostcheck *check(const char *id)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(results[i].code, id) == 0)
			return &results[i];
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

static bool is_setting(const char *code)
{
	for (const struct number_check *n = hostcheck_numbers; n->code != NULL; n++)
		if (strcmp(n->code, code) == 0)
			return true;
	for (const struct word_check *w = hostcheck_words; w->code != NULL; w++)
		if (strcmp(w->code, code) == 0)
			return true;
	return false;
}

static bool absence_is_good(const char *code)
{
	for (const struct number_check *n = hostcheck_numbers; n->code != NULL; n++)
		if (strcmp(n->code, code) == 0)
			return n->absent == HOSTCHECK_OK;
	for (const struct word_check *w = hostcheck_words; w->code != NULL; w++)
		if (strcmp(w->code, code) == 0)
			return w->absent == HOSTCHECK_OK;
	return false;
}

static void make_writable(const char *dir)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, dir);
	cr_assert_eq(chmod(path, 0777), 0);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(root));
}

static void expect(const char *code, enum hostcheck_level level, const char *what)
{
	const struct hostcheck *c = check(code);

	cr_expect_eq(c->level, level, "%s is %s: %s", code, hostcheck_level_name(c->level),
		     c->what);
	cr_expect(what == NULL || strstr(c->what, what) != NULL, "%s says: %s", code, c->what);
	cr_expect(level == HOSTCHECK_OK ? c->fix[0] == '\0' : c->why[0] != '\0', "%s", code);
}

static void put_version(time_t built)
{
	char text[160], day[16];
	struct tm tm;

	(void)strftime(day, sizeof(day), "%Y-%m-%d", gmtime_r(&built, &tm));
	snprintf(text, sizeof(text), "Linux version 6.1.0 (x@y) #1 SMP Debian 6.1.1-1 (%s)\n", day);
	put("proc/version", text);
	put("proc/sys/kernel/osrelease", "6.1.0\n");
}

static const char config[] =
	"CONFIG_STRICT_KERNEL_RWX=y\nCONFIG_STRICT_DEVMEM=y\nCONFIG_HARDENED_USERCOPY=y\n"
	"CONFIG_SLAB_FREELIST_HARDENED=y\nCONFIG_SLAB_FREELIST_RANDOM=y\n"
	"CONFIG_INIT_ON_ALLOC_DEFAULT_ON=y\nCONFIG_STACKPROTECTOR_STRONG=y\nCONFIG_VMAP_STACK=y\n"
	"CONFIG_RANDOMIZE_BASE=y\nCONFIG_BPF_JIT_ALWAYS_ON=y\n";

static void put_mode(const char *name, const char *text, mode_t mode)
{
	char path[256];

	put(name, text);
	snprintf(path, sizeof(path), "%s/%s", root, name);
	cr_assert_eq(chmod(path, mode), 0);
}

Test(hostcheck, good_host, .init = set_up)
{
	put_mode("dev/kvm", "", 0660);
	put_mode("dev/net/tun", "", 0600);
	put("sys/module/kvm_intel/parameters/nested", "N\n");
	put("sys/module/kvm/parameters/nx_huge_pages", "auto\n");
	put("sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
	put("sys/devices/system/cpu/vulnerabilities/old_microcode", "Not affected\n");
	put("sys/devices/system/edac/mc/mc0/size_mb", "1\n");
	put("proc/cmdline", "root=/dev/sda1 mitigations=auto,nosmt ia32_emulation=0\n");
	put("proc/sys/abi/vsyscall32", "1\n");
	put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu rdrand sse\n");
	put_version(time(NULL));
	put("boot/config-6.1.0", config);
	put("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
	put("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
	put("sys/fs/selinux/enforce", "1");
	put("sys/kernel/security/lsm", "lockdown,capability,landlock,yama,selinux\n");
	put("proc/sys/kernel/core_pattern", "core\n");
	put("proc/sys/kernel/printk", "4\t4\t1\t7\n");
	put("proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
	put("proc/self/mounts", "proc /proc proc rw,hidepid=invisible 0 0\n");
	run();
	for (size_t i = 0; i < count; i++) {
		if (strncmp(results[i].code, "store-", 6) == 0 || is_setting(results[i].code))
			continue;
		expect(results[i].code, HOSTCHECK_OK, NULL);
	}
	cr_assert_gt(count, 20);
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
	put("dev/vhost-net", "");
	put("sys/module/kvm/parameters/nx_huge_pages", "never\n");
	put("sys/devices/system/cpu/vulnerabilities/old_microcode", "Vulnerable\n");
	put("proc/sys/abi/vsyscall32", "1\n");
	put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu rdrand2\n");
	put_version(1500000000);
	put("boot/config-6.1.0", "CONFIG_X86_X32_ABI=y\n# CONFIG_STRICT_DEVMEM is not set\n");
	put("sys/fs/cgroup/cgroup.controllers", "cpuset io pids\n");
	put("sys/kernel/security/lsm", "capability,landlocked\n");
	put("proc/sys/kernel/core_pattern", "|/usr/bin/helper %p\n");
	put("proc/sys/kernel/printk", "7\t4\t1\t7\n");
	put("proc/self/mounts", "proc /proc proc rw 0 0\nx /x tmpfs hidepid=2 0 0\n");
	put_mode("var/lib/casemate/images/i/root.erofs", "x", 0666);
	put("var/lib/casemate/kernels/k/kernel", "x");
	make_writable("var/lib");
	run();
	expect("kvm", HOSTCHECK_FAIL, "no /dev/kvm");
	expect("kvm-nested", HOSTCHECK_FAIL, "1");
	expect("kvm-nx-huge-pages", HOSTCHECK_WARN, "never");
	expect("vhost", HOSTCHECK_WARN, "dev/vhost-net");
	expect("cpu-vulnerabilities", HOSTCHECK_FAIL, "retbleed");
	expect("cpu-vulnerabilities", HOSTCHECK_FAIL, "mds");
	cr_expect_null(strstr(check("cpu-vulnerabilities")->what, "microcode"));
	expect("microcode", HOSTCHECK_WARN, NULL);
	cr_expect_str_eq(check("cmdline")->what, "mitigations=off nopti");
	expect("cmdline", HOSTCHECK_FAIL, NULL);
	expect("ia32", HOSTCHECK_WARN, NULL);
	expect("entropy", HOSTCHECK_INFO, "no rdrand");
	expect("kernel", HOSTCHECK_WARN, "6.1.0, built");
	expect("kernel-config", HOSTCHECK_WARN, "CONFIG_STRICT_DEVMEM");
	expect("kernel-config", HOSTCHECK_WARN, "not CONFIG_X86_X32_ABI");
	expect("swap", HOSTCHECK_FAIL, "/dev/sda2");
	expect("cgroup", HOSTCHECK_FAIL, "v2");
	expect("selinux", HOSTCHECK_FAIL, "permissive");
	expect("landlock", HOSTCHECK_WARN, "landlocked");
	expect("core-pattern", HOSTCHECK_WARN, "helper");
	expect("console", HOSTCHECK_INFO, "7");
	expect("proc-hidepid", HOSTCHECK_INFO, NULL);
	expect("store-parents", HOSTCHECK_FAIL, "var/lib");
	expect("store-files", HOSTCHECK_FAIL, "i");
	expect("ksm", HOSTCHECK_FAIL, "1");
	expect("aslr", HOSTCHECK_WARN, "rubbish\\x1b[2J");
}

/* Distributions differ in how they say when a kernel was built. */
Test(hostcheck, age_of_a_kernel, .init = set_up)
{
	put("proc/version",
	    "Linux version 6.1 (x@y) (gcc (GCC) 1) #9 SMP Sat Jan 31 10:00:00 UTC 2015\n");
	put("proc/sys/kernel/osrelease", "6.1\n");
	run();
	expect("kernel", HOSTCHECK_WARN, "built");
}

static void put_number(const struct number_check *n, bool good)
{
	char text[32];

	if (good)
		snprintf(text, sizeof(text), "%llu\n", (unsigned long long)n->max);
	else if (n->max < UINT64_MAX)
		snprintf(text, sizeof(text), "%llu\n", (unsigned long long)n->max + 1);
	else
		snprintf(text, sizeof(text), "%llu\n", (unsigned long long)n->min - 1);
	put(n->path, text);
}

static void put_word(const struct word_check *w, bool good)
{
	char text[64], word[32] = "";

	memcpy(word, w->good, MIN(strcspn(w->good, " "), sizeof(word) - 1));
	snprintf(text, sizeof(text), good ? "other [%s]\n" : "[other] %s\n", word);
	put(w->path, text);
}

static void put_settings(bool good)
{
	for (const struct number_check *n = hostcheck_numbers; n->code != NULL; n++)
		put_number(n, good);
	for (const struct word_check *w = hostcheck_words; w->code != NULL; w++)
		put_word(w, good);
}

/* Each line of the two tables, at the edge of what is good, and beyond it. */
Test(hostcheck, each_setting_that_is_good, .init = set_up)
{
	put_settings(true);
	run();
	for (const struct number_check *n = hostcheck_numbers; n->code != NULL; n++)
		expect(n->code, HOSTCHECK_OK, NULL);
	for (const struct word_check *w = hostcheck_words; w->code != NULL; w++)
		expect(w->code, HOSTCHECK_OK, NULL);
}

Test(hostcheck, each_setting_that_is_bad, .init = set_up)
{
	put_settings(false);
	run();
	for (const struct number_check *n = hostcheck_numbers; n->code != NULL; n++)
		expect(n->code, n->bad, NULL);
	for (const struct word_check *w = hostcheck_words; w->code != NULL; w++)
		expect(w->code, w->bad, "other");
}

/* What can't be read is never called fine unless its absence is what is wanted. */
Test(hostcheck, empty_host, .init = set_up)
{
	put("dev/null", "");
	run();
	for (size_t i = 0; i < count; i++)
		if (results[i].level == HOSTCHECK_OK && strcmp(results[i].code, "vhost") != 0)
			cr_expect(absence_is_good(results[i].code), "%s", results[i].code);
	cr_assert_gt(count, 20);
}
