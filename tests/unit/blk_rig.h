/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_rig.h - a drive on an anonymous file, and a driver that does one request at a time.
 */
#ifndef TESTS_UNIT_BLK_RIG_H
#define TESTS_UNIT_BLK_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "fake_driver.h"

#define RIG_SECTORS 2048U
#define RIG_WAIT_MS 5000

struct rig {
	struct drv d;
	int fd; /* the disk, also open here, for reading and writing */
	uint64_t hdr, status, data;
};

/* Sector n of the disk begins with n, and its other bytes tell their sector too. params->fd is
 * filled in. The driver takes all features but `without`. */
void rig_open_with(struct rig *r, struct virtio_blk_spec params, uint64_t without);
void rig_open(struct rig *r, bool read_only, uint64_t without);
void rig_close(struct rig *r);

/* A request's header at guest address `at`; the status byte becomes 0xee. */
void rig_header(struct rig *r, uint64_t at, uint32_t type, uint64_t sector);
uint8_t rig_status(struct rig *r);
/* One request on queue q in `segs` data segments at r->data: the status that came back; *used =
 * its used length. */
uint8_t rig_request_on(struct rig *r, unsigned q, uint32_t type, uint64_t sector, uint32_t len,
		       unsigned segs, bool indirect, uint32_t *used);
uint8_t rig_request(struct rig *r, uint32_t type, uint64_t sector, uint32_t len, unsigned segs,
		    bool indirect, uint32_t *used);
void rig_wait_broken(struct rig *r);
uint64_t rig_counter(struct rig *r, const char *name);

/* The same file, for reading only. */
int rig_read_only(int fd);

#endif
