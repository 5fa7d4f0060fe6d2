/* SPDX-License-Identifier: Apache-2.0 */
#include "api/host/hostcheck.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define HOSTCHECK_FILE_MAX 8192U

struct run {
	int rootfd;
	void (*fn)(const struct hostcheck *c, void *arg);
	void *arg;
};

static const char *const level_names[] = {
	[HOSTCHECK_OK] = "ok",
	[HOSTCHECK_INFO] = "I",
	[HOSTCHECK_WARN] = "W",
	[HOSTCHECK_FAIL] = "F",
};
_Static_assert(ARRAY_SIZE(level_names) == HOSTCHECK_LEVEL_COUNT, "a name for each level");

const char *hostcheck_level_name(enum hostcheck_level level)
{
	BUG_ON(level >= HOSTCHECK_LEVEL_COUNT);
	return level_names[level];
}

static void report(const struct run *run, const char *id, enum hostcheck_level level,
		   const char *want, const char *fix, const char *fmt, ...) PRINTF(6, 7);

static void report(const struct run *run, const char *id, enum hostcheck_level level,
		   const char *want, const char *fix, const char *fmt, ...)
{
	struct hostcheck c = { .id = id, .level = level, .want = want };
	char text[sizeof(c.value)];
	va_list ap;

	c.fix = level == HOSTCHECK_OK ? "" : fix;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)log_escape(c.value, sizeof(c.value), text, strlen(text));
	run->fn(&c, run->arg);
}

/* The first line of a file: length or -errno. */
static ssize_t read_line(const struct run *run, const char *path, char *buf, size_t cap)
{
	ssize_t n = fd_read_file(run->rootfd, path, buf, cap);

	if (n >= 0)
		buf[strcspn(buf, "\n")] = '\0';
	return n;
}

/* ---- Files that hold one number ------------------------------------------------------------ */

struct number_check {
	const char *id;
	const char *path;
	uint64_t min, max;
	enum hostcheck_level bad;
	enum hostcheck_level absent; /* a kernel without the file: OK = the danger isn't there */
	const char *want;
	const char *fix;
};

