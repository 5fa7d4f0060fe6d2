/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/passwd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/num.h"

#define ID_MAX 4294967294U /* (uid_t)-1 means "leave unchanged" to the kernel */

struct span {
	const char *at;
	size_t len;
};

static bool span_is(struct span s, const char *text)
{
	size_t len = strlen(text);

	return s.len == len && memcmp(s.at, text, len) == 0;
}

/* Takes what is before the next `sep` (or all) from the front of *from; false at the end. */
static bool span_next(struct span *from, char sep, struct span *ret)
{
	const char *end;

	if (from->at == NULL)
		return false;
	end = from->len > 0 ? memchr(from->at, sep, from->len) : NULL;
	if (end == NULL) {
		*ret = *from;
		from->at = NULL;
		return true;
	}
	*ret = (struct span){ .at = from->at, .len = (size_t)(end - from->at) };
	from->len -= ret->len + 1;
	from->at = end + 1;
	return true;
}

static bool span_copy(struct span s, char *dst, size_t cap)
{
	if (s.len >= cap || memchr(s.at, '\0', s.len) != NULL)
		return false;
	memcpy(dst, s.at, s.len);
	dst[s.len] = '\0';
	return true;
}

static bool span_id(struct span s, uint32_t *ret)
{
	char digits[16];
	uint64_t v;

	if (!span_copy(s, digits, sizeof(digits)) || parse_u64(digits, 0, ID_MAX, &v) < 0)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* Splits a line at ':' into exactly count fields. */
static bool split(struct span line, struct span *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!span_next(&line, ':', &fields[i]))
			return false;
	}
	return line.at == NULL;
}

static bool parse_user(struct span line, struct passwd_entry *e)
{
	struct span f[7]; /* name:password:uid:gid:gecos:home:shell */

	return split(line, f, ARRAY_SIZE(f)) && f[0].len > 0 &&
	       span_copy(f[0], e->name, sizeof(e->name)) && span_id(f[2], &e->uid) &&
	       span_id(f[3], &e->gid) && span_copy(f[5], e->home, sizeof(e->home)) &&
	       span_copy(f[6], e->shell, sizeof(e->shell));
}

static int find_user(const char *text, size_t len, const char *name, uid_t uid,
		     struct passwd_entry *ret)
{
	struct span rest = { text, len }, line;

	while (span_next(&rest, '\n', &line)) {
		struct passwd_entry e;
		if (!parse_user(line, &e))
			continue;
		if (name != NULL ? strcmp(e.name, name) == 0 : e.uid == uid) {
			*ret = e;
			return 0;
		}
	}
	return -ENOENT;
}

int passwd_by_name(const char *text, size_t len, const char *name, struct passwd_entry *ret)
{
	return find_user(text, len, name, 0, ret);
}

int passwd_by_uid(const char *text, size_t len, uid_t uid, struct passwd_entry *ret)
{
	return find_user(text, len, NULL, uid, ret);
}

/* name:password:gid:member,member... */
static bool parse_group(struct span line, struct span *name, gid_t *gid, struct span *members)
{
	struct span f[4];

	if (!split(line, f, ARRAY_SIZE(f)) || !span_id(f[2], gid))
		return false;
	*name = f[0];
	*members = f[3];
	return true;
}

int passwd_group_by_name(const char *text, size_t len, const char *name, gid_t *ret)
{
	struct span rest = { text, len }, line, group, members;
	gid_t gid;

	while (span_next(&rest, '\n', &line)) {
		if (parse_group(line, &group, &gid, &members) && span_is(group, name)) {
			*ret = gid;
			return 0;
		}
	}
	return -ENOENT;
}

int passwd_group_by_gid(const char *text, size_t len, gid_t gid, char *ret, size_t cap)
{
	struct span rest = { text, len }, line, group, members;
	gid_t found;

	while (span_next(&rest, '\n', &line)) {
		if (parse_group(line, &group, &found, &members) && found == gid &&
		    span_copy(group, ret, cap))
			return 0;
	}
	return -ENOENT;
}

int passwd_groups_of(const char *text, size_t len, const char *user, gid_t *gids, size_t cap,
		     size_t *count)
{
	struct span rest = { text, len }, line, group, members, member;
	gid_t gid;

	while (span_next(&rest, '\n', &line)) {
		if (!parse_group(line, &group, &gid, &members))
			continue;
		while (span_next(&members, ',', &member)) {
			if (!span_is(member, user))
				continue;
			if (*count >= cap)
				return -E2BIG;
			gids[(*count)++] = gid;
			break;
		}
	}
	return 0;
}
