/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "jailer/cpuid.h"
#include "jailer/root.h"
#include "jailer/seal.h"
#include "jailer/slot.h"
#include "jailer/spawn.h"

/* Another jailer that takes over identities of ours sweeps our group meanwhile (identity.c). */
#define LOCK_MS_MAX 1000
#define EGRESS_PATH "/usr/libexec/casemate/casemate-egress"

static int check_label(struct host *h, const struct host_config *cfg, struct err *err)
{
	int r;

	h->label = label_mode();
	h->allow_no_selinux = cfg->allow_no_selinux;
	r = label_mode_accept(h->label, cfg->allow_no_selinux, err);
	if (r < 0)
		return r;
	return label_check_policy(h->label, err);
}

int host_check_label(const struct host *h, struct err *err)
{
	return label_mode_accept(label_mode(), h->allow_no_selinux, err);
}

/* An id range that the host's own users could have would not be a wall. */
static int check_uids(struct host *h, const struct host_config *cfg, struct err *err)
{
	if (cfg->uid_base < 65536 || cfg->uid_base > UINT32_MAX - 1 - SLOT_UIDS)
		return err_set(err, -ERANGE, "--uid-base must leave room for %u ids above 65535",
			       SLOT_UIDS);
	h->uid_base = cfg->uid_base;
	return 0;
}

static int measure(struct host *h, struct err *err)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	if (pages <= 0 || size <= 0)
		return err_set(err, -EIO, "the size of the host's memory is unknown");
	h->limits.memory_max = (uint64_t)pages * (uint64_t)size;
	return 0;
}

/* The VMM: its file is trusted now, and what is run is a copy that stays as it was. */
static int open_vmm(struct host *h, const struct host_config *cfg, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	char context[LABEL_MAX];
	int r = store_open_trusted(cfg->vmm, &fd, err);

	if (r < 0)
		return r;
	label_of_binary(h->label, LABEL_VMM, context);
	return seal_copy(fd, "casemate-vmm", context, &h->vmm, err);
}

/* As the VMM. A host that doesn't have it installed has sandboxes without a network. */
static int open_egress(struct host *h, const struct host_config *cfg, struct err *err)
{
	const char *path = cfg->egress == NULL ? EGRESS_PATH : cfg->egress;
	CLEANUP(fd_closep) int fd = -1;
	char context[LABEL_MAX];
	int r;

	if (path[0] == '\0')
		return 0;
	r = store_open_trusted(path, &fd, err);
	if (r == -ENOENT && cfg->egress == NULL)
		return 0;
	if (r < 0)
		return r;
	h->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (h->netns < 0)
		return err_sys(err, -errno, "network namespace");
	label_of_binary(h->label, LABEL_EGRESS, context);
	return seal_copy(fd, "casemate-egress", context, &h->egress, err);
}

/* The disk that a jail's reads and writes end up on, for the limits: those want whole disks. */
static int find_disk(int dir, struct cgroup_config *c, struct err *err)
{
	char path[80], text[32];
	const char *at = text;
	uint64_t disk_major, disk_minor;
	struct stat st;
	ssize_t n;

	if (fstat(dir, &st) < 0)
		return err_sys(err, -errno, "disk of the jails");
	if (major(st.st_dev) == 0)
		return 0; /* a tmpfs, a btrfs, ...: nothing that a limit could be put on */
	c->disk_major = major(st.st_dev);
	c->disk_minor = minor(st.st_dev);
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", c->disk_major,
		       c->disk_minor);
	if (access(path, F_OK) < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", c->disk_major,
		       c->disk_minor);
	n = fd_read_file(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return err_sys(err, (int)n, "%s", path);
	if (parse_u64_at(&at, 10, UINT32_MAX, &disk_major) < 0 || *at++ != ':' ||
	    parse_u64_at(&at, 10, UINT32_MAX, &disk_minor) < 0 || *at != '\n')
		return err_set(err, -EINVAL, "%s: not MAJOR:MINOR", path);
	c->disk_major = (unsigned)disk_major;
	c->disk_minor = (unsigned)disk_minor;
	return 0;
}

