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
#include "blk_rig.h"

Test(virtio_blk, config)
{
	struct rig r;

	rig_open(&r, false, 0);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG), RIG_SECTORS);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 4), 0);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 8), 65536);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 12), 254);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_RO & 1, 0);
	rig_close(&r);
	rig_open(&r, true, 0);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_RO & 1, 1);
	rig_close(&r);
}

static int make(struct drv *d, int fd, struct virtio_blk_spec p, struct virtio_dev **dev)
{
	p.fd = fd;
	p.queues = p.queues == 0 ? 1 : p.queues;
	p.serial = p.serial == NULL ? "x" : p.serial;
	return virtio_blk_new(&d->mem, &p, dev);
}

#define MAKE(fd, ...) make(&d, fd, ((struct virtio_blk_spec){ __VA_ARGS__ }), &dev)

Test(virtio_blk, constructor_refuses)
{
	struct virtio_dev *dev;
	struct drv d;
	int fd, ro, p[2];

	drv_init(&d);
	fd = memfd_create("disk", MFD_CLOEXEC);
	ro = rig_read_only(fd);
	cr_assert_eq(MAKE(fd), -EINVAL, "no sector");
	cr_assert_eq(ftruncate(fd, 511), 0);
	cr_assert_eq(MAKE(fd), -EINVAL);
	cr_assert_eq(ftruncate(fd, 1025), 0);
	cr_assert_eq(MAKE(fd, .serial = "123456789012345678901"), -EINVAL);
	cr_assert_eq(MAKE(fd, .queues = UINT32_MAX), -EINVAL);
	cr_assert_eq(MAKE(fd, .queues = 5), -EINVAL);
	cr_assert_eq(MAKE(ro, .read_only = true, .discard = true), -EINVAL);
	cr_assert_eq(MAKE(-1), -EBADF);
	cr_assert_eq(MAKE(ro), -EBADF, "can't be written");
	cr_assert_eq(MAKE(fd, .read_only = true), -EBADF, "could be written");
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	cr_assert_eq(MAKE(p[0], .read_only = true), -EBADF, "no file");
	cr_assert_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
	cr_assert_eq(MAKE(fd), -EBADF, "writes would not go where they should");
	cr_assert_eq(fcntl(fd, F_SETFL, 0), 0);
	cr_assert_eq(MAKE(ro, .read_only = true), 0);
	virtio_dev_free(dev);
	cr_assert_eq(MAKE(fd, .serial = "12345678901234567890"), 0);
	d.dev = dev;
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_CONFIG), 2, "rounded down");
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
			cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, 100, 64 * 512, segs, indirect,
						 &used),
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
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_OUT, RIG_SECTORS - 2, 1024, 3, false, &used), 0);
	cr_assert_eq(used, 1);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_FLUSH, 0, 0, 0, false, &used), 0);
	cr_assert_eq(pread(r.fd, got, 512, (off_t)(RIG_SECTORS - 1) * 512), 512);
	cr_assert_arr_eq(got, data, 512);
	cr_assert_eq(pread(r.fd, got, 512, (off_t)(RIG_SECTORS - 3) * 512), 512);
	cr_assert_eq(got[511], (RIG_SECTORS - 3) & 0xff);
	cr_assert_eq(lseek(r.fd, 0, SEEK_END), RIG_SECTORS * 512, "a disk never grows");
	rig_close(&r);
}

