/* SPDX-License-Identifier: Apache-2.0 */
/* rng.c - the entropy device fills what it says it fills, with different bytes each time. */
#include "guest.h"

static struct vdev rng;
static uint8_t bytes[2][64];

void test_rng(void)
{
	if (!vdev_open(&rng, VIRTIO_RNG, 0, 0, 1))
		test_fail("no entropy device", 0);
	for (unsigned i = 0; i < 2; i++) {
		struct vq_buf b = { bytes[i], sizeof(bytes[i]), true };
		uint16_t head;
		uint32_t len;

		vq_add(&rng.q[0], 0, &b, 1);
		vq_kick(&rng, &rng.q[0]);
		vq_wait(&rng, &rng.q[0], &head, &len);
		if (len == 0 || len > sizeof(bytes[i]))
			test_fail("length", len);
	}
	if (memcmp(bytes[0], bytes[1], sizeof(bytes[0])) == 0)
		test_fail("the same bytes twice", bytes[0][0]);
}
