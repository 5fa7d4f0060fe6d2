/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/connect/envelope.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

void envelope_put(uint8_t dst[ENVELOPE_HEADER], uint8_t flags, uint32_t len)
{
	const uint32_t be = htobe32(len);

	dst[0] = flags;
	memcpy(dst + 1, &be, sizeof(be));
}

ssize_t envelope_get(const uint8_t *data, size_t len, size_t max)
{
	uint32_t be;

	if (len > 0 && data[0] != 0)
		return -EPROTO;
	if (len < ENVELOPE_HEADER)
		return 0;
	memcpy(&be, data + 1, sizeof(be));
	if (be32toh(be) > max)
		return -EMSGSIZE;
	return len - ENVELOPE_HEADER < be32toh(be) ? 0 : (ssize_t)(ENVELOPE_HEADER + be32toh(be));
}
