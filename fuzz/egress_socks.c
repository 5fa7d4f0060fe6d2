/* SPDX-License-Identifier: Apache-2.0 */
/* What a SOCKS5 server says: never more is wanted than there is room for, and it ends. */
#include <stdint.h>

#include "base/bug.h"
#include "egress/socks.h"

static const struct policy_proxy proxies[2] = { { .used = true },
						{ .used = true, .user = "u", .password = "p" } };
static const struct addr four = { { [10] = 0xff, 0xff, 8, 8, 8, 8 } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[SOCKS_OUT_MAX];
	struct socks s;
	unsigned steps = 0;

	if (size == 0)
		return 0;
	socks_init(&s, &proxies[data[0] & 1], (data[0] & 2) != 0 ? "example.org" : NULL, &four, 80);
	data++;
	size--;
	while (!socks_done(&s)) {
		size_t n = socks_wants(&s);

		BUG_ON(n == 0 || n > SOCKS_IN_MAX || ++steps > 6);
		BUG_ON(socks_output(&s, out) > sizeof(out));
		if (n > size || socks_input(&s, data) < 0)
			return 0;
		data += n;
		size -= n;
	}
	BUG_ON(socks_wants(&s) != 0);
	return 0;
}
