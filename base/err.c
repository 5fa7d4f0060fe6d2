/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	BUG_ON(code >= 0); /* would pass for success */
	if (e == NULL)
		return code;
	e->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	size_t used;

	BUG_ON(code >= 0);
	if (e == NULL)
		return code;
	e->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	used = strlen(e->msg);
	/* strerrordesc_np is thread-safe and needs no locale files, so it works in the jail. */
	const char *text = strerrordesc_np(-code);
	(void)snprintf(e->msg + used, sizeof(e->msg) - used, ": %s", text ? text : "unknown error");
	return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char old[ERR_MSG_MAX];
	va_list ap;
	size_t used;

	if (e == NULL)
		return -EIO;
	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	used = strlen(e->msg);
	size_t room = sizeof(e->msg) - used;
	size_t i = 0;
	if (room > 2) {
		e->msg[used++] = ':';
		e->msg[used++] = ' ';
		for (; old[i] != '\0' && used < sizeof(e->msg) - 1; i++)
			e->msg[used++] = old[i];
		e->msg[used] = '\0';
	}
	return e->code;
}
