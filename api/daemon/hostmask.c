/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/hostmask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"

#define PLACEHOLDER "${PORT}"

/* What a Host is made of (RFC 9110, 7.2; RFC 3986, 3.2.2), without escapes and what nobody uses. */
static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			      ".-_:[]";

static int expand(const char *mask, const char *port, char ret[HOSTMASK_MAX + 1])
{
	size_t len = 0;

	while (*mask != '\0') {
		const char *from = mask;
		size_t n = 1;

		if (strncmp(mask, PLACEHOLDER, strlen(PLACEHOLDER)) == 0) {
			from = port;
			n = strlen(port);
			mask += strlen(PLACEHOLDER);
		} else {
			mask++;
		}
		if (n > HOSTMASK_MAX - len)
			return -EINVAL;
		memcpy(ret + len, from, n);
		len += n;
	}
	ret[len] = '\0';
	return 0;
}

bool hostmask_valid(const char *mask)
{
	char longest[HOSTMASK_MAX + 1];

	if (strlen(mask) > HOSTMASK_MAX || expand(mask, "65535", longest) < 0)
		return false;
	return longest[0] != '\0' && longest[strspn(longest, allowed)] == '\0';
}

void hostmask_expand(const char *mask, uint16_t port, char ret[HOSTMASK_MAX + 1])
{
	char digits[6];

	(void)snprintf(digits, sizeof(digits), "%u", port);
	BUG_ON(expand(mask, digits, ret) < 0);
}
