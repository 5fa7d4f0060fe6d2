/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/mount.h"
#include "base/clock.h"
#include "base/fd.h"

#define LIST_BYTES_MAX	  4096
#define CMDLINE_BYTES_MAX 4096
#define UEVENT_GROUP	  1

/* ---- Modules ----------------------------------------------------------------------------- */

static int load_one(int dir, const char *name, struct err *err)
{
	CLEANUP(fd_closep) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, -errno, "module %s", name);
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "module %s", name);
	return 0;
}

int device_load_modules(const char *dir, struct err *err)
{
	CLEANUP(fd_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char list[LIST_BYTES_MAX], *line = list, *end;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "%s", dir);
	n = fd_read_file(fd, "load", list, sizeof(list));
	if (n == -ENOENT)
		return 0;
	if (n < 0)
		return err_sys(err, (int)n, "%s/load", dir);
	for (; *line != '\0'; line = end) {
		end = strchrnul(line, '\n');
		if (*end == '\n')
			*end++ = '\0';
		int r = *line != '\0' ? load_one(fd, line, err) : 0;
		if (r < 0)
			return r;
	}
	return 1;
}

/* ---- Disks ------------------------------------------------------------------------------- */

static const char *const disks[] = { "/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd",
				     "/dev/vde", "/dev/vdf", "/dev/vdg", "/dev/vdh" };

static bool is_block_device(int bus, const char *name)
{
	char path[NAME_MAX + 16], id[16];
	int n = snprintf(path, sizeof(path), "%s/device", name);

	return n > 0 && (size_t)n < sizeof(path) && fd_read_file(bus, path, id, sizeof(id)) > 0 &&
	       strcmp(id, "0x0002\n") == 0;
}

/* Virtio block devices on the bus, with a driver or without. */
static unsigned count_disks(void)
{
	DIR *dir = opendir("/sys/bus/virtio/devices");
	const struct dirent *e;
	unsigned n = 0;

	if (dir == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL && n < ARRAY_SIZE(disks)) {
		if (e->d_name[0] != '.' && is_block_device(dirfd(dir), e->d_name))
			n++;
	}
	(void)closedir(dir);
	return n;
}

/* What the kernel's command line says of the root. */
enum root { ROOT_ANY, ROOT_DISK, ROOT_PMEM };

static enum root root_demanded(void)
{
	char line[CMDLINE_BYTES_MAX], *next = line, *word;
	enum root root = ROOT_ANY;

	if (fd_read_file(AT_FDCWD, "/proc/cmdline", line, sizeof(line)) <= 0)
		return ROOT_ANY;
	while ((word = strsep(&next, " \n")) != NULL) {
		if (strcmp(word, "root=" DEVICE_PMEM) == 0)
			root = ROOT_PMEM;
		else if (strncmp(word, "root=", 5) == 0)
			root = ROOT_DISK;
	}
	return root;
}

/* What there must be, as far as is known. */
struct wanted {
	bool pmem;
	unsigned disks;
};

/* The first of them that isn't there yet, or NULL. */
static const char *missing(struct wanted *want)
{
	unsigned n = count_disks();

	if (n > want->disks)
		want->disks = n;
	if (want->pmem && access(DEVICE_PMEM, F_OK) < 0)
		return DEVICE_PMEM;
	for (unsigned i = 0; i < want->disks; i++) {
		if (access(disks[i], F_OK) < 0)
			return disks[i];
	}
	return NULL;
}

static int wait_for(struct wanted *want, struct err *err)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = UEVENT_GROUP };
	uint64_t deadline = now_ms() + DEVICE_WAIT_MS, now;
	char event[4096];

	/* Listen first, look then: an event between the two is not lost. */
	CLEANUP(fd_closep)
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_KOBJECT_UEVENT);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, -errno, "device events");
	while (missing(want) != NULL) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		now = now_ms();
		if (now >= deadline)
			return err_set(err, -ENODEV, "no %s after %d s", missing(want),
				       DEVICE_WAIT_MS / 1000);
		if (poll(&p, 1, (int)(deadline - now)) < 0 && errno != EINTR)
			return err_sys(err, -errno, "poll");
		while (recv(fd, event, sizeof(event), 0) > 0)
			; /* which device it was about doesn't matter: look again */
	}
	return 0;
}

int device_find_disks(struct device_disks *ret, struct err *err)
{
	struct wanted want = { .disks = 0 };
	unsigned used = 0;
	enum root root;
	int r = mount_proc_sys(err);

	if (r < 0)
		return r;
	root = root_demanded();
	want.pmem = root == ROOT_PMEM;
	want.disks = root == ROOT_DISK ? 1 : 0;
	r = wait_for(&want, err);
	if (r < 0)
		return r;
	*ret = (struct device_disks){ .root = NULL };
	if (want.pmem)
		ret->root = DEVICE_PMEM;
	else if (want.disks > 0)
		ret->root = disks[used++];
	if (ret->root != NULL && want.disks > used)
		ret->scratch = disks[used];
	return 0;
}
