/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/env.h"
#include "base/fd.h"

#define HEAD_BYTES	  4096
#define EXT4_MAGIC_OFFSET (1024 + 56)
#define PATH_BYTES	  64

/* 1: an ext file system, 0: blank, or -errno. */
static int probe(const char *disk, struct err *err)
{
	CLEANUP(fd_closep) int fd = open(disk, O_RDONLY | O_CLOEXEC);
	uint8_t head[HEAD_BYTES] = { 0 };
	int r = fd < 0 ? -errno : fd_read_full(fd, head, sizeof(head));

	if (r < 0)
		return err_sys(err, r, "%s", disk);
	if (head[EXT4_MAGIC_OFFSET] == 0x53 && head[EXT4_MAGIC_OFFSET + 1] == 0xef)
		return 1;
	for (size_t i = 0; i < sizeof(head); i++) {
		if (head[i] != 0)
			return err_set(err, -EINVAL, "%s is neither blank nor ext4", disk);
	}
	return 0;
}

/* The disk lasts as long as the sandbox: no journal, nothing initialised before it is used. */
static NORETURN void run_mke2fs(const char *disk, const char *image_root)
{
	static const char *const places[] = { "/usr/sbin/mke2fs", "/sbin/mke2fs" };
	char name[] = "mke2fs", quiet[] = "-q", force[] = "-F", type[] = "-text4",
	     reserve[] = "-m0", opt[] = "-Elazy_itable_init=1,nodiscard", feat[] = "-O^has_journal",
	     path[] = "PATH=" ENV_PATH, file[PATH_BYTES];
	char *argv[] = { name, quiet, force, type, reserve, opt, feat, file, NULL };
	char *envp[] = { path, NULL };

	(void)snprintf(file, sizeof(file), "%s", disk);
	if (chroot(image_root) < 0 || chdir("/") < 0)
		_exit(126);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		(void)execve(places[i], argv, envp);
	_exit(127);
}

static int format(const char *disk, const char *image_root, struct err *err)
{
	char dev[PATH_BYTES];
	int status = 0;
	pid_t pid;

	(void)snprintf(dev, sizeof(dev), "%s/dev", image_root);
	if (mount("/dev", dev, NULL, MS_BIND, NULL) < 0)
		return err_sys(err, -errno, "%s", dev);
	pid = fork();
	if (pid == 0)
		run_mke2fs(disk, image_root);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)umount2(dev, MNT_DETACH);
	if (pid < 0)
		return err_sys(err, -EAGAIN, "fork");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(err, -ENOENT, "the image has no mke2fs for the scratch disk");
	if (status != 0)
		return err_set(err, -EIO, "mke2fs failed on %s (status %#x)", disk,
			       (unsigned)status);
	return 0;
}

int scratch_prepare(const char *disk, const char *image_root, struct err *err)
{
	int r = probe(disk, err);

	return r == 0 ? format(disk, image_root, err) : r < 0 ? r : 0;
}
