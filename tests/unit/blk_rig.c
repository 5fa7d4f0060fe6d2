/* SPDX-License-Identifier: Apache-2.0 */
#include "blk_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/le.h"

static void fill(int fd, unsigned sectors)
{
	uint8_t s[512];

	for (uint32_t n = 0; n < sectors; n++) {
		memset(s, (int)(n & 0xff), sizeof(s));
		memcpy(s, &n, sizeof(n));
		cr_assert_eq(pwrite(fd, s, sizeof(s), (off_t)n * 512), 512);
	}
}

int rig_read_only(int fd)
{
	char path[32];
	int ro;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(ro, 0);
	return ro;
}

void rig_open_with(struct rig *r, struct virtio_blk_spec params, uint64_t without)
{
	struct virtio_dev *dev;

	memset(r, 0, sizeof(*r));
	r->fd = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_geq(r->fd, 0);
	fill(r->fd, RIG_SECTORS);
	drv_init(&r->d);
	params.fd = params.read_only ? rig_read_only(r->fd) : dup(r->fd);
	params.serial = "casemate-0";
	params.queues = params.queues == 0 ? 1 : params.queues;
	cr_assert_eq(virtio_blk_new(&r->d.mem, &params, &dev), 0);
	drv_attach(&r->d, dev);
	r->hdr = drv_alloc(&r->d, 16, 16);
	r->status = drv_alloc(&r->d, 1, 1);
	r->data = drv_alloc(&r->d, 1 << 20, 4096);
	drv_start(&r->d, without);
}

void rig_open(struct rig *r, bool read_only, uint64_t without)
{
	rig_open_with(r, (struct virtio_blk_spec){ .read_only = read_only }, without);
}

void rig_close(struct rig *r)
{
	drv_done(&r->d);
	close(r->fd);
}

void rig_header(struct rig *r, uint64_t at, uint32_t type, uint64_t sector)
{
	struct {
		le32_t type, reserved;
		le64_t sector;
	} h = { le32_put(type), le32_put(0), le64_put(sector) };

	drv_write(&r->d, at, &h, sizeof(h));
	drv_write(&r->d, r->status, "\xee", 1);
}

uint8_t rig_status(struct rig *r)
{
	uint8_t s;

	drv_read(&r->d, r->status, &s, 1);
	return s;
}

uint8_t rig_request_on(struct rig *r, unsigned q, uint32_t type, uint64_t sector, uint32_t len,
		       unsigned segs, bool indirect, uint32_t *used)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct drv_seg s[66] = { { r->hdr, 16, false } };
	uint32_t head, off = 0;
	unsigned n = 1;

	rig_header(r, r->hdr, type, sector);
	for (; n <= segs && off < len; n++) {
		uint32_t part = n == segs ? len - off : len / segs;
		s[n] = (struct drv_seg){ r->data + off, part, in };
		off += part;
	}
	s[n++] = (struct drv_seg){ r->status, 1, true };
	cr_assert_geq(drv_post(&r->d, q, s, n, indirect), 0);
	cr_assert(drv_wait_used(&r->d, q, &head, used, RIG_WAIT_MS), "no answer");
	return rig_status(r);
}

uint8_t rig_request(struct rig *r, uint32_t type, uint64_t sector, uint32_t len, unsigned segs,
		    bool indirect, uint32_t *used)
{
	return rig_request_on(r, 0, type, sector, len, segs, indirect, used);
}

void rig_wait_broken(struct rig *r)
{
	uint64_t end = now_ms() + RIG_WAIT_MS;

	while (!drv_broken(&r->d) && now_ms() < end)
		usleep(1000);
	cr_assert(drv_broken(&r->d));
}

struct wanted {
	const char *name;
	uint64_t value;
	bool found;
};

static void look(const char *name, uint64_t value, void *arg)
{
	struct wanted *w = arg;

	if (strcmp(name, w->name) != 0)
		return;
	w->value = value;
	w->found = true;
}

uint64_t rig_counter(struct rig *r, const char *name)
{
	struct wanted w = { .name = name };

	virtio_dev_metrics(r->d.dev, look, &w);
	cr_assert(w.found, "no counter %s", name);
	return w.value;
}
