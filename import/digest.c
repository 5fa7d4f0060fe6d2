/* SPDX-License-Identifier: Apache-2.0 */
#include "import/digest.h"

#include <errno.h>
#include <string.h>

#define PREFIX	   "sha256:"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

_Static_assert(DIGEST_TEXT_MAX == PREFIX_LEN + DIGEST_HEX_MAX, "one prefix, one digest");

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int digest_parse_hex(const char *text, struct digest *ret)
{
	struct digest d;

	if (strlen(text) != 2 * sizeof(d.bytes))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(d.bytes); i++) {
		int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		d.bytes[i] = (uint8_t)(high * 16 + low);
	}
	*ret = d;
	return 0;
}

int digest_parse(const char *text, struct digest *ret)
{
	if (strncmp(text, PREFIX, PREFIX_LEN) != 0)
		return -EINVAL;
	return digest_parse_hex(text + PREFIX_LEN, ret);
}

void digest_hex(const struct digest *d, char ret[DIGEST_HEX_MAX])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(d->bytes); i++) {
		ret[2 * i] = digits[d->bytes[i] >> 4];
		ret[2 * i + 1] = digits[d->bytes[i] & 15];
	}
	ret[DIGEST_HEX_MAX - 1] = '\0';
}

void digest_text(const struct digest *d, char ret[DIGEST_TEXT_MAX])
{
	memcpy(ret, PREFIX, PREFIX_LEN);
	digest_hex(d, ret + PREFIX_LEN);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