Test(virtio_blk, get_id)
{
	struct rig r;
	char id[21] = { 0 };
	uint32_t used;

	rig_open(&r, false, 0);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_GET_ID, 0, 20, 1, false, &used), 0);
	drv_read(&r.d, r.data, id, 20);
	cr_assert_str_eq(id, "casemate-0");
	memset(id, 'x', 20);
	drv_write(&r.d, r.data, id, 20);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_GET_ID, 0, 4, 1, false, &used), 0);
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
		{ RIG_SECTORS - 1, 512, VIRTIO_BLK_S_OK },
		{ RIG_SECTORS - 1, 1024, VIRTIO_BLK_S_IOERR },
		{ RIG_SECTORS, 512, VIRTIO_BLK_S_IOERR },
		{ RIG_SECTORS + 1, 512, VIRTIO_BLK_S_IOERR },
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
			uint8_t st = rig_request(&r, out ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
						 cases[i].sector, cases[i].len, 1, false, &used);
			cr_assert_eq(st, cases[i].want, "case %zu: %u", i, st);
		}
	}
	cr_assert_eq(lseek(r.fd, 0, SEEK_END), RIG_SECTORS * 512);
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
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, 0, 512, 1, false, &used), 0);
	cr_assert_eq(gmem_zero(&r.d.mem, gpa(r.data), 512), 0);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_OUT, 0, 512, 1, false, &used),
		     VIRTIO_BLK_S_IOERR);
	cr_assert_eq(pread(r.fd, got, 512, 0), 512);
	cr_assert_arr_eq(s, got, 512);
	rig_close(&r);
	/* Also when the driver didn't take the feature bit. */
	rig_open(&r, true, UINT64_C(1) << VIRTIO_BLK_F_RO);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_OUT, 0, 512, 1, false, &used),
		     VIRTIO_BLK_S_IOERR);
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
		cr_assert_eq(rig_request(&r, types[i], 0, 512, 1, false, &used),
			     VIRTIO_BLK_S_UNSUPP);
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
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, 99, 512, 1, false, &used), 0);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, 100, 512, 1, false, &used),
		     VIRTIO_BLK_S_IOERR);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, 50, 51 * 512, 4, false, &used),
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
	rig_header(&r, r.hdr, VIRTIO_BLK_T_IN, 7);
	struct drv_seg s[] = { { r.hdr, 1, false },
			       { r.hdr + 1, 10, false },
			       { r.hdr + 11, 5, false },
			       { r.data, 3, true },
			       { r.data + 3, 509 + 1, true } };
	cr_assert_geq(drv_post(&r.d, 0, s, ARRAY_SIZE(s), false), 0);
	cr_assert(drv_wait_used(&r.d, 0, &head, &used, RIG_WAIT_MS));
	drv_read(&r.d, r.data + 512, &st, 1);
	cr_assert_eq(st, VIRTIO_BLK_S_OK);
	drv_read(&r.d, r.data, &st, 1);
	cr_assert_eq(st, 7);
	rig_close(&r);
}

/* Without room for a header or a status there is nobody to tell: the device fails. */
Test(virtio_blk, malformed)
{
	for (int i = 0; i < 4; i++) {
		struct rig r;
		rig_open(&r, false, 0);
		rig_header(&r, r.hdr, VIRTIO_BLK_T_IN, 0);
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
		rig_wait_broken(&r);
		cr_assert_eq(rig_status(&r), 0xee);
		/* And it works again after a reset. */
		uint32_t used;
		drv_start(&r.d, 0);
		cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, 0, 512, 1, false, &used), 0);
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
	uint64_t bytes;
	cr_assert_eq(ftruncate(r.fd, 64 << 20), 0);
	cr_assert_eq(virtio_blk_resize(r.d.dev, &bytes), 0);
	rig_header(&r, r.hdr, VIRTIO_BLK_T_IN, 0);
	s[0] = (struct drv_seg){ r.hdr, 16, false };
	for (unsigned i = 1; i <= 17; i++)
		s[i] = (struct drv_seg){ r.data, 1 << 20, true };
	s[18] = (struct drv_seg){ r.status, 1, true };
	cr_assert_geq(drv_post(&r.d, 0, s, 19, false), 0);
	cr_assert(drv_wait_used(&r.d, 0, &head, &used, RIG_WAIT_MS));
	cr_assert_eq(rig_status(&r), VIRTIO_BLK_S_IOERR);
	rig_close(&r);
}

