/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <selinux/selinux.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/label.h"

#ifndef MFD_EXEC /* Linux 6.3; Debian 12's headers are older */
#define MFD_EXEC 0x0010U
#endif

#define SEALS	  (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define BYTES_MAX (64 << 20)

static int make_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	/* An older kernel doesn't know the flag; there all memfds are executable. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

static int copy(int from, int to, off_t bytes)
{
	off_t at = 0;

	while (at < bytes) {
		ssize_t n = sendfile(to, from, &at, (size_t)(bytes - at));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ESTALE; /* it has become shorter */
	}
	return 0;
}

int seal_copy(int from, const char *name, const char *context, int *ret, struct err *err)
{
	CLEANUP(fd_closep) int fd = make_memfd(name);
	struct stat st;
	int r;

	if (fd < 0)
		return err_sys(err, fd, "%s: memfd", name);
	if (fstat(from, &st) < 0)
		return err_sys(err, -errno, "%s", name);
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > BYTES_MAX)
		return err_set(err, -EINVAL, "%s is not a program", name);
	r = copy(from, fd, st.st_size);
	if (r < 0)
		return err_sys(err, r, "%s: copy", name);
	/* Afterwards: then nobody needs the right to write files with the label of a program. */
	if (context[0] != '\0' && fsetfilecon(fd, context) < 0)
		return err_sys(err, -errno, "%s: SELinux label %s", name, context);
	if (fchmod(fd, 0555) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return err_sys(err, -errno, "%s: seals", name);
	*ret = fd_steal(&fd);
	return 0;
}

static bool is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS;
}

int seal_self(char **argv, char **envp, struct err *err)
{
	CLEANUP(fd_closep) int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_closep) int fd = -1;
	char context[LABEL_MAX];
	int r;

	if (self < 0)
		return err_sys(err, -errno, "/proc/self/exe");
	if (is_sealed(self))
		return 0;
	label_of_binary(label_mode(), LABEL_JAILER, context);
	r = seal_copy(self, "casemate-jailer", context, &fd, err);
	if (r < 0)
		return r;
	(void)fexecve(fd, argv, envp);
	return err_sys(err, -errno, "the sealed copy of casemate-jailer");
}
