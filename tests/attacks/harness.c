/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attacks/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"

NORETURN void harness_die(const char *fmt, ...)
{
	int e = errno;
	va_list ap;

	fputs("attacks: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "%s%s\n", e != 0 ? ": " : "", e != 0 ? strerror(e) : "");
	exit(2);
}

void harness_end(pid_t pid, int signo)
{
	int status;

	if (pid <= 0)
		return;
	(void)kill(pid, signo);
	(void)waitpid(pid, &status, 0);
}

static int create(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, mode);

	if (fd < 0 || fchmod(fd, mode) < 0)
		harness_die("%s", path);
	return fd;
}

void harness_copy(const char *from, const char *to, mode_t mode)
{
	CLEANUP(fd_closep) int in = open(from, O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_closep) int out = -1;
	ssize_t n;

	if (in < 0)
		harness_die("%s", from);
	out = create(to, mode);
	while ((n = sendfile(out, in, NULL, 1U << 20)) > 0)
		;
	if (n < 0)
		harness_die("%s", to);
}

void harness_write(const char *path, const void *data, size_t len, mode_t mode)
{
	CLEANUP(fd_closep) int fd = create(path, mode);

	if (fd_write_full(fd, data, len) < 0)
		harness_die("%s", path);
}

void harness_mkdir(const char *path, mode_t mode)
{
	if ((mkdir(path, mode) < 0 && errno != EEXIST) || chmod(path, mode) < 0)
		harness_die("%s", path);
}

bool harness_selinux(void)
{
	char text[4];

	return fd_read_file(AT_FDCWD, "/sys/fs/selinux/enforce", text, sizeof(text)) > 0 &&
	       text[0] == '1';
}

void harness_label(const char *path, const char *context)
{
	if (access("/sys/fs/selinux/enforce", F_OK) < 0 || context[0] == '\0')
		return;
	if (setxattr(path, "security.selinux", context, strlen(context) + 1, 0) < 0)
		harness_die("label of %s", path);
}