static const struct number_check numbers[] = {
	{ "ksm", "sys/kernel/mm/ksm/run", 0, 0, HOSTCHECK_FAIL, HOSTCHECK_OK,
	  "0: merged pages tell tenants what others have in memory",
	  "echo 0 >/sys/kernel/mm/ksm/run" },
	{ "smt", "sys/devices/system/cpu/smt/active", 0, 0, HOSTCHECK_FAIL, HOSTCHECK_INFO,
	  "0: two tenants must not share a core",
	  "boot with nosmt, or echo off >/sys/devices/system/cpu/smt/control" },
	{ "bpf-unprivileged", "proc/sys/kernel/unprivileged_bpf_disabled", 1, 2, HOSTCHECK_WARN,
	  HOSTCHECK_INFO, "1 or 2", "sysctl kernel.unprivileged_bpf_disabled=1" },
	{ "bpf-jit-harden", "proc/sys/net/core/bpf_jit_harden", 1, 2, HOSTCHECK_WARN,
	  HOSTCHECK_INFO, "1 or 2", "sysctl net.core.bpf_jit_harden=2" },
	{ "perf", "proc/sys/kernel/perf_event_paranoid", 2, 9, HOSTCHECK_WARN, HOSTCHECK_INFO,
	  "2 or more", "sysctl kernel.perf_event_paranoid=2" },
	{ "io-uring", "proc/sys/kernel/io_uring_disabled", 1, 2, HOSTCHECK_WARN, HOSTCHECK_INFO,
	  "1 or 2", "sysctl kernel.io_uring_disabled=2" },
	{ "userfaultfd", "proc/sys/vm/unprivileged_userfaultfd", 0, 0, HOSTCHECK_WARN, HOSTCHECK_OK,
	  "0", "sysctl vm.unprivileged_userfaultfd=0" },
	{ "kptr", "proc/sys/kernel/kptr_restrict", 1, 2, HOSTCHECK_WARN, HOSTCHECK_INFO, "1 or 2",
	  "sysctl kernel.kptr_restrict=2" },
	{ "dmesg", "proc/sys/kernel/dmesg_restrict", 1, 1, HOSTCHECK_WARN, HOSTCHECK_INFO, "1",
	  "sysctl kernel.dmesg_restrict=1" },
	{ "aslr", "proc/sys/kernel/randomize_va_space", 2, 2, HOSTCHECK_WARN, HOSTCHECK_INFO, "2",
	  "sysctl kernel.randomize_va_space=2" },
	{ "ptrace", "proc/sys/kernel/yama/ptrace_scope", 1, 3, HOSTCHECK_WARN, HOSTCHECK_WARN,
	  "1 or more (Yama)", "add yama to lsm= and sysctl kernel.yama.ptrace_scope=1" },
	{ "suid-dumpable", "proc/sys/fs/suid_dumpable", 0, 0, HOSTCHECK_WARN, HOSTCHECK_INFO, "0",
	  "sysctl fs.suid_dumpable=0" },
	{ "protected-hardlinks", "proc/sys/fs/protected_hardlinks", 1, 1, HOSTCHECK_WARN,
	  HOSTCHECK_INFO, "1", "sysctl fs.protected_hardlinks=1" },
	{ "protected-symlinks", "proc/sys/fs/protected_symlinks", 1, 1, HOSTCHECK_WARN,
	  HOSTCHECK_INFO, "1", "sysctl fs.protected_symlinks=1" },
	{ "protected-regular", "proc/sys/fs/protected_regular", 1, 2, HOSTCHECK_WARN,
	  HOSTCHECK_INFO, "1 or 2", "sysctl fs.protected_regular=2" },
	{ "protected-fifos", "proc/sys/fs/protected_fifos", 1, 2, HOSTCHECK_WARN, HOSTCHECK_INFO,
	  "1 or 2", "sysctl fs.protected_fifos=2" },
	{ "kexec", "proc/sys/kernel/kexec_load_disabled", 1, 1, HOSTCHECK_WARN, HOSTCHECK_OK, "1",
	  "sysctl kernel.kexec_load_disabled=1" },
	{ "tiocsti", "proc/sys/dev/tty/legacy_tiocsti", 0, 0, HOSTCHECK_WARN, HOSTCHECK_INFO, "0",
	  "sysctl dev.tty.legacy_tiocsti=0" },
	{ "split-lock", "proc/sys/kernel/split_lock_mitigate", 1, 1, HOSTCHECK_WARN, HOSTCHECK_INFO,
	  "1", "sysctl kernel.split_lock_mitigate=1" },
};

static void check_number(const struct run *run, const struct number_check *c)
{
	char line[64];
	uint64_t n;
	ssize_t r = read_line(run, c->path, line, sizeof(line));

	if (r == -ENOENT) {
		report(run, c->id, c->absent, c->want, c->fix, "not there");
		return;
	}
	if (r < 0) { /* the daemon's own confinement may deny it */
		report(run, c->id, HOSTCHECK_WARN, c->want, c->fix, "unknown: %s",
		       strerror((int)-r));
		return;
	}
	if (parse_u64(line, 0, UINT64_MAX, &n) < 0)
		report(run, c->id, c->bad, c->want, c->fix, "%.40s", line);
	else
		report(run, c->id, n >= c->min && n <= c->max ? HOSTCHECK_OK : c->bad, c->want,
		       c->fix, "%s", line);
}

/* ---- KVM ----------------------------------------------------------------------------------- */

static const char *kvm_module(const struct run *run)
{
	struct stat st;

	if (fstatat(run->rootfd, "sys/module/kvm_intel", &st, 0) == 0)
		return "kvm_intel";
	if (fstatat(run->rootfd, "sys/module/kvm_amd", &st, 0) == 0)
		return "kvm_amd";
	return NULL;
}

