/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile.h - the tools of the hostile driver; README.md shows how a sequence of one's own is
 * added.
 *
 * A row is one function and one line of hostile_rows.h. The runner calls it for each device that
 * the row is about, `rounds` times each, with random numbers that only depend on (seed, row,
 * device, round). Before each call the device has been reset. After it the runner takes note of
 * NEEDS_RESET, stops the second processor, resets the device, brings it up as a good driver would
 * and makes one good request; all other devices must then answer one too. So a row just does its
 * harm and returns.
 *
 * A row must also show that it reached its target (hx_proof), or it proves nothing.
 *
 * Nothing here checks what it is given: that is the device's job.
 */
#ifndef TESTS_GUEST_HOSTILE_H
#define TESTS_GUEST_HOSTILE_H

#include "guest.h"
#include "virtio_regs.h"

/* How a row shows that it got there; ORed where it does so in more than one way. */
enum hx_proof {
	HX_BREAKS = 1,	  /* every round leaves the device in NEEDS_RESET */
	HX_MAY_BREAK = 2, /* at least one round does */
	HX_SURVIVES = 4,  /* no round does */
	HX_HIT = 8,	  /* the row saw what it wanted, and called hx_hit, in at least one round */
	HX_COUNTED = 16,  /* the host's `errors` metric grows (checked by vmm_hostile.c) */
	HX_MAY_END = 32,  /* KVM may give the VM up for it, with a documented reason */
};

/* Which devices: a bit for each virtio device type; 0 = none, the row is about the machine. */
#define HX_NET	   (1U << VIRTIO_NET)
#define HX_BLK	   (1U << VIRTIO_BLK)
#define HX_CONSOLE (1U << VIRTIO_CONSOLE)
#define HX_RNG	   (1U << VIRTIO_RNG)
#define HX_BALLOON (1U << VIRTIO_BALLOON)
#define HX_VSOCK   (1U << VIRTIO_VSOCK)
#define HX_PMEM	   (1U << VIRTIO_PMEM)
#define HX_ANY	   0xffffffffU
/* All but the balloon: of what it reads in garbage, it takes pages away that the guest stands on.
 */
#define HX_SAFE	     (HX_ANY & ~HX_BALLOON)
#define HX_PROCESSOR 0U

#define HX_QUEUES_MAX	  16U
#define HX_QUEUE_SIZE_MAX 256U

/* A queue as it lies in memory. Any field may be changed before hx_queue_enable. */
struct hx_queue {
	uint64_t desc, avail, used; /* guest-physical addresses, our own pages at first */
	uint32_t size;
	uint16_t idx;  /* what hx_avail writes to avail.idx next */
	uint16_t seen; /* used elements that hx_used has returned */
	unsigned index;
};

struct hx_dev {
	uint64_t base; /* of its registers */
	unsigned n;    /* in the ACPI tables */
	uint32_t id;   /* virtio device type */
	unsigned queues;
	struct hx_queue q[HX_QUEUES_MAX];
};

struct hx {
	struct hx_dev *dev; /* under attack; NULL for HX_PROCESSOR */
	unsigned round;
	uint64_t random; /* state of hx_rand */
	uint32_t hits;
	uint64_t brk; /* of hx_mem */
};

/* ---- Chance, the same for the same seed ---- */
uint64_t hx_rand(struct hx *h);
uint64_t hx_below(struct hx *h, uint64_t n); /* 0..n-1 */
#define HX_PICK(h, ...)                                           \
	({                                                        \
		const uint64_t of_[] = { __VA_ARGS__ };           \
		of_[hx_below((h), sizeof(of_) / sizeof(of_[0]))]; \
	})
/* A number at an edge, or any. */
uint64_t hx_edge(struct hx *h);

/* ---- Verdicts ---- */
void hx_hit(struct hx *h); /* the target was reached */
/* The VMM did what it must not do: the test ends. */
__attribute__((noreturn)) void hx_fail(struct hx *h, const char *why, uint64_t value);

/* ---- Registers: any offset, any width of 1, 2, 4, 8, any alignment ---- */
uint64_t hx_peek(struct hx *h, uint64_t off, unsigned width);
void hx_poke(struct hx *h, uint64_t off, unsigned width, uint64_t v);
uint32_t hx_get(struct hx *h, uint64_t reg);	       /* 32 bits */
void hx_set(struct hx *h, uint64_t reg, uint32_t v);   /* 32 bits */
void hx_set64(struct hx *h, uint64_t reg, uint64_t v); /* low half at reg, high half behind it */
bool hx_broken(struct hx *h);			       /* NEEDS_RESET */

