/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define SPEC_MAX       (2 * PASSWD_NAME_MAX)
#define ID_MAX	       4294967294U

/* A file of the sandbox: it may be missing (empty then), huge, or a FIFO that nobody writes. */
int user_load_file(const char *path, char **ret, size_t *ret_len)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *text;
	ssize_t n;

	*ret = NULL;
	*ret_len = 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > (off_t)FILE_BYTES_MAX)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		return -ENOMEM;
	n = read(fd, text, (size_t)st.st_size);
	if (n < 0) {
		int r = -errno;
		free(text);
		return r;
	}
	*ret = text;
	*ret_len = (size_t)n;
	return 0;
}

static int find_user(const char *name, struct user *u, struct err *err)
{
	char *text;
	size_t len;
	uint64_t id;
	int r = user_load_file("/etc/passwd", &text, &len);

	if (r < 0)
		return err_sys(err, r, "/etc/passwd");
	r = text != NULL ? passwd_by_name(text, len, name, &u->pw) : -ENOENT;
	if (r < 0 && parse_u64(name, 0, ID_MAX, &id) == 0) {
		r = text != NULL ? passwd_by_uid(text, len, (uid_t)id, &u->pw) : -ENOENT;
		if (r < 0) {
			u->pw = (struct passwd_entry){
				.uid = (uid_t)id, .gid = (gid_t)id, .home = "/", .shell = "/bin/sh"
			};
			(void)snprintf(u->pw.name, sizeof(u->pw.name), "%u", (unsigned)id);
			r = 0;
		}
	} else if (r < 0 && strcmp(name, "root") == 0) {
		/* An image without /etc/passwd still has its root. */
		u->pw = (struct passwd_entry){ .name = "root", .home = "/", .shell = "/bin/sh" };
		r = 0;
	}
	free(text);
	return r < 0 ? err_set(err, -EINVAL, "no such user: %s", name) : 0;
}

static int find_groups(const char *group, struct user *u, struct err *err)
{
	char *text;
	size_t len;
	uint64_t id;
	int r = user_load_file("/etc/group", &text, &len);

	if (r < 0)
		return err_sys(err, r, "/etc/group");
	if (group != NULL) {
		r = text != NULL ? passwd_group_by_name(text, len, group, &u->pw.gid) : -ENOENT;
		if (r < 0 && parse_u64(group, 0, ID_MAX, &id) == 0) {
			u->pw.gid = (gid_t)id;
			r = 0;
		}
		if (r < 0) {
			free(text);
			return err_set(err, -EINVAL, "no such group: %s", group);
		}
	}
	u->groups[0] = u->pw.gid;
	u->groups_count = 1;
	/* As docker: who asks for a group by name gets that group alone. */
	if (group == NULL && text != NULL)
		r = passwd_groups_of(text, len, u->pw.name, u->groups, USER_GROUPS_MAX,
				     &u->groups_count);
	free(text);
	return r < 0 ? err_set(err, r, "user %s is in more than %d groups", u->pw.name,
			       USER_GROUPS_MAX)
		     : 0;
}

int user_lookup(const char *spec, const char *fallback, struct user *ret, struct err *err)
{
	char name[SPEC_MAX], self[16];
	char *group;
	int r;

	if (spec == NULL || spec[0] == '\0')
		spec = fallback;
	if (spec == NULL || spec[0] == '\0') {
		/* Without root's rights (a test on a developer's machine) there is one user. */
		(void)snprintf(self, sizeof(self), "%u", (unsigned)geteuid());
		spec = geteuid() == 0 ? "root" : self;
	}
	if (strlen(spec) >= sizeof(name))
		return err_set(err, -EINVAL, "user name is too long");
	memcpy(name, spec, strlen(spec) + 1);
	group = strchr(name, ':');
	if (group != NULL)
		*group++ = '\0';
	if (name[0] == '\0' || (group != NULL && group[0] == '\0'))
		return err_set(err, -EINVAL, "not a user: '%s' (NAME, UID, NAME:GROUP)", spec);
	r = find_user(name, ret, err);
	if (r == 0)
		r = find_groups(group, ret, err);
	if (r < 0)
		return r;
	if (geteuid() != 0 && ret->pw.uid != geteuid())
		return err_set(err, -EPERM, "the agent is not root and can't become %s", name);
	return 0;
}

bool user_is_self(const struct user *u)
{
	return geteuid() != 0 && u->pw.uid == geteuid();
}

int user_become(const struct user *u)
{
	if (user_is_self(u))
		return 0;
	if (setgroups(u->groups_count, u->groups) < 0 ||
	    setresgid(u->pw.gid, u->pw.gid, u->pw.gid) < 0 ||
	    setresuid(u->pw.uid, u->pw.uid, u->pw.uid) < 0)
		return -errno;
	return 0;
}

int user_enter_fs(const struct user *u)
{
	if (geteuid() != 0)
		return user_is_self(u) ? 0 : -EPERM;
	if (setgroups(u->groups_count, u->groups) < 0)
		return -errno;
	(void)setfsgid(u->pw.gid);
	(void)setfsuid(u->pw.uid);
	/* These two report no errors: asking with an impossible id tells what is in force. */
	if ((uid_t)setfsuid((uid_t)-1) == u->pw.uid && (gid_t)setfsgid((gid_t)-1) == u->pw.gid)
		return 0;
	user_leave_fs();
	return -EPERM;
}

void user_leave_fs(void)
{
	if (geteuid() != 0)
		return;
	(void)setfsuid(0);
	(void)setfsgid(0);
	BUG_ON(setfsuid((uid_t)-1) != 0 || setfsgid((gid_t)-1) != 0);
	BUG_ON(setgroups(0, NULL) < 0);
}
