/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/slot.h"

static int check_label(struct host *h, const struct host_config *cfg, struct err *err)
{
	int r;

	h->label = label_mode();
	r = label_mode_accept(h->label, cfg->allow_no_selinux, err);
	if (r < 0)
		return r;
	return label_check_policy(h->label, err);
}

/* An id range that the host's own users could have would not be a wall. */
static int check_uids(struct host *h, const struct host_config *cfg, struct err *err)
{
	if (cfg->uid_base < 65536 || cfg->uid_base > UINT32_MAX - 1 - SLOT_COUNT)
		return err_set(err, -ERANGE, "--uid-base must leave room for %u ids above 65535",
			       SLOT_COUNT);
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

int host_open(struct host *h, const struct host_config *cfg, unsigned *ret_swept, struct err *err)
{
	int r;

	*h = (struct host){ .store = { .dir = -1 },
			    .vmm = -1,
			    .null = -1,
			    .cgroups = { .dir = { -1, -1, -1, -1 } } };
#ifdef CASEMATE_TEST
	h->layers_off = cfg->layers_off;
#endif
	r = check_label(h, cfg, err);
	if (r == 0)
		r = check_uids(h, cfg, err);
	if (r == 0)
		r = measure(h, err);
	if (r == 0)
		r = store_open(&h->store, cfg->store, err);
	if (r == 0)
		r = store_open_trusted(cfg->vmm, &h->vmm, err);
	if (r == 0) {
		h->null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (h->null < 0)
			r = err_sys(err, -errno, "/dev/null");
	}
	if (r == 0)
		r = cgroup_host_open(&h->cgroups, cfg->cgroup, err);
	if (r == 0)
		r = cgroup_sweep(&h->cgroups, ret_swept, err);
	if (r < 0)
		host_close(h);
	return r;
}

void host_close(struct host *h)
{
	cgroup_host_close(&h->cgroups);
	fd_closep(&h->null);
	fd_closep(&h->vmm);
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
