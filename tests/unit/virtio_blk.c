/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk against real files: data, bounds, read-only, malformed requests, resets. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/le.h"
#include "base/num.h"
#include "fake_driver.h"

#define SECTORS 2048U
#define WAIT_MS 5000

struct rig {
	struct drv d;
	int fd; /* the disk, also open here */
	uint64_t hdr, status, data;
};

/* Sector n begins with n, and its other bytes tell their sector too. */
static void fill(int fd, unsigned sectors)
{
	uint8_t s[512];

	for (uint32_t n = 0; n < sectors; n++) {
		memset(s, (int)(n & 0xff), sizeof(s));
		memcpy(s, &n, sizeof(n));
		cr_assert_eq(pwrite(fd, s, sizeof(s), (off_t)n * 512), 512);
	}
}

static void rig_open(struct rig *r, bool read_only, uint64_t without)
{
	struct virtio_dev *dev;

	memset(r, 0, sizeof(*r));
	r->fd = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_geq(r->fd, 0);
	fill(r->fd, SECTORS);
	drv_init(&r->d);
	cr_assert_eq(virtio_blk_new(&r->d.mem, dup(r->fd), read_only, "casemate-0", &dev), 0);
	drv_attach(&r->d, dev);
	r->hdr = drv_alloc(&r->d, 16, 16);
	r->status = drv_alloc(&r->d, 1, 1);
	r->data = drv_alloc(&r->d, 1 << 20, 4096);
	drv_start(&r->d, without);
}

static void rig_close(struct rig *r)
{
	drv_done(&r->d);
	close(r->fd);
}

static void header(struct rig *r, uint64_t at, uint32_t type, uint64_t sector)
{
	struct {
		le32_t type, reserved;
		le64_t sector;
	} h = { le32_put(type), le32_put(0), le64_put(sector) };

	drv_write(&r->d, at, &h, sizeof(h));
	drv_write(&r->d, r->status, "\xee", 1);
}

static uint8_t status_of(struct rig *r)
{
	uint8_t s;

	drv_read(&r->d, r->status, &s, 1);
	return s;
}

/* One request in `segs` data segments: the status that came back; *used = its used length. */
static uint8_t request(struct rig *r, uint32_t type, uint64_t sector, uint32_t len, unsigned segs,
		       bool indirect, uint32_t *used)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct drv_seg s[66] = { { r->hdr, 16, false } };
	uint32_t head, off = 0;
	unsigned n = 1;

	header(r, r->hdr, type, sector);
	for (; n <= segs && off < len; n++) {
		uint32_t part = n == segs ? len - off : len / segs;
		s[n] = (struct drv_seg){ r->data + off, part, in };
		off += part;
	}
	s[n++] = (struct drv_seg){ r->status, 1, true };
	cr_assert_geq(drv_post(&r->d, 0, s, n, indirect), 0);
	cr_assert(drv_wait_used(&r->d, 0, &head, used, WAIT_MS), "no answer");
	return status_of(r);
}

Test(virtio_blk, config)
{
	struct rig r;

	rig_open(&r, false, 0);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG), SECTORS);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 4), 0);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 8), 65536);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 12), 126);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_RO & 1, 0);
	rig_close(&r);
	rig_open(&r, true, 0);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_RO & 1, 1);
	rig_close(&r);
}

Test(virtio_blk, constructor_refuses)
{
	struct virtio_dev *dev;
	struct drv d;
	int fd, ro;

	drv_init(&d);
	fd = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_eq(virtio_blk_new(&d.mem, fd, false, "x", &dev), -EINVAL, "no sector");
	cr_assert_eq(ftruncate(fd, 511), 0);
	cr_assert_eq(virtio_blk_new(&d.mem, fd, false, "x", &dev), -EINVAL);
	cr_assert_eq(ftruncate(fd, 1025), 0);
	cr_assert_eq(virtio_blk_new(&d.mem, fd, false, "123456789012345678901", &dev), -EINVAL);
	ro = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(virtio_blk_new(&d.mem, ro, false, "x", &dev), -EBADF);
	cr_assert_eq(virtio_blk_new(&d.mem, -1, false, "x", &dev), -EBADF);
	cr_assert_eq(virtio_blk_new(&d.mem, fd, false, "12345678901234567890", &dev), 0);
	d.dev = dev;
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_CONFIG), 2, "rounded down");
	close(ro);
	drv_done(&d);
}

