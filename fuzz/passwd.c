/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's /etc/passwd and /etc/group. The input's first line is the name looked for, the
 * rest is the file. What is found must be well-formed, and be found again in its own line.
 */
#include "agent/passwd.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

#define GIDS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_field(const char *text, size_t cap)
{
	BUG_ON(strnlen(text, cap) == cap);
	BUG_ON(strpbrk(text, ":\n") != NULL);
}

static void check_entry(const struct passwd_entry *e)
{
	char line[2 * PASSWD_PATH_MAX + PASSWD_NAME_MAX + 64];
	struct passwd_entry again;
	int n;

	check_field(e->name, sizeof(e->name));
	check_field(e->home, sizeof(e->home));
	check_field(e->shell, sizeof(e->shell));
	BUG_ON(e->name[0] == '\0');
	BUG_ON(e->uid == (uid_t)-1 || e->gid == (gid_t)-1);
	n = snprintf(line, sizeof(line), "%s:x:%u:%u:gecos:%s:%s\n", e->name, e->uid, e->gid,
		     e->home, e->shell);
	BUG_ON(n < 0 || (size_t)n >= sizeof(line));
	BUG_ON(passwd_by_name(line, (size_t)n, e->name, &again) != 0);
	BUG_ON(again.uid != e->uid || again.gid != e->gid || strcmp(again.home, e->home) != 0);
	BUG_ON(passwd_by_uid(line, (size_t)n, e->uid, &again) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *eol = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t name_len = eol != NULL ? (size_t)(eol - data) : size;
	size_t used = eol != NULL ? name_len + 1 : size, len = size - used;
	char *name = strndup((const char *)data, name_len);
	/* A copy of its own, so that the sanitizer sees a read beyond either end. */
	char *text = malloc(len > 0 ? len : 1);
	gid_t gids[GIDS], gid;
	struct passwd_entry e;

	BUG_ON(name == NULL || text == NULL);
	memcpy(text, data + used, len);
	if (passwd_by_name(text, len, name, &e) == 0) {
		BUG_ON(strcmp(e.name, name) != 0);
		check_entry(&e);
	}
	for (uid_t uid = 0; uid < 3; uid++) {
		if (passwd_by_uid(text, len, uid, &e) == 0) {
			BUG_ON(e.uid != uid);
			check_entry(&e);
		}
	}
	if (passwd_group_by_name(text, len, name, &gid) == 0)
		BUG_ON(gid == (gid_t)-1);
	for (size_t cap = 0; cap <= GIDS; cap += GIDS) {
		size_t count = 0;
		int r = passwd_groups_of(text, len, name, gids, cap, &count);
		BUG_ON(r != 0 && r != -E2BIG);
		BUG_ON(count > cap || (r == -E2BIG && count != cap));
	}
	free(text);
	free(name);
	return 0;
}
