/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define RANDOM	"/proc/sys/kernel/random/"
#define BOOT_ID RANDOM "boot_id"

/* One buffer of Linux' hw_random core and one of its virtio driver, 64 bytes each, and as much that
 * the device had given and the driver not taken. */
#define DRAIN_BYTES 192U
#define DRAIN_STEP  64U

void machine_drain_rng(void)
{
	CLEANUP(fd_closep) int fd = open("/dev/hwrng", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	uint8_t bytes[DRAIN_STEP];
	size_t done = 0;
	ssize_t n;

	/* It ends early where nothing is left, or where there is no such device. */
	while (fd >= 0 && done < DRAIN_BYTES && (n = read(fd, bytes, sizeof(bytes))) > 0)
		done += (size_t)n;
	explicit_bzero(bytes, sizeof(bytes));
}

/* Read-only, and nothing else that a mount could be. */
static int mount_over(const char *file)
{
	const unsigned long flags = MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(file, BOOT_ID, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, BOOT_ID, NULL, MS_REMOUNT | flags, NULL) < 0)
		return -errno;
	return 0;
}

int machine_renew_boot_id(struct err *err)
{
	char path[] = "/run/boot_id.XXXXXX", text[64];
	CLEANUP(fd_closep) int fd = -1;
	int r = (int)fd_read_file(AT_FDCWD, RANDOM "uuid", text, sizeof(text));

	if (r < 0)
		return r == -ENOENT ? 0 : err_sys(err, r, RANDOM "uuid");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "/run");
	r = fd_write_full(fd, text, strlen(text));
	if (r == 0 && fchmod(fd, 0444) < 0)
		r = -errno;
	/* The one of an earlier fork; EINVAL where the kernel's own is seen. */
	if (r == 0 && umount2(BOOT_ID, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL)
		r = -errno;
	if (r == 0)
		r = mount_over(path);
	(void)unlink(path); /* the mount holds the file */
	return r < 0 ? err_sys(err, r, BOOT_ID) : 0;
}