Test(virtio_blk, reads)
{
	struct rig r;
	uint8_t s[512];
	uint32_t used, n;

	rig_open(&r, false, 0);
	for (unsigned segs = 1; segs <= 64; segs *= 4) {
		for (unsigned indirect = 0; indirect < 2; indirect++) {
			cr_assert_eq(
				request(&r, VIRTIO_BLK_T_IN, 100, 64 * 512, segs, indirect, &used),
				0);
			cr_assert_eq(used, 64 * 512 + 1);
			for (unsigned i = 0; i < 64; i++) {
				drv_read(&r.d, r.data + i * 512, s, 512);
				memcpy(&n, s, 4);
				cr_assert_eq(n, 100 + i);
				cr_assert_eq(s[511], (100 + i) & 0xff);
			}
			cr_assert_eq(gmem_zero(&r.d.mem, gpa(r.data), 64 * 512), 0);
		}
	}
	cr_assert_gt(drv_irqs(&r.d), 0);
	cr_assert_eq(r.d.dev->errors, 0);
	rig_close(&r);
}

Test(virtio_blk, writes_and_flush)
{
	uint8_t data[1000 * 4], got[512];
	struct rig r;
	uint32_t used;

	rig_open(&r, false, 0);
	memset(data, 0x5a, sizeof(data));
	drv_write(&r.d, r.data, data, 1024);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_OUT, SECTORS - 2, 1024, 3, false, &used), 0);
	cr_assert_eq(used, 1);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_FLUSH, 0, 0, 0, false, &used), 0);
	cr_assert_eq(pread(r.fd, got, 512, (off_t)(SECTORS - 1) * 512), 512);
	cr_assert_arr_eq(got, data, 512);
	cr_assert_eq(pread(r.fd, got, 512, (off_t)(SECTORS - 3) * 512), 512);
	cr_assert_eq(got[511], (SECTORS - 3) & 0xff);
	cr_assert_eq(lseek(r.fd, 0, SEEK_END), SECTORS * 512, "a disk never grows");
	rig_close(&r);
}

Test(virtio_blk, get_id)
{
	struct rig r;
	char id[21] = { 0 };
	uint32_t used;

	rig_open(&r, false, 0);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_GET_ID, 0, 20, 1, false, &used), 0);
	drv_read(&r.d, r.data, id, 20);
	cr_assert_str_eq(id, "casemate-0");
	memset(id, 'x', 20);
	drv_write(&r.d, r.data, id, 20);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_GET_ID, 0, 4, 1, false, &used), 0);
	drv_read(&r.d, r.data, id, 8);
	cr_assert_eq(memcmp(id, "casexxxx", 8), 0, "not beyond what was offered");
	rig_close(&r);
}

/* A range must lie within the capacity, whatever the arithmetic would make of it. */
Test(virtio_blk, bounds)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
		uint8_t want;
	} cases[] = {
		{ 0, 512, VIRTIO_BLK_S_OK },
		{ SECTORS - 1, 512, VIRTIO_BLK_S_OK },
		{ SECTORS - 1, 1024, VIRTIO_BLK_S_IOERR },
		{ SECTORS, 512, VIRTIO_BLK_S_IOERR },
		{ SECTORS + 1, 512, VIRTIO_BLK_S_IOERR },
		{ 0, 0, VIRTIO_BLK_S_IOERR },
		{ 0, 511, VIRTIO_BLK_S_IOERR },
		{ 0, 513, VIRTIO_BLK_S_IOERR },
		{ 0, 1, VIRTIO_BLK_S_IOERR },
		{ UINT64_MAX, 512, VIRTIO_BLK_S_IOERR },
		{ UINT64_MAX / 512, 512, VIRTIO_BLK_S_IOERR },
		{ UINT64_MAX / 512 + 1, 512, VIRTIO_BLK_S_IOERR }, /* wraps to byte 0 */
		{ UINT64_MAX / 512 + 2, 512, VIRTIO_BLK_S_IOERR },
		{ UINT64_C(1) << 55, 512, VIRTIO_BLK_S_IOERR },
		{ UINT64_C(1) << 63, 512, VIRTIO_BLK_S_IOERR },
	};
	struct rig r;
	uint32_t used;

	rig_open(&r, false, 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned out = 0; out < 2; out++) {
			uint8_t st = request(&r, out ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
					     cases[i].sector, cases[i].len, 1, false, &used);
			cr_assert_eq(st, cases[i].want, "case %zu: %u", i, st);
		}
	}
	cr_assert_eq(lseek(r.fd, 0, SEEK_END), SECTORS * 512);
	cr_assert(!drv_broken(&r.d));
	rig_close(&r);
}

