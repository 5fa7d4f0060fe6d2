/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/tap.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "vmm/virtio/virtio.h"

int tap_prepare(int fd, struct err *err)
{
	const int needed = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq ifr = { 0 };
	int header = 0, r;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_sys(err, -errno, "descriptor %d is not a bound tap", fd);
	if ((ifr.ifr_flags & needed) != needed)
		return err_set(err, -EINVAL, "descriptor %d: tap flags are %#x, not %#x", fd,
			       (unsigned)ifr.ifr_flags, (unsigned)needed);
	if (ioctl(fd, TUNGETVNETHDRSZ, &header) < 0)
		return err_sys(err, -errno, "descriptor %d: TUNGETVNETHDRSZ", fd);
	if (header != (int)VIRTIO_NET_HDR_BYTES)
		return err_set(err, -EINVAL, "descriptor %d: a header of %d bytes, not %u", fd,
			       header, VIRTIO_NET_HDR_BYTES);
	r = fd_set_nonblock(fd, true);
	return r < 0 ? err_sys(err, r, "descriptor %d", fd) : 0;
}

int tap_set_offload(int fd, unsigned flags)
{
	return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) < 0 ? -errno : 0;
}
