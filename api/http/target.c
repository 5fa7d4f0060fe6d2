/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/target.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int http_unescape(char *s, bool form)
{
	char *out = s;

	for (; *s != '\0'; s++) {
		if (*s == '+' && form) {
			*out++ = ' ';
		} else if (*s == '%') {
			int high = hex(s[1]), low = high < 0 ? -1 : hex(s[2]);
			if (low < 0 || high * 16 + low == 0)
				return -EINVAL;
			*out++ = (char)(high * 16 + low);
			s += 2;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
	return 0;
}

bool http_path_matches(const char *pattern, const char *path, struct http_params *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < HTTP_PARAMS_MAX; i++)
		ret->text[i][0] = '\0';
	while (*pattern != '\0') {
		if (strcmp(pattern, "*") == 0)
			return true;
		if (strncmp(pattern, "{}", 2) == 0) {
			size_t len = strcspn(path, "/");
			BUG_ON(n == HTTP_PARAMS_MAX);
			char *param = ret->text[n++];
			if (len == 0 || len > HTTP_PARAM_MAX)
				return false;
			memcpy(param, path, len);
			param[len] = '\0';
			if (http_unescape(param, false) < 0)
				return false;
			path += len;
			pattern += 2;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return *path == '\0';
}

int http_query_parse(char *query, struct http_arg args[HTTP_QUERY_MAX])
{
	unsigned n = 0;

	while (query != NULL && *query != '\0') {
		char *name = strsep(&query, "&");
		char *value = strchr(name, '=');
		if (*name == '\0')
			continue;
		if (n == HTTP_QUERY_MAX)
			return -E2BIG;
		if (value != NULL)
			*value++ = '\0';
		else
			value = name + strlen(name);
		if (http_unescape(name, true) < 0 || http_unescape(value, true) < 0)
			return -EINVAL;
		args[n++] = (struct http_arg){ .name = name, .value = value };
	}
	return (int)n;
}
