/* SPDX-License-Identifier: Apache-2.0 */
/* hostcheck_kvm.c - KVM and the devices beside it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api/host/hostcheck_internal.h"

static const char *kvm_module(const struct checkup *c)
{
	struct stat st;

	if (fstatat(c->rootfd, "sys/module/kvm_intel", &st, 0) == 0)
		return "kvm_intel";
	if (fstatat(c->rootfd, "sys/module/kvm_amd", &st, 0) == 0)
		return "kvm_amd";
	return NULL;
}

static void check_mode(struct checkup *c, const char *path, enum hostcheck_level absent)
{
	struct stat st;

	if (fstatat(c->rootfd, path, &st, 0) < 0) {
		if (errno == ENOENT)
			checkup_found(c, absent, "no /%s", path);
		else
			checkup_found(c, HOSTCHECK_INFO, "unknown: %s", strerror(errno));
		return;
	}
	if ((st.st_mode & 06) != 0)
		checkup_found(c, HOSTCHECK_WARN, "open to everybody: mode %04o",
			      (unsigned)(st.st_mode & 07777));
	else
		checkup_found(c, HOSTCHECK_OK, "mode %04o", (unsigned)(st.st_mode & 07777));
}

static void check_kvm(struct checkup *c)
{
	check_mode(c, "dev/kvm", HOSTCHECK_FAIL);
}

static void check_tun(struct checkup *c)
{
	check_mode(c, "dev/net/tun", HOSTCHECK_INFO);
}

static void check_kind(struct checkup *c)
{
	const char *module = kvm_module(c);

	checkup_found(c, module != NULL ? HOSTCHECK_OK : HOSTCHECK_WARN, "%s",
		      module != NULL ? module : "software-only or none");
}

static void check_nested(struct checkup *c)
{
	const char *module = kvm_module(c);
	char path[64], line[16];

	if (module == NULL)
		return;
	(void)snprintf(path, sizeof(path), "sys/module/%s/parameters/nested", module);
	if (checkup_read_line(c, path, line, sizeof(line)) < 0)
		checkup_found(c, HOSTCHECK_WARN, "unknown");
	else
		checkup_found(c, line[0] == 'N' || line[0] == '0' ? HOSTCHECK_OK : HOSTCHECK_FAIL,
			      "%s", line);
}

/* "never" is right only where the processor doesn't have the fault. */
static void check_nx_pages(struct checkup *c)
{
	char pages[16], fault[64];

	if (checkup_read_line(c, "sys/module/kvm/parameters/nx_huge_pages", pages, sizeof(pages)) <
	    0)
		return;
	if (checkup_read_line(c, "sys/devices/system/cpu/vulnerabilities/itlb_multihit", fault,
			      sizeof(fault)) < 0)
		fault[0] = '\0';
	if (words_have("never N off 0", pages) && strncmp(fault, "Not affected", 12) != 0)
		checkup_found(c, HOSTCHECK_WARN, "%s", pages);
	else
		checkup_found(c, HOSTCHECK_OK, "%s", pages);
}

/* Present devices and modules that a VMM of ours never uses. */
static void check_vhost(struct checkup *c)
{
	static const char *const paths[] = { "dev/vhost-net", "dev/vhost-vsock",
					     "sys/module/vhost_vsock",
					     "sys/module/vsock_loopback" };
	struct words there = { .len = 0 };
	struct stat st;

	if (fstatat(c->rootfd, "dev", &st, 0) < 0) {
		checkup_found(c, HOSTCHECK_INFO, "unknown");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (fstatat(c->rootfd, paths[i], &st, 0) == 0 || errno != ENOENT)
			words_add(&there, paths[i]);
	checkup_found(c, there.len > 0 ? HOSTCHECK_WARN : HOSTCHECK_OK, "%s",
		      there.len > 0 ? there.text : "absent");
}

const struct check hostcheck_kvm[] = {
	{ "kvm", check_kvm, "/dev/kvm, mode 0660 or less: only the jailer opens it",
	  "modprobe kvm_intel or kvm_amd, switch virtualization on in the firmware; chmod 0660 "
	  "/dev/kvm" },
	{ "kvm-kind", check_kind,
	  "hardware (kvm_intel or kvm_amd): a software-only KVM is a larger part of the host's "
	  "kernel, and boots no stock guest",
	  "use a machine with VT-x or AMD-V" },
	{ "kvm-nested", check_nested, "off: the least tested part of KVM",
	  "load the module with nested=0" },
	{ "kvm-nx-huge-pages", check_nx_pages,
	  "auto, unless the processor is not affected: else a guest stops the machine "
	  "(itlb_multihit)",
	  "load kvm with nx_huge_pages=auto" },
	{ "tun", check_tun, "/dev/net/tun, mode 0660 or less: only the jailer opens it",
	  "chmod 0660 /dev/net/tun" },
	{ "vhost", check_vhost,
	  "absent: devices in the host's kernel that casemate doesn't use are surface only",
	  "blacklist the modules vhost_net, vhost_vsock and vsock_loopback" },
	{ NULL, NULL, NULL, NULL },
};