/* ---- Bringing the device up: in one go... ---- */
/* Reset to DRIVER_OK with these ring features (0, 1ULL << F_INDIRECT, ...), all queues enabled at
 * their largest size (up to HX_QUEUE_SIZE_MAX). */
void hx_up(struct hx *h, uint64_t features);
/* The same with a random choice of the ring features. */
void hx_up_any(struct hx *h);
/* ...or step by step. */
void hx_reset(struct hx *h);
uint64_t hx_offered(struct hx *h);
bool hx_negotiate(struct hx *h, uint64_t features); /* up to FEATURES_OK; true if it stays */
/* Fresh pages for queue q of this size, both rings empty; only memory. */
void hx_queue_layout(struct hx *h, unsigned q, uint32_t size);
/* Writes the registers from dev->q[q]; true if QUEUE_READY stays. */
bool hx_queue_enable(struct hx *h, unsigned q);
void hx_driver_ok(struct hx *h);

/* ---- Rings ---- */
uint64_t hx_ram_end(void); /* the first address above RAM's first range */
uint64_t hx_mem(struct hx *h,
		uint64_t bytes); /* zeroed guest memory, page-aligned, for the round */
void hx_mem_again(struct hx *h); /* all of it may be given out once more */
void hx_table_desc(uint64_t table, unsigned i, uint64_t addr, uint32_t len, unsigned flags,
		   unsigned next);
void hx_desc(struct hx_queue *q, unsigned i, uint64_t addr, uint32_t len, unsigned flags,
	     unsigned next);
void hx_avail(struct hx_queue *q, uint16_t head);    /* the next entry, and the index */
void hx_avail_idx(struct hx_queue *q, uint16_t idx); /* only the index */
void hx_kick(struct hx *h, unsigned q);
/* One chain of one buffer at descriptor `head`, available and kicked. */
void hx_post(struct hx *h, unsigned q, uint16_t head, uint64_t addr, uint32_t len,
	     bool device_writes);
uint16_t hx_used_idx(const struct hx_queue *q);
/* Waits until the device has used an element that hx_used has not returned yet (true), broken down,
 * or done neither for a second. */
bool hx_wait(struct hx *h, unsigned q);
bool hx_used(struct hx_queue *q, uint32_t *head, uint32_t *len);
/* The queue on which the driver gives this device work; does the device write there? */
unsigned hx_work_queue(const struct hx *h);
bool hx_device_writes(const struct hx *h);
/* Descriptors `first` and on of the work queue become one good request: how many they are (0: of
 * this kind of device nobody here knows one). Not made available yet. */
unsigned hx_good_chain(struct hx *h, unsigned first);

/* ---- vsock packets (virtio 1.2, 5.10.6) ---- */
struct __attribute__((packed)) hx_vsock {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
};
enum {
	HX_VSOCK_REQUEST = 1,
	HX_VSOCK_RESPONSE,
	HX_VSOCK_RST,
	HX_VSOCK_SHUTDOWN,
	HX_VSOCK_RW,
	HX_VSOCK_CREDIT_UPDATE,
	HX_VSOCK_CREDIT_REQUEST
};
uint64_t hx_guest_cid(struct hx *h);

/* ---- The second processor, as a racer ---- */
/* Calls step over and over on it, with a struct hx of its own (other numbers, same device), until
 * hx_race_end. Without a second processor the row fails. */
typedef void hx_step_fn(struct hx *racer);
void hx_race(struct hx *h, hx_step_fn *step);
void hx_race_end(struct hx *h);

/* ---- hostile_dev.c and hostile_kinds.c, for the runner ---- */
extern struct hx_dev hx_devs[ACPI_DEVICES_MAX];
extern unsigned hx_devs_count;
void hx_find_devices(void);
void hx_round_begin(struct hx *h, struct hx_dev *d, uint64_t seed);
/* A good driver comes up and has one request answered; ends the test when it is not. */
void hx_check_good(struct hx *h);
const char *hx_kind_name(uint32_t id);

/* The rows' functions. */
#define HX_ROW(id, fn, devices, proof, rounds, what) void fn(struct hx *h);
#include "hostile_rows.h"
#undef HX_ROW

#endif
