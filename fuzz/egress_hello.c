/* SPDX-License-Identifier: Apache-2.0 */
/* A ClientHello: what is found in it is found with bytes behind it, too, and never in a piece of
 * what is incomplete. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/bug.h"
#include "egress/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hello h, again;
	char name[NAME_CAP];
	int r = hello_parse(data, size, &h);

	BUG_ON(r != 0 && r != -EAGAIN && r != -EPROTO);
	if (r == -EAGAIN && size > 0)
		BUG_ON(hello_parse(data, size - 1, &again) == 0);
	if (r != 0)
		return 0;
	if (h.name[0] != '\0')
		BUG_ON(name_normalize(h.name, strlen(h.name), name) < 0 ||
		       strcmp(name, h.name) != 0);
	return 0;
}
