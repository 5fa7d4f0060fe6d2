/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_regs.h - virtio-mmio version 2 (virtio 1.2, 4.2.2) and split rings (2.7), in numbers. */
#ifndef TESTS_GUEST_VIRTIO_REGS_H
#define TESTS_GUEST_VIRTIO_REGS_H

#define REG_MAGIC	 0x000
#define REG_VERSION	 0x004
#define REG_DEVICE_ID	 0x008
#define REG_VENDOR	 0x00c
#define REG_FEATURES	 0x010
#define REG_FEATURES_SEL 0x014
#define REG_DRIVER	 0x020
#define REG_DRIVER_SEL	 0x024
#define REG_QUEUE_SEL	 0x030
#define REG_QUEUE_MAX	 0x034
#define REG_QUEUE_NUM	 0x038
#define REG_QUEUE_READY	 0x044
#define REG_NOTIFY	 0x050
#define REG_IRQ_STATUS	 0x060
#define REG_IRQ_ACK	 0x064
#define IRQ_USED	 1U
#define IRQ_CONFIG	 2U
#define REG_STATUS	 0x070
#define REG_DESC	 0x080
#define REG_AVAIL	 0x090
#define REG_USED	 0x0a0
#define REG_SHM_SEL	 0x0ac
#define REG_GENERATION	 0x0fc
#define REG_CONFIG	 0x100
#define REG_PAGE	 0x1000 /* bytes a device */

#define STATUS_ACK	   1U
#define STATUS_DRIVER	   2U
#define STATUS_OK	   4U
#define STATUS_FEATURES_OK 8U
#define STATUS_NEEDS_RESET 0x40U
#define STATUS_FAILED	   0x80U

#define F_INDIRECT  28
#define F_EVENT_IDX 29
#define F_VERSION_1 32

#define DESC_NEXT     1U
#define DESC_WRITE    2U
#define DESC_INDIRECT 4U

#endif