Test(virtio_blk, read_only)
{
	uint8_t s[512], got[512];
	struct rig r;
	uint32_t used;

	rig_open(&r, true, 0);
	cr_assert_eq(pread(r.fd, s, 512, 0), 512);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_IN, 0, 512, 1, false, &used), 0);
	cr_assert_eq(gmem_zero(&r.d.mem, gpa(r.data), 512), 0);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_OUT, 0, 512, 1, false, &used), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(pread(r.fd, got, 512, 0), 512);
	cr_assert_arr_eq(s, got, 512);
	rig_close(&r);
	/* Also when the driver didn't take the feature bit. */
	rig_open(&r, true, UINT64_C(1) << VIRTIO_BLK_F_RO);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_OUT, 0, 512, 1, false, &used), VIRTIO_BLK_S_IOERR);
	rig_close(&r);
}

Test(virtio_blk, unknown_types)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_SCSI_CMD,
					  VIRTIO_BLK_T_DISCARD,
					  VIRTIO_BLK_T_WRITE_ZEROES,
					  15,
					  0x80000000U,
					  UINT32_MAX };
	struct rig r;
	uint32_t used;

	rig_open(&r, false, 0);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		cr_assert_eq(request(&r, types[i], 0, 512, 1, false, &used), VIRTIO_BLK_S_UNSUPP);
	cr_assert(!drv_broken(&r.d));
	rig_close(&r);
}

/* The file shrinks under the device: an I/O error, not old memory and not a crash. */
Test(virtio_blk, truncated_file)
{
	struct rig r;
	uint32_t used;

	rig_open(&r, false, 0);
	cr_assert_eq(ftruncate(r.fd, 100 * 512 + 100), 0);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_IN, 99, 512, 1, false, &used), 0);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_IN, 100, 512, 1, false, &used), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_IN, 50, 51 * 512, 4, false, &used),
		     VIRTIO_BLK_S_IOERR);
	cr_assert(used <= 1, "no byte is claimed");
	rig_close(&r);
}

/* Any framing is legal: the header in pieces, the status behind data in one segment. */
Test(virtio_blk, odd_framing)
{
	struct rig r;
	uint32_t head, used;
	uint8_t st = 0xee;

	rig_open(&r, false, 0);
	header(&r, r.hdr, VIRTIO_BLK_T_IN, 7);
	struct drv_seg s[] = { { r.hdr, 1, false },
			       { r.hdr + 1, 10, false },
			       { r.hdr + 11, 5, false },
			       { r.data, 3, true },
			       { r.data + 3, 509 + 1, true } };
	cr_assert_geq(drv_post(&r.d, 0, s, ARRAY_SIZE(s), false), 0);
	cr_assert(drv_wait_used(&r.d, 0, &head, &used, WAIT_MS));
	drv_read(&r.d, r.data + 512, &st, 1);
	cr_assert_eq(st, VIRTIO_BLK_S_OK);
	drv_read(&r.d, r.data, &st, 1);
	cr_assert_eq(st, 7);
	rig_close(&r);
}

static void wait_broken(struct rig *r)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (!drv_broken(&r->d) && now_ms() < end)
		usleep(1000);
	cr_assert(drv_broken(&r->d));
}

