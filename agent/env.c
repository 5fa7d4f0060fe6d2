/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENV_FIRST 16

void env_init(struct env *e)
{
	*e = (struct env){ 0 };
}

void env_done(struct env *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->list[i]);
	free(e->list);
	env_init(e);
}

/* The index of the entry NAME=..., or count. */
static size_t find(const struct env *e, const char *name, size_t len)
{
	size_t i = 0;

	while (i < e->count && (strncmp(e->list[i], name, len) != 0 || e->list[i][len] != '='))
		i++;
	return i;
}

static int grow(struct env *e)
{
	size_t cap = e->cap > 0 ? e->cap * 2 : ENV_FIRST;
	char **list;

	if (e->count + 1 < e->cap)
		return 0;
	list = reallocarray(e->list, cap, sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	e->list = list;
	e->cap = cap;
	return 0;
}

static int put(struct env *e, const char *name, size_t name_len, const char *value, struct err *err)
{
	size_t value_len = strlen(value), at = find(e, name, name_len);
	size_t bytes = name_len + value_len + 2;
	char *text;

	if (name_len == 0 || memchr(name, '=', name_len) != NULL)
		return err_set(err, -EINVAL, "not a name of an environment variable: '%s'", name);
	if (at == ENV_COUNT_MAX || bytes > ENV_BYTES_MAX - e->bytes)
		return err_set(err, -E2BIG, "the environment is too large");
	text = malloc(bytes);
	if (text == NULL || grow(e) < 0) {
		free(text);
		return err_set(err, -ENOMEM, "out of memory");
	}
	memcpy(text, name, name_len);
	text[name_len] = '=';
	memcpy(text + name_len + 1, value, value_len + 1);
	e->bytes += bytes;
	if (at < e->count) {
		e->bytes -= strlen(e->list[at]) + 1;
		free(e->list[at]);
		e->list[at] = text;
		return 0;
	}
	e->list[e->count++] = text;
	e->list[e->count] = NULL;
	return 0;
}

int env_set(struct env *e, const char *name, const char *value, struct err *err)
{
	return put(e, name, strlen(name), value, err);
}

int env_merge(struct env *e, const struct env *from, struct err *err)
{
	for (size_t i = 0; i < from->count; i++) {
		const char *eq = strchr(from->list[i], '=');
		int r = put(e, from->list[i], (size_t)(eq - from->list[i]), eq + 1, err);
		if (r < 0)
			return r;
	}
	return 0;
}

const char *env_get(const struct env *e, const char *name)
{
	size_t len = strlen(name), at = find(e, name, len);

	return at < e->count ? e->list[at] + len + 1 : NULL;
}
