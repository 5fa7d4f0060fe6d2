/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/xattr.h>

#define FIELD_PREFIX "x-metadata-"
#define NAMES_MAX    8192

int metadata_from_head(struct metadata *m, const struct http_head *h, struct err *err)
{
	const size_t prefix = sizeof(FIELD_PREFIX) - 1;
	size_t bytes = 0;

	*m = (struct metadata){ 0 };
	for (size_t i = 0; i < h->fields_count; i++) {
		const struct http_field *f = &h->fields[i];
		if (strncasecmp(f->name, FIELD_PREFIX, prefix) != 0)
			continue;
		const char *key = f->name + prefix;
		bytes += strlen(key) + strlen(f->value);
		if (key[0] == '\0' || strlen(key) > ENTRY_KEY_MAX || bytes > ENTRY_METADATA_MAX ||
		    m->count == METADATA_PAIRS_MAX)
			return err_set(err, -EINVAL,
				       "metadata: a key has 1 to %d bytes, all of it %d at most",
				       ENTRY_KEY_MAX, ENTRY_METADATA_MAX);
		m->keys[m->count] = strdup(key);
		m->values[m->count++] = strdup(f->value);
		if (m->keys[m->count - 1] == NULL || m->values[m->count - 1] == NULL)
			return err_set(err, -ENOMEM, "out of memory");
		for (char *p = m->keys[m->count - 1]; *p != '\0'; p++)
			*p = (char)tolower((unsigned char)*p);
	}
	return 0;
}

void metadata_done(struct metadata *m)
{
	for (size_t i = 0; i < m->count; i++) {
		free(m->keys[i]);
		free(m->values[i]);
	}
	m->count = 0;
}

/* Those from an earlier upload. */
static void clear(int fd)
{
	char names[NAMES_MAX + 1];
	ssize_t len = flistxattr(fd, names, NAMES_MAX);

	if (len <= 0)
		return;
	names[len] = '\0';
	for (const char *name = names; name < names + len; name += strlen(name) + 1)
		if (entry_metadata_key(name) != NULL)
			(void)fremovexattr(fd, name); /* set again below, or gone */
}

static int set(int fd, const char *prefix, const char *key, const char *value)
{
	char name[sizeof(ENTRY_XATTR_ROOT) + ENTRY_KEY_MAX];

	(void)snprintf(name, sizeof(name), "%s%s", prefix, key);
	return fsetxattr(fd, name, value, strlen(value), 0) < 0 ? -errno : 0;
}

int metadata_set(const struct metadata *m, int fd, struct err *err)
{
	clear(fd);
	for (size_t i = 0; i < m->count; i++) {
		int r = set(fd, ENTRY_XATTR, m->keys[i], m->values[i]);
		if (r == -EOPNOTSUPP)
			r = set(fd, ENTRY_XATTR_ROOT, m->keys[i], m->values[i]);
		if (r < 0)
			return err_sys(err, r, "metadata %.64s", m->keys[i]);
	}
	return 0;
}