/* Without room for a header or a status there is nobody to tell: the device fails. */
Test(virtio_blk, malformed)
{
	for (int i = 0; i < 4; i++) {
		struct rig r;
		rig_open(&r, false, 0);
		header(&r, r.hdr, VIRTIO_BLK_T_IN, 0);
		struct drv_seg s[3] = { { r.hdr, 16, false },
					{ r.data, 512, true },
					{ r.status, 1, true } };
		unsigned n = 3;
		if (i == 0)
			n = 1; /* nothing writable */
		if (i == 1)
			s[0].len = 15;
		if (i == 2)
			s[2].addr = DRV_MEM_BYTES;
		if (i == 3)
			s[1].len = UINT32_MAX;
		cr_assert_geq(drv_post(&r.d, 0, s, n, false), 0);
		wait_broken(&r);
		cr_assert_eq(status_of(&r), 0xee);
		/* And it works again after a reset. */
		uint32_t used;
		drv_start(&r.d, 0);
		cr_assert_eq(request(&r, VIRTIO_BLK_T_IN, 0, 512, 1, false, &used), 0);
		rig_close(&r);
	}
}

/* A request beyond the advertised sizes is refused, not half done. */
Test(virtio_blk, too_large)
{
	struct drv_seg s[66] = { { 0 } };
	struct rig r;
	uint32_t head, used;

	rig_open(&r, false, 0);
	header(&r, r.hdr, VIRTIO_BLK_T_IN, 0);
	s[0] = (struct drv_seg){ r.hdr, 16, false };
	for (unsigned i = 1; i <= 10; i++)
		s[i] = (struct drv_seg){ r.data, 1 << 20, true };
	s[11] = (struct drv_seg){ r.status, 1, true };
	cr_assert_geq(drv_post(&r.d, 0, s, 12, false), 0);
	cr_assert(drv_wait_used(&r.d, 0, &head, &used, WAIT_MS));
	cr_assert_eq(status_of(&r), VIRTIO_BLK_S_IOERR);
	rig_close(&r);
}

/* A full queue of requests: each answered once. */
Test(virtio_blk, many_in_flight)
{
	struct rig r;
	unsigned done = 0, posted = 0;
	uint32_t head, used;

	rig_open(&r, false, 0);
	header(&r, r.hdr, VIRTIO_BLK_T_IN, 3);
	while (done < 2000) {
		struct drv_seg s[3] = { { r.hdr, 16, false },
					{ r.data, 4096, true },
					{ r.status, 1, true } };
		while (posted < 2000 && drv_post(&r.d, 0, s, 3, posted % 2 == 0) >= 0) {
			r.d.brk = posted % 2 == 0 ? r.d.brk - 48
						  : r.d.brk; /* reuse the table's place */
			posted++;
		}
		cr_assert(drv_wait_used(&r.d, 0, &head, &used, WAIT_MS), "stuck at %u", done);
		cr_assert_eq(used, 4097);
		done++;
	}
	cr_assert(!drv_used(&r.d, 0, &head, &used));
	cr_assert(!drv_broken(&r.d));
	rig_close(&r);
}

struct racer {
	struct rig *r;
	bool stop; /* atomic */
};

static void *look(void *arg)
{
	struct racer *a = arg;
	uint32_t v;

	while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED))
		virtio_mmio_read(a->r->d.dev, VIRTIO_MMIO_CONFIG, &v, sizeof(v));
	return NULL;
}

/* A vCPU that wants the lock all the time makes rounds end early; no request is forgotten. */
Test(virtio_blk, impatient_vcpu)
{
	uint32_t head, used;
	struct racer a = { 0 };
	struct rig r;
	pthread_t t;

	rig_open(&r, false, 0);
	a.r = &r;
	header(&r, r.hdr, VIRTIO_BLK_T_IN, 3);
	cr_assert_eq(pthread_create(&t, NULL, look, &a), 0);
	for (int round = 0; round < 200; round++) {
		struct drv_seg s[3] = { { r.hdr, 16, false },
					{ r.data, 4096, true },
					{ r.status, 1, true } };
		for (int i = 0; i < 40; i++)
			cr_assert_geq(drv_post(&r.d, 0, s, 3, false), 0);
		for (int i = 0; i < 40; i++)
			cr_assert(drv_wait_used(&r.d, 0, &head, &used, WAIT_MS), "round %d", round);
	}
	__atomic_store_n(&a.stop, true, __ATOMIC_RELAXED);
	cr_assert_eq(pthread_join(t, NULL), 0);
	rig_close(&r);
}

