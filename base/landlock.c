/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock.c - one ruleset that handles everything and allows nothing.
 *
 * The numbers are those of linux/landlock.h (ABI 7); Debian 12's header ends with ABI 2.
 */
#include "base/landlock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define CREATE_RULESET_VERSION 1U
#define NET_BIND	       1U
#define NET_CONNECT	       2U

struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};
_Static_assert(sizeof(struct ruleset_attr) == 24, "the kernel's layout, since ABI 6");

/* What each ABI can deny, all of it: a bit that a kernel doesn't know makes it refuse the set. */
static const struct {
	struct ruleset_attr attr;
	size_t bytes; /* of the kernel's structure */
} abis[] = {
	[1] = { { 0x1fff, 0, 0 }, 8 }, /* execute, read, write, make, remove */
	[2] = { { 0x3fff, 0, 0 }, 8 }, /* and refer: rename and link between directories */
	[3] = { { 0x7fff, 0, 0 }, 8 }, /* and truncate */
	[4] = { { 0x7fff, NET_BIND | NET_CONNECT, 0 }, 16 }, /* and bind and connect of TCP */
	[5] = { { 0xffff, NET_BIND | NET_CONNECT, 0 }, 16 }, /* and ioctl of devices */
	[6] = { { 0xffff, NET_BIND | NET_CONNECT, 3 }, 24 }, /* and abstract sockets and signals */
};
#define ABI_MAX ((int)ARRAY_SIZE(abis) - 1)

static int deny(uint64_t but_net, int *ret_abi)
{
	struct ruleset_attr attr;
	CLEANUP(fd_closep) int fd = -1;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) {
		*ret_abi = 0;
		return 0;
	}
	if (abi <= 0)
		return abi < 0 ? -errno : -EIO;
	if (abi > ABI_MAX)
		abi = ABI_MAX;
	attr = abis[abi].attr;
	attr.handled_access_net &= ~but_net;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, abis[abi].bytes, 0);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return -errno;
	*ret_abi = (int)abi;
	return 0;
}

int landlock_deny_all(int *ret_abi)
{
	return deny(0, ret_abi);
}

int landlock_deny_all_but_connect(int *ret_abi)
{
	return deny(NET_CONNECT, ret_abi);
}