/* A full queue of requests: each answered once. */
Test(virtio_blk, many_in_flight)
{
	struct rig r;
	unsigned done = 0, posted = 0;
	uint32_t head, used;

	rig_open(&r, false, 0);
	rig_header(&r, r.hdr, VIRTIO_BLK_T_IN, 3);
	while (done < 2000) {
		struct drv_seg s[3] = { { r.hdr, 16, false },
					{ r.data, 4096, true },
					{ r.status, 1, true } };
		while (posted < 2000 && drv_post(&r.d, 0, s, 3, posted % 2 == 0) >= 0) {
			r.d.brk = posted % 2 == 0 ? r.d.brk - 48
						  : r.d.brk; /* reuse the table's place */
			posted++;
		}
		cr_assert(drv_wait_used(&r.d, 0, &head, &used, RIG_WAIT_MS), "stuck at %u", done);
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
	rig_header(&r, r.hdr, VIRTIO_BLK_T_IN, 3);
	cr_assert_eq(pthread_create(&t, NULL, look, &a), 0);
	for (int round = 0; round < 200; round++) {
		struct drv_seg s[3] = { { r.hdr, 16, false },
					{ r.data, 4096, true },
					{ r.status, 1, true } };
		for (int i = 0; i < 40; i++)
			cr_assert_geq(drv_post(&r.d, 0, s, 3, false), 0);
		for (int i = 0; i < 40; i++)
			cr_assert(drv_wait_used(&r.d, 0, &head, &used, RIG_WAIT_MS), "round %d",
				  round);
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
		rig_header(&r, r.hdr, VIRTIO_BLK_T_IN, 1);
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
	cr_assert_eq(lseek(r.fd, 0, SEEK_END), RIG_SECTORS * 512);
	uint32_t used;
	r.d.brk = brk;
	drv_start(&r.d, 0);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, 0, 512, 1, false, &used), 0);
	rig_close(&r);
}

static int hooked, refuse_from; /* hooked: atomic */
static int hook(const char *role)
{
	if (strcmp(role, "blk") == 0)
		__atomic_fetch_add(&hooked, 1, __ATOMIC_RELAXED);
	return 0;
}

static int refuse(const char *role)
{
	(void)role;
	return __atomic_fetch_add(&hooked, 1, __ATOMIC_RELAXED) >= refuse_from ? -EPERM : 0;
}

/* Every thread is locked down before anything else; when that fails for one, so does the start. */
Test(virtio_blk, thread_hook)
{
	struct virtio_blk_spec p = { .queues = 1, .serial = "x" };
	struct virtio_dev *dev;
	struct virtio_irq irq;
	struct rig r;

	virtio_set_thread_hook(hook);
	rig_open(&r, false, 0);
	cr_assert_geq(hooked, 2);
	rig_close(&r);
	virtio_set_thread_hook(refuse);
	drv_init(&r.d);
	irq = drv_irq(&r.d);
	for (refuse_from = 0; refuse_from < 4; refuse_from++) {
		__atomic_store_n(&hooked, 0, __ATOMIC_RELAXED);
		p.fd = memfd_create("disk", MFD_CLOEXEC);
		cr_assert_eq(ftruncate(p.fd, 4096), 0);
		cr_assert_eq(virtio_blk_new(&r.d.mem, &p, &dev), 0);
		cr_assert_eq(virtio_dev_attach(dev, r.d.loop, &irq), -EPERM);
		virtio_dev_free(dev);
	}
}

/* An image gets by with few threads; a drive that can be written has more; all drives share. */
Test(virtio_blk, threads_of_the_pool)
{
	struct rig image, disk, another;

	virtio_set_thread_hook(hook);
	rig_open(&image, true, 0);
	cr_assert_eq(hooked, 1 + 2);
	rig_open(&disk, false, 0);
	cr_assert_eq(hooked, 1 + 2 + 1 + 6);
	rig_open(&another, false, 0);
	cr_assert_eq(hooked, 1 + 2 + 1 + 6 + 1);
	rig_close(&disk);
	rig_close(&image);
	rig_close(&another);
}