/* Resets while the device's thread is at work: nothing is written to memory afterwards. */
Test(virtio_blk, reset_in_flight)
{
	uint8_t zero[4096] = { 0 }, got[4096];
	struct rig r;

	rig_open(&r, false, 0);
	uint64_t brk = r.d.brk;
	for (int round = 0; round < 200; round++) {
		struct drv_seg s[3] = { { r.hdr, 16, false },
					{ r.data, 65536, true },
					{ r.status, 1, true } };
		header(&r, r.hdr, VIRTIO_BLK_T_IN, 1);
		for (int i = 0; i < 40; i++)
			cr_assert_geq(drv_post(&r.d, 0, s, 3, false), 0);
		if (round % 3 == 0)
			usleep((unsigned)round);
		drv_set(&r.d, VIRTIO_MMIO_STATUS, 0);
		cr_assert_eq(gmem_zero(&r.d.mem, gpa(r.data), sizeof(zero)), 0);
		usleep(200);
		drv_read(&r.d, r.data, got, sizeof(got));
		cr_assert_arr_eq(got, zero, sizeof(got), "written after the reset");
		r.d.brk = brk;
		drv_start(&r.d, 0);
	}
	rig_close(&r);
}

/* A vCPU that changes descriptors and requests while they are served. */
static void *race(void *arg)
{
	struct racer *a = arg;
	struct gmem *m = &a->r->d.mem;
	uint32_t i = 0;

	while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
		static const uint64_t values[] = {
			0, 1, 4, 512, 1 << 20, UINT64_MAX, DRV_MEM_BYTES
		};
		uint64_t v = values[i % ARRAY_SIZE(values)];
		(void)!gmem_write(m, gpa(a->r->hdr + (i % 2 ? 8 : 0)), &v, 8);
		(void)!gmem_write(m, gpa(a->r->d.q[0].desc + 16 * (i % 128)), &v, 8);
		v = values[i % 5] | (uint64_t)(i % 4) << 32 | (uint64_t)(i % 130) << 48;
		(void)!gmem_write(m, gpa(a->r->d.q[0].desc + 16 * (i * 7 % 128) + 8), &v, 8);
		i++;
	}
	return NULL;
}

Test(virtio_blk, racing_writer)
{
	struct racer a = { 0 };
	unsigned resets = 0;
	struct rig r;
	pthread_t t;

	rig_open(&r, true, 0);
	uint64_t brk = r.d.brk;
	a.r = &r;
	cr_assert_eq(pthread_create(&t, NULL, race, &a), 0);
	for (uint64_t end = now_ms() + 1000; now_ms() < end;) {
		for (uint16_t i = 0; i < 32; i++)
			drv_avail(&r.d, 0, (uint16_t)(i * 3));
		usleep(100);
		r.d.brk = brk;
		drv_start(&r.d, 0);
		resets++;
	}
	__atomic_store_n(&a.stop, true, __ATOMIC_RELAXED);
	cr_assert_eq(pthread_join(t, NULL), 0);
	cr_assert_gt(resets, 10);
	cr_assert_eq(lseek(r.fd, 0, SEEK_END), SECTORS * 512);
	uint32_t used;
	r.d.brk = brk;
	drv_start(&r.d, 0);
	cr_assert_eq(request(&r, VIRTIO_BLK_T_IN, 0, 512, 1, false, &used), 0);
	rig_close(&r);
}

static int hooked;
static int hook(const char *role)
{
	hooked += strcmp(role, "blk") == 0;
	return 0;
}

static int refuse(const char *role)
{
	(void)role;
	return -EPERM;
}

/* The thread is locked down before anything else; when that fails, so does the start. */
Test(virtio_blk, thread_hook)
{
	struct virtio_dev *dev;
	struct rig r;

	virtio_set_thread_hook(hook);
	rig_open(&r, false, 0);
	cr_assert_eq(hooked, 1);
	virtio_set_thread_hook(refuse);
	cr_assert_eq(virtio_blk_new(&r.d.mem, dup(r.fd), false, "x", &dev), 0);
	cr_assert_eq(virtio_dev_attach(dev, r.d.loop), -EPERM);
	virtio_dev_free(dev);
	rig_close(&r);
}
