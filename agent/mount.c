/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/device.h"
#include "agent/scratch.h"
#include "base/fd.h"

#define LOWER	"/lower"
#define SCRATCH "/scratch"
#define ROOT	"/root"

struct entry {
	const char *type, *target, *data;
	unsigned long flags;
	bool optional; /* a kernel without it is fine */
};

#define SAFE (MS_NOSUID | MS_NODEV)

static const struct entry dev_entry = { "devtmpfs", "/dev", "mode=0755", MS_NOSUID, false };

static const struct entry system_entries[] = {
	{ "proc", "/proc", NULL, SAFE | MS_NOEXEC, false },
	{ "sysfs", "/sys", NULL, SAFE | MS_NOEXEC, false },
	{ "devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, false },
	{ "tmpfs", "/dev/shm", "mode=1777", SAFE, false },
	{ "mqueue", "/dev/mqueue", NULL, SAFE | MS_NOEXEC, true },
	{ "tmpfs", "/run", "mode=0755", SAFE, false },
	{ "tmpfs", "/tmp", "mode=1777", SAFE, false },
	{ "cgroup2", "/sys/fs/cgroup", "nsdelegate", SAFE | MS_NOEXEC, true },
};

static const struct {
	const char *target, *path;
} dev_links[] = {
	{ "/proc/self/fd", "/dev/fd" },
	{ "/proc/self/fd/0", "/dev/stdin" },
	{ "/proc/self/fd/1", "/dev/stdout" },
	{ "/proc/self/fd/2", "/dev/stderr" },
};

static int mount_one(const struct entry *e, struct err *err)
{
	int r = mount(e->type, e->target, e->type, e->flags, e->data) < 0 ? -errno : 0;

	if (r == -ENOENT) {
		if (mkdir(e->target, 0755) < 0 && errno != EEXIST)
			r = -errno;
		else
			r = mount(e->type, e->target, e->type, e->flags, e->data) < 0 ? -errno : 0;
	}
	/* EBUSY: it is there already. */
	if (r == 0 || r == -EBUSY || (e->optional && (r == -ENODEV || r == -ENOENT)))
		return 0;
	return err_sys(err, r, "mount %s on %s", e->type, e->target);
}

int mount_dev(struct err *err)
{
	return mount_one(&dev_entry, err);
}

int mount_proc_sys(struct err *err)
{
	int r = mount_one(&system_entries[0], err);

	return r < 0 ? r : mount_one(&system_entries[1], err);
}

int mount_system(struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_entries); i++) {
		int r = mount_one(&system_entries[i], err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(dev_links); i++) {
		if (symlink(dev_links[i].target, dev_links[i].path) < 0 && errno != EEXIST)
			return err_sys(err, -errno, "%s", dev_links[i].path);
	}
	return 0;
}

/* ---- The root ---------------------------------------------------------------------------- */

static int make_dir(const char *path, struct err *err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "%s", path);
	return 0;
}

static int mount_upper(const char *scratch, struct err *err)
{
	int r;

	if (scratch == NULL) {
		if (mount("tmpfs", SCRATCH, "tmpfs", SAFE, "mode=0755") < 0)
			return err_sys(err, -errno, "mount tmpfs for the overlay");
		return 0;
	}
	r = scratch_prepare(scratch, LOWER, err);
	if (r < 0)
		return r;
	if (mount(scratch, SCRATCH, "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME, NULL) < 0)
		return err_sys(err, -errno, "mount the scratch disk %s as ext4", scratch);
	return 0;
}

static int mount_overlay(const char *image, const char *scratch, struct err *err)
{
	static const char *const dirs[] = { LOWER, SCRATCH, ROOT };
	static const char options[] =
		"lowerdir=" LOWER ",upperdir=" SCRATCH "/upper,workdir=" SCRATCH "/work";
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++)
		r = make_dir(dirs[i], err);
	if (r < 0)
		return r;
	/* From memory its pages are mapped as they are, instead of copied into a page cache. */
	if (mount(image, LOWER, "erofs", MS_RDONLY | MS_NODEV,
		  strcmp(image, DEVICE_PMEM) == 0 ? "dax=always" : NULL) < 0)
		return err_sys(err, -errno, "mount the root image %s as EROFS", image);
	r = mount_upper(scratch, err);
	if (r == 0)
		r = make_dir(SCRATCH "/upper", err);
	if (r == 0)
		r = make_dir(SCRATCH "/work", err);
	if (r < 0)
		return r;
	/* Set-user-id programs of the image must work: no MS_NOSUID on this one. */
	if (mount("overlay", ROOT, "overlay", MS_NODEV, options) < 0)
		return err_sys(err, -errno, "mount the overlay");
	return 0;
}

/* Unlinks the files whose memory would otherwise stay in use for good: the modules. The
 * executable's pages are in use anyway. */
static void free_initramfs(void)
{
	CLEANUP(fd_closep) int fd = open("/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int copy = fd >= 0 ? fd_dup(fd, 0) : -1;
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *e;

	(void)unlink("/init");
	if (dir == NULL) {
		fd_closep(&copy);
		return;
	}
	while ((e = readdir(dir)) != NULL) {
		if (e->d_type == DT_REG)
			(void)unlinkat(fd, e->d_name, 0);
	}
	(void)closedir(dir);
}

int mount_root(const char *image, const char *scratch, int *ret_scratch, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	int r = mount_overlay(image, scratch, err);

	if (r < 0)
		return r;
	if (scratch != NULL)
		fd = open(SCRATCH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (scratch != NULL && fd < 0)
		return err_sys(err, -errno, SCRATCH);
	r = make_dir(ROOT "/dev", err);
	if (r < 0)
		return r;
	free_initramfs();
	if (mount("/dev", ROOT "/dev", NULL, MS_MOVE, NULL) < 0)
		return err_sys(err, -errno, "move /dev");
	/* As switch_root does: pivot_root refuses to leave the initramfs. */
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return err_sys(err, -errno, "switch to the new root");
	*ret_scratch = fd_steal(&fd);
	return 0;
}