static void check_kvm(const struct run *run)
{
	static const char want[] = "/dev/kvm, mode 0660 or less";
	static const char fix[] =
		"modprobe kvm_intel or kvm_amd; enable virtualization in the firmware";
	const char *module = kvm_module(run);
	struct stat st;

	if (fstatat(run->rootfd, "dev/kvm", &st, 0) < 0 && errno != ENOENT)
		report(run, "kvm", HOSTCHECK_INFO, want, fix, "unknown: %s", strerror(errno));
	else if (fstatat(run->rootfd, "dev/kvm", &st, 0) < 0)
		report(run, "kvm", HOSTCHECK_FAIL, want, fix, "no /dev/kvm");
	else if ((st.st_mode & 06) != 0)
		report(run, "kvm", HOSTCHECK_WARN, want, "chmod 0660 /dev/kvm",
		       "open to everybody: mode %04o", (unsigned)(st.st_mode & 07777));
	else
		report(run, "kvm", HOSTCHECK_OK, want, "", "mode %04o",
		       (unsigned)(st.st_mode & 07777));
	report(run, "kvm-kind", module != NULL ? HOSTCHECK_OK : HOSTCHECK_WARN,
	       "hardware: kvm_intel or kvm_amd",
	       "use a machine with VT-x or AMD-V; a software-only KVM can't boot stock kernels",
	       "%s", module != NULL ? module : "software-only or none");
}

static void check_nested(const struct run *run)
{
	static const char want[] = "off: the least tested part of KVM";
	const char *module = kvm_module(run);
	char path[64], line[16];

	if (module == NULL)
		return;
	(void)snprintf(path, sizeof(path), "sys/module/%s/parameters/nested", module);
	if (read_line(run, path, line, sizeof(line)) < 0)
		report(run, "kvm-nested", HOSTCHECK_WARN, want, "", "unknown");
	else
		report(run, "kvm-nested",
		       line[0] == 'N' || line[0] == '0' ? HOSTCHECK_OK : HOSTCHECK_FAIL, want,
		       "load the module with nested=0", "%s", line);
}

/* ---- The CPU's mitigations ----------------------------------------------------------------- */

/* A list of words as far as it fits; the last ones are dropped. */
struct words {
	char text[120];
	size_t len;
};

static void words_add(struct words *w, const char *word)
{
	size_t len = strlen(word), sep = w->len > 0 ? 1 : 0;

	if (len + sep >= sizeof(w->text) - w->len)
		return;
	if (sep > 0)
		w->text[w->len] = ' ';
	memcpy(w->text + w->len + sep, word, len + 1);
	w->len += sep + len;
}