/* Our cgroup without an earlier jailer's leftovers, then identities that nobody else has. */
static int open_groups(struct host *h, const struct host_config *cfg, unsigned *ret_swept,
		       struct err *err)
{
	struct cgroup_config c = { .parent = cfg->cgroup,
				   .delegated = cfg->delegated,
				   .io = cfg->io,
				   .lock_ms = LOCK_MS_MAX };
	int r = find_disk(h->store.dir, &c, err);

	if (r == 0)
		r = cgroup_host_open(&h->cgroups, &c, err);
	if (r == 0)
		r = cgroup_sweep(&h->cgroups, ret_swept, err);
	if (r == 0)
		r = cgroup_close_devices(&h->cgroups, err);
	if (r == 0)
		r = identity_open(&h->identity, cfg->delegated ? "" : cfg->cgroup, cfg->slots,
				  &h->slots, err);
	return r;
}

/* A host without KVM can have a jailer, which says so when it is asked for a VM. */
static int ask_kvm(struct host *h, struct err *err)
{
	struct err none = { 0 };
	CLEANUP(fd_closep) int kvm = host_open_kvm(&none);

	if (kvm < 0)
		return 0;
	h->cpuid = cpuid_offer(kvm, err);
	return h->cpuid < 0 ? h->cpuid : 0;
}

int host_open(struct host *h, const struct host_config *cfg, unsigned *ret_swept, struct err *err)
{
	int r;

	*h = (struct host){ .store = { .dir = -1 },
			    .vmm = -1,
			    .null = -1,
			    .root = -1,
			    .cpuid = -1,
			    .egress = -1,
			    .netns = -1,
			    .identity = { -1 } };
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++)
		h->cgroups.dir[t] = -1;
#ifdef CASEMATE_TEST
	h->off = cfg->layers_off;
	h->stop = cfg->stop;
	h->stop_point = cfg->stop_point;
#endif
	h->userns = spawn_probe_userns() == 0;
	r = check_label(h, cfg, err);
	if (r == 0)
		r = check_uids(h, cfg, err);
	if (r == 0)
		r = measure(h, err);
	if (r == 0)
		r = store_open(&h->store, cfg->store, err);
	if (r == 0)
		r = sealkey_open(&h->key, &h->store, err);
	if (r == 0)
		r = open_vmm(h, cfg, err);
	if (r == 0)
		r = open_egress(h, cfg, err);
	if (r == 0) {
		h->null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (h->null < 0)
			r = err_sys(err, -errno, "/dev/null");
	}
	if (r == 0) {
		h->root = root_open(err);
		r = h->root < 0 ? h->root : 0;
	}
	if (r == 0)
		r = ask_kvm(h, err);
	if (r == 0)
		r = open_groups(h, cfg, ret_swept, err);
	if (r < 0)
		host_close(h);
	return r;
}

void host_close(struct host *h)
{
	identity_close(&h->identity);
	cgroup_host_close(&h->cgroups);
	fd_closep(&h->cpuid);
	fd_closep(&h->root);
	fd_closep(&h->null);
	fd_closep(&h->netns);
	fd_closep(&h->egress);
	fd_closep(&h->vmm);
	sealkey_close(&h->key);
	store_close(&h->store);
}

int host_open_kvm(struct err *err)
{
	CLEANUP(fd_closep) int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int version;

	if (fd < 0 && errno == ENOENT)
		return err_set(err, -ENOENT,
			       "/dev/kvm doesn't exist: no KVM module is loaded on this host");
	if (fd < 0)
		return err_sys(err, -errno, "/dev/kvm");
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_set(err, -ENODEV, "/dev/kvm is not KVM of version %d", KVM_API_VERSION);
	return fd_steal(&fd);
}
