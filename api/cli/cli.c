/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define COMPLAINT_MAX 1024

__attribute__((format(printf, 1, 0))) static void complain(const char *fmt, va_list ap)
{
	char text[COMPLAINT_MAX], shown[2 * COMPLAINT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	(void)log_escape(shown, sizeof(shown), text, strlen(text));
	(void)fprintf(stderr, "casemate: %s\n", shown);
}

int cli_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	return CLI_FAILED;
}

void cli_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
}

int cli_end(const struct cli *cli, int r, const struct err *err)
{
	if (cli->signo != 0)
		return CLI_SIGNALLED + cli->signo;
	return r < 0 ? cli_fail("%s", err->msg) : CLI_OK;
}

bool cli_id_valid(const char *id)
{
	return strlen(id) == 20 && id[0] == 'i' &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789") == 20;
}

int cli_print_json(const json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));

	if (text == NULL)
		return cli_fail("out of memory");
	(void)puts(text);
	free(text);
	return CLI_OK;
}

const char *cli_text(const json_t *o, const char *name)
{
	static char text[8][256];
	static unsigned at;
	const char *s = json_string_value(json_object_get(o, name));
	char *dst = text[at++ % ARRAY_SIZE(text)];

	if (s == NULL || *s == '\0')
		s = "-";
	(void)log_escape(dst, sizeof(text[0]), s, strlen(s));
	return dst;
}

int64_t cli_number(const json_t *o, const char *name)
{
	return (int64_t)json_integer_value(json_object_get(o, name));
}
