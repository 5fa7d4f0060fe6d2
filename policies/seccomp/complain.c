/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "policies/seccomp/policy.h"

#define COMPLAINT_MAX 256

bool policy_complain(const struct policy *p, unsigned line, const char *fmt, ...)
{
	char text[COMPLAINT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s:%u: %s\n", p->file, line, text);
	return false;
}
