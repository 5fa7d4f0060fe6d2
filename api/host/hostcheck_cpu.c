/* SPDX-License-Identifier: Apache-2.0 */
/* hostcheck_cpu.c - the processor and what the kernel does about its faults. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/host/hostcheck_internal.h"
#include "base/fd.h"

#define VULNERABILITIES "sys/devices/system/cpu/vulnerabilities"

/* Old microcode has a check of its own: it is no hole by itself. */
static void check_vulnerabilities(struct checkup *c)
{
	struct words bad = { .len = 0 };
	int fd = openat(c->rootfd, VULNERABILITIES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char line[256];

	if (d == NULL) {
		fd_closep(&fd);
		checkup_found(c, HOSTCHECK_WARN, "unknown");
		return;
	}
	for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		if (e->d_name[0] != '.' && strcmp(e->d_name, "old_microcode") != 0 &&
		    fd_read_file(dirfd(d), e->d_name, line, sizeof(line)) >= 0 &&
		    strncmp(line, "Vulnerable", 10) == 0)
			words_add(&bad, e->d_name);
	(void)closedir(d);
	checkup_found(c, bad.len > 0 ? HOSTCHECK_FAIL : HOSTCHECK_OK, "%s",
		      bad.len > 0 ? bad.text : "none");
}

static void check_microcode(struct checkup *c)
{
	char line[128];

	if (checkup_read_line(c, VULNERABILITIES "/old_microcode", line, sizeof(line)) < 0)
		checkup_found(c, HOSTCHECK_INFO, "unknown: this kernel doesn't tell");
	else
		checkup_found(c,
			      strncmp(line, "Vulnerable", 10) == 0 ? HOSTCHECK_WARN : HOSTCHECK_OK,
			      "%.80s", line);
}

static void check_cmdline(struct checkup *c)
{
	static const char *const weak[] = {
		"mitigations=off",
		"nopti",
		"pti=off",
		"nospectre_v1",
		"nospectre_v2",
		"spectre_v2=off",
		"spectre_v2_user=off",
		"spec_store_bypass_disable=off",
		"l1tf=off",
		"mds=off",
		"tsx_async_abort=off",
		"srbds=off",
		"mmio_stale_data=off",
		"retbleed=off",
		"spec_rstack_overflow=off",
		"gather_data_sampling=off",
		"reg_file_data_sampling=off",
		"indirect_target_selection=off",
		"tsa=off",
		"kvm-intel.vmentry_l1d_flush=never",
		"kvm_intel.vmentry_l1d_flush=never",
		"kvm.nx_huge_pages=off",
		"spectre_bhi=off",
		"vmscape=off",
		"no_guest_host",
		"no_guest_guest",
		"nokaslr",
		"norandmaps",
		"nosmap",
		"nosmep",
		"selinux=0",
		"enforcing=0",
	};
	struct words bad = { .len = 0 };
	char line[4096], *at = line;

	if (checkup_read_line(c, "proc/cmdline", line, sizeof(line)) < 0) {
		checkup_found(c, HOSTCHECK_WARN, "unknown");
		return;
	}
	for (const char *word = words_next(&at); word != NULL; word = words_next(&at))
		for (size_t i = 0; i < ARRAY_SIZE(weak); i++)
			if (strcmp(word, weak[i]) == 0)
				words_add(&bad, word);
	checkup_found(c, bad.len > 0 ? HOSTCHECK_FAIL : HOSTCHECK_OK, "%s",
		      bad.len > 0 ? bad.text : "none");
}

/* The filters kill whoever calls by it; this is the layer behind them. */
static void check_ia32(struct checkup *c)
{
	char line[4096], *at = line;
	struct stat st;

	if (fstatat(c->rootfd, "proc/sys/abi/vsyscall32", &st, 0) < 0) {
		if (errno == ENOENT && fstatat(c->rootfd, "proc/sys/abi", &st, 0) == 0)
			checkup_found(c, HOSTCHECK_OK, "not built");
		else
			checkup_found(c, HOSTCHECK_INFO, "unknown");
		return;
	}
	if (checkup_read_line(c, "proc/cmdline", line, sizeof(line)) < 0)
		line[0] = '\0';
	for (const char *word = words_next(&at); word != NULL; word = words_next(&at)) {
		if (words_have("ia32_emulation=0 ia32_emulation=off ia32_emulation=n", word)) {
			checkup_found(c, HOSTCHECK_OK, "off");
			return;
		}
	}
	checkup_found(c, HOSTCHECK_WARN, "built in, and not switched off");
}

static bool has_flag(const struct checkup *c, const char *flag)
{
	static char text[32768]; /* the first processors' lines */
	char *line;
	ssize_t n;
	int fd = openat(c->rootfd, "proc/cpuinfo", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	fd_closep(&fd);
	text[n < 0 ? 0 : n] = '\0';
	line = strstr(text, "\nflags");
	if (line == NULL)
		return false;
	line++;
	line[strcspn(line, "\n")] = '\0';
	return words_have(line, flag);
}

static void check_entropy(struct checkup *c)
{
	bool rdrand = has_flag(c, "rdrand");

	checkup_found(c, rdrand ? HOSTCHECK_OK : HOSTCHECK_INFO, "%s",
		      rdrand ? "rdrand" : "no rdrand");
}

static void check_ecc(struct checkup *c)
{
	struct stat st;
	bool there = fstatat(c->rootfd, "sys/devices/system/edac/mc/mc0", &st, 0) == 0;

	checkup_found(c, there ? HOSTCHECK_OK : HOSTCHECK_INFO, "%s",
		      there ? "there is a controller that tells of errors"
			    : "none that tells of errors");
}

const struct check hostcheck_cpu[] = {
	{ "cpu-vulnerabilities", check_vulnerabilities,
	  "none that the kernel calls Vulnerable: a guest would read others' memory",
	  "update kernel and microcode; remove mitigations=off" },
	{ "microcode", check_microcode, "current: mitigations build on it",
	  "install intel-microcode or amd64-microcode, or new firmware" },
	{ "cmdline", check_cmdline, "nothing that weakens the kernel",
	  "remove it from the kernel's command line" },
	{ "ia32", check_ia32, "off: a second way into the kernel, which filters must know as well",
	  "boot with ia32_emulation=0" },
	{ "entropy", check_entropy, "rdrand: clones are seeded from the host's random numbers",
	  "" },
	{ "ecc", check_ecc, "ECC: flipped bits (Rowhammer) are seen and corrected",
	  "use a machine with ECC memory" },
	{ NULL, NULL, NULL, NULL },
};
