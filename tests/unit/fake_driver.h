/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_driver.h - the guest's side of a virtio-mmio device, on the host: it negotiates, lays out
 * queues in guest memory, posts chains and collects what was used. It can also do it all wrong.
 *
 * What it does right, it does like Linux: it kicks only when the device asks for it, and wants
 * an interrupt only when it has seen everything. One thread; the device's loop is stepped by the
 * tests. Its own failures are bugs (BUG_ON).
 */
#ifndef TESTS_UNIT_FAKE_DRIVER_H
#define TESTS_UNIT_FAKE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "vmm/virtio/virtio.h"

#define DRV_MEM_BYTES (UINT64_C(16) << 20)
#define DRV_PIN	      5U

struct drv_seg {
	uint64_t addr;
	uint32_t len;
	bool write; /* by the device */
};

struct drv_queue {
	uint16_t index;
	uint32_t size;
	uint64_t desc, avail, used;
	uint16_t avail_idx, used_seen;
	uint16_t free[VIRTQ_SIZE_MAX];
	unsigned nfree;
	uint16_t next[VIRTQ_SIZE_MAX]; /* of a posted chain; UINT16_MAX ends it */
	bool event_idx;
	unsigned kicks;
};

struct drv {
	struct gmem mem;
	struct virtio_dev *dev;
	struct loop *loop;
	uint64_t brk;	   /* next free guest address */
	uint64_t irqs_new; /* atomic: raised, not yet taken by drv_irqs */
	uint64_t irqs;
	bool lenient; /* the rings are being changed behind our back: used elements may lie */
	struct drv_queue q[VIRTIO_QUEUES_MAX];
};

/* Memory and loop; the caller then makes the device on &d->mem and calls drv_attach. */
void drv_init(struct drv *d);
void drv_attach(struct drv *d, struct virtio_dev *dev);
/* What drv_attach gives the device: its interrupts go to drv_irqs. */
struct virtio_irq drv_irq(struct drv *d);
/* Frees the device too. */
void drv_done(struct drv *d);

uint32_t drv_get(struct drv *d, uint64_t reg);
void drv_set(struct drv *d, uint64_t reg, uint32_t v);
uint64_t drv_offered(struct drv *d);
bool drv_broken(struct drv *d);

/* Reset, then everything up to DRIVER_OK with all offered features except `without`. */
void drv_start(struct drv *d, uint64_t without);
/* The same up to FEATURES_OK; then queue by queue; then DRIVER_OK. */
void drv_negotiate(struct drv *d, uint64_t without);
void drv_queue_setup(struct drv *d, unsigned q, uint32_t size);
void drv_driver_ok(struct drv *d);

/* Guest memory that nobody uses yet. */
uint64_t drv_alloc(struct drv *d, uint64_t bytes, uint64_t align);
void drv_write(struct drv *d, uint64_t addr, const void *src, size_t len);
void drv_read(struct drv *d, uint64_t addr, void *dst, size_t len);

/* Writes one descriptor of a table. */
void drv_desc(struct drv *d, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
	      unsigned flags, unsigned next);
/* Makes head available and tells the device if it wants to know. */
void drv_avail(struct drv *d, unsigned q, uint16_t head);
/* Posts a chain (through an indirect table if asked); the head, or -1 when the queue is full. */
int drv_post(struct drv *d, unsigned q, const struct drv_seg *segs, unsigned n, bool indirect);
/* The next used element; its descriptors are free again. */
bool drv_used(struct drv *d, unsigned q, uint32_t *head, uint32_t *len);
/* As drv_used, and runs the loop (or waits for the device's thread) up to timeout_ms for it. */
bool drv_wait_used(struct drv *d, unsigned q, uint32_t *head, uint32_t *len, int timeout_ms);
/* Runs the loop until it has nothing more to do at once. */
void drv_run(struct drv *d);
/* Interrupts since the last call. */
uint64_t drv_irqs(struct drv *d);

#endif