static void check_vulnerabilities(const struct run *run)
{
	static const char dir[] = "sys/devices/system/cpu/vulnerabilities";
	static const char want[] = "no line that starts with \"Vulnerable\"";
	static const char fix[] = "update kernel and microcode; remove mitigations=off";
	struct words bad = { .len = 0 };
	int fd = openat(run->rootfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char line[256];

	if (d == NULL) {
		fd_closep(&fd);
		report(run, "cpu-vulnerabilities", HOSTCHECK_WARN, want, fix, "unknown");
		return;
	}
	for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		if (e->d_name[0] != '.' &&
		    fd_read_file(dirfd(d), e->d_name, line, sizeof(line)) >= 0 &&
		    strncmp(line, "Vulnerable", 10) == 0)
			words_add(&bad, e->d_name);
	(void)closedir(d);
	report(run, "cpu-vulnerabilities", bad.len > 0 ? HOSTCHECK_FAIL : HOSTCHECK_OK, want, fix,
	       "%s", bad.len > 0 ? bad.text : "none");
}

/* The next word of a list with spaces or commas, cut out of the text; NULL = no more. */
static char *next_word(char **at)
{
	char *word = *at + strspn(*at, " ,");
	size_t len = strcspn(word, " ,");

	if (len == 0)
		return NULL;
	*at = word + len;
	if (**at != '\0')
		*(*at)++ = '\0';
	return word;
}

static void check_cmdline(const struct run *run)
{
	static const char *const weak[] = {
		"mitigations=off",
		"nopti",
		"pti=off",
		"nospectre_v1",
		"nospectre_v2",
		"spectre_v2=off",
		"spec_store_bypass_disable=off",
		"l1tf=off",
		"mds=off",
		"tsx_async_abort=off",
		"retbleed=off",
		"kvm-intel.vmentry_l1d_flush=never",
		"spectre_bhi=off",
		"vmscape=off",
		"no_guest_host",
		"no_guest_guest",
	};
	static const char want[] = "nothing that weakens mitigations";
	struct words found = { .len = 0 };
	char line[4096];

	if (read_line(run, "proc/cmdline", line, sizeof(line)) < 0) {
		report(run, "cmdline", HOSTCHECK_WARN, want, "", "unknown");
		return;
	}
	for (char *save = NULL, *word = strtok_r(line, " ,", &save); word != NULL;
	     word = next_word(&save))
		for (size_t i = 0; i < ARRAY_SIZE(weak); i++)
			if (strcmp(word, weak[i]) == 0)
				words_add(&found, word);
	report(run, "cmdline", found.len > 0 ? HOSTCHECK_FAIL : HOSTCHECK_OK, want,
	       "remove it from the kernel's command line", "%s",
	       found.len > 0 ? found.text : "none");
}

/* ---- Memory, cgroups, LSM ------------------------------------------------------------------ */

static void check_swap(const struct run *run)
{
	static const char want[] = "none: guests' memory must not reach a disk in clear";
	char text[HOSTCHECK_FILE_MAX];
	const char *second;

	if (fd_read_file(run->rootfd, "proc/swaps", text, sizeof(text)) < 0) {
		report(run, "swap", HOSTCHECK_INFO, want, "", "unknown");
		return;
	}
	second = strchr(text, '\n');
	if (second == NULL || second[1] == '\0')
		report(run, "swap", HOSTCHECK_OK, want, "", "none");
	else
		report(run, "swap", HOSTCHECK_FAIL, want,
		       "swapoff -a, or encrypt it with a random key", "%.*s",
		       (int)strcspn(second + 1, " \t\n"), second + 1);
}

static void check_cgroup(const struct run *run)
{
	static const char want[] = "v2 with cpu, memory, pids";
	static const char fix[] =
		"boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 on /sys/fs/cgroup";
	char line[256];

	if (read_line(run, "sys/fs/cgroup/cgroup.controllers", line, sizeof(line)) < 0) {
		report(run, "cgroup", HOSTCHECK_WARN, want, fix, "v1 or none");
		return;
	}
	bool all = strstr(line, "cpu") != NULL && strstr(line, "memory") != NULL &&
		   strstr(line, "pids") != NULL;
	report(run, "cgroup", all ? HOSTCHECK_OK : HOSTCHECK_FAIL, want,
	       "enable the controllers in cgroup.subtree_control", "v2: %.120s", line);
}

static void check_lsm(const struct run *run)
{
	char line[256];
	ssize_t n = read_line(run, "sys/fs/selinux/enforce", line, sizeof(line));

	report(run, "selinux", n > 0 && line[0] == '1' ? HOSTCHECK_OK : HOSTCHECK_FAIL, "enforcing",
	       "enable SELinux with Casemate's policy, or accept the risk with the jailer's --allow-no-selinux",
	       "%s",
	       n <= 0		? "absent"
	       : line[0] == '1' ? "enforcing"
				: "permissive");
	if (read_line(run, "sys/kernel/security/lsm", line, sizeof(line)) < 0)
		report(run, "landlock", HOSTCHECK_INFO, "in the LSM list", "mount securityfs",
		       "unknown: securityfs is not mounted");
	else
		report(run, "landlock",
		       strstr(line, "landlock") != NULL ? HOSTCHECK_OK : HOSTCHECK_WARN,
		       "in the LSM list", "add landlock to lsm=", "%.120s", line);
}

static void check_clock(const struct run *run)
{
	static const char path[] =
		"sys/devices/system/clocksource/clocksource0/current_clocksource";
	char line[64];

	if (read_line(run, path, line, sizeof(line)) < 0)
		(void)snprintf(line, sizeof(line), "unknown");
	report(run, "clocksource",
	       strcmp(line, "tsc") == 0 || strcmp(line, "kvm-clock") == 0 ? HOSTCHECK_OK
									  : HOSTCHECK_INFO,
	       "tsc or kvm-clock: guests' clocks are slow without", "", "%s", line);
}

void hostcheck_run(int rootfd, void (*fn)(const struct hostcheck *c, void *arg), void *arg)
{
	const struct run run = { .rootfd = rootfd, .fn = fn, .arg = arg };

	check_kvm(&run);
	check_nested(&run);
	check_vulnerabilities(&run);
	check_cmdline(&run);
	check_swap(&run);
	check_cgroup(&run);
	check_lsm(&run);
	check_clock(&run);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		check_number(&run, &numbers[i]);
}
