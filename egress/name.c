/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/name.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/num.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* "1", "007", "0x7f": what inet_aton would read as the end of an address. */
static bool is_number(const char *label, size_t len)
{
	size_t i = 0;

	if (len >= 2 && label[0] == '0' && label[1] == 'x') {
		for (i = 2; i < len; i++)
			if (!is_digit(label[i]) && !(label[i] >= 'a' && label[i] <= 'f'))
				return false;
		return true;
	}
	while (i < len && is_digit(label[i]))
		i++;
	return i == len;
}

static bool is_label(const char *label, size_t len)
{
	if (len == 0 || len > EGRESS_LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = label[i];

		if (!is_digit(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_')
			return false;
	}
	return true;
}

int name_normalize(const char *text, size_t len, char ret[NAME_CAP])
{
	char name[NAME_CAP];
	size_t start = 0;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > EGRESS_NAME_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		name[i] = lower(text[i]);
	name[len] = '\0';
	for (size_t i = 0; i <= len; i++) {
		if (i < len && name[i] != '.')
			continue;
		if (!is_label(name + start, i - start))
			return -EINVAL;
		if (i == len && is_number(name + start, i - start))
			return -EINVAL;
		start = i + 1;
	}
	memcpy(ret, name, len + 1);
	return 0;
}

int name_pattern_parse(const char *text, size_t len, struct name_pattern *ret)
{
	bool below = len > 2 && text[0] == '*' && text[1] == '.';
	size_t skip = below ? 2 : 0;
	int r = name_normalize(text + skip, len - skip, ret->name);

	if (r == 0)
		ret->below = below;
	return r;
}

bool name_matches(const struct name_pattern *p, const char *name)
{
	size_t want = strlen(p->name), len = strlen(name);

	if (!p->below)
		return strcmp(p->name, name) == 0;
	return len > want + 1 && name[len - want - 1] == '.' &&
	       strcmp(name + len - want, p->name) == 0;
}

int name_from_host(const char *value, char ret[NAME_CAP])
{
	const char *colon = strchr(value, ':');
	size_t len = colon == NULL ? strlen(value) : (size_t)(colon - value);
	uint64_t port;

	if (colon != NULL && parse_u64(colon + 1, 1, UINT16_MAX, &port) < 0)
		return -EINVAL;
	return name_normalize(value, len, ret);
}
