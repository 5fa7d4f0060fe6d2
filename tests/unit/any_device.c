/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/any_device.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"

static int set_offload(int tap, unsigned flags)
{
	(void)tap;
	(void)flags;
	return 0;
}

static int new_blk(struct gmem *m, struct virtio_dev **ret)
{
	const struct virtio_blk_spec spec = { .fd = memfd_create("disk", MFD_CLOEXEC),
					      .discard = true,
					      .queues = 2,
					      .serial = "any" };

	BUG_ON(spec.fd < 0 || ftruncate(spec.fd, ANY_DISK_BYTES) < 0);
	return virtio_blk_new(m, &spec, ret);
}

/* A packet socket keeps frames apart as a tap does. */
static int new_net(struct gmem *m, int *ret_host, struct virtio_dev **ret)
{
	const struct virtio_net_spec spec = {
		.mac = { 2, 0, 0, 0, 0, 1 }, .mtu = 1500, .pairs = 1, .set_offload = set_offload
	};
	int sv[2];

	BUG_ON(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) < 0);
	*ret_host = sv[1];
	return virtio_net_new(m, &spec, sv, ret);
}

static int new_pmem(struct gmem *m, struct virtio_dev **ret)
{
	const struct gmem_region *file;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	BUG_ON(fd < 0 || gmem_add_file(m, fd, &file) < 0);
	(void)close(fd);
	return virtio_pmem_new(m, file, ret);
}

struct virtio_dev *any_device_new(size_t type, struct gmem *m, int *ret_host)
{
	static const struct virtio_balloon_options balloon = { .deflate_on_oom = true,
							       .free_page_reporting = true,
							       .statistics_ms = 1000 };
	struct virtio_dev *dev = NULL;
	int r = -1;

	BUG_ON(type >= virtio_dev_types_count);
	*ret_host = -1;
	switch (virtio_dev_types[type]->id) {
	case VIRTIO_DEV_NET:
		r = new_net(m, ret_host, &dev);
		break;
	case VIRTIO_DEV_BLK:
		r = new_blk(m, &dev);
		break;
	case VIRTIO_DEV_CONSOLE:
		r = virtio_console_new(m, &dev);
		break;
	case VIRTIO_DEV_RNG:
		r = virtio_rng_new(m, &dev);
		break;
	case VIRTIO_DEV_BALLOON:
		r = virtio_balloon_new(m, &balloon, &dev);
		break;
	case VIRTIO_DEV_VSOCK:
		r = virtio_vsock_new(m, ANY_GUEST_CID, &dev);
		break;
	case VIRTIO_DEV_PMEM:
		r = new_pmem(m, &dev);
		break;
	}
	BUG_ON(r < 0 || dev == NULL);
	return dev;
}
