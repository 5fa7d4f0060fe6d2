/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/entry.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/user.h"
#include "base/compiler.h"

typedef Casemate__Agent__V1__EntryInfo__MetadataEntry metadata_pb;

#define NAMES_MAX	   8192
#define METADATA_COUNT_MAX 64

/* ---- Owners ------------------------------------------------------------------------------ */

void entry_names_init(struct entry_names *n)
{
	*n = (struct entry_names){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (user_load_file("/etc/passwd", &n->passwd, &n->passwd_len) < 0)
		n->passwd = NULL;
	if (user_load_file("/etc/group", &n->group, &n->group_len) < 0)
		n->group = NULL;
}

void entry_names_done(struct entry_names *n)
{
	free(n->passwd);
	free(n->group);
}

static const char *user_name(struct entry_names *n, uid_t uid)
{
	struct passwd_entry e;

	if (n->uid == uid)
		return n->user;
	n->uid = uid;
	if (n->passwd != NULL && passwd_by_uid(n->passwd, n->passwd_len, uid, &e) == 0)
		memcpy(n->user, e.name, sizeof(n->user));
	else
		(void)snprintf(n->user, sizeof(n->user), "%u", (unsigned)uid);
	return n->user;
}

static const char *group_name(struct entry_names *n, gid_t gid)
{
	if (n->gid == gid)
		return n->grp;
	n->gid = gid;
	if (n->group == NULL ||
	    passwd_group_by_gid(n->group, n->group_len, gid, n->grp, sizeof(n->grp)) < 0)
		(void)snprintf(n->grp, sizeof(n->grp), "%u", (unsigned)gid);
	return n->grp;
}

/* ---- Metadata ---------------------------------------------------------------------------- */

const char *entry_metadata_key(const char *name)
{
	static const char *const prefixes[] = { ENTRY_XATTR, ENTRY_XATTR_ROOT };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t len = strlen(prefixes[i]);
		if (strncmp(name, prefixes[i], len) == 0 && name[len] != '\0')
			return name + len;
	}
	return NULL;
}

int entry_metadata(const char *path, int (*fn)(const char *key, const char *value, void *arg),
		   void *arg)
{
	char list[NAMES_MAX + 1], value[ENTRY_METADATA_MAX + 1];
	ssize_t len = listxattr(path, list, NAMES_MAX), n;

	/* A file system without them, or a file that is gone or has too many: no metadata. */
	if (len <= 0)
		return 0;
	list[len] = '\0';
	for (const char *name = list; name < list + len; name += strlen(name) + 1) {
		const char *key = entry_metadata_key(name);
		if (key == NULL)
			continue;
		n = getxattr(path, name, value, sizeof(value) - 1);
		if (n < 0 || memchr(value, '\0', (size_t)n) != NULL)
			continue;
		value[n] = '\0';
		int r = fn(key, value, arg);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_metadata(const char *key, const char *value, void *arg)
{
	entry_pb *e = arg;
	metadata_pb *m;

	if (e->n_metadata == METADATA_COUNT_MAX)
		return 0;
	if (e->metadata == NULL) {
		e->metadata = calloc(METADATA_COUNT_MAX, sizeof(*e->metadata));
		if (e->metadata == NULL)
			return -ENOMEM;
	}
	m = malloc(sizeof(*m));
	if (m == NULL)
		return -ENOMEM;
	casemate__agent__v1__entry_info__metadata_entry__init(m);
	e->metadata[e->n_metadata++] = m;
	m->key = strdup(key);
	m->value = strdup(value);
	return m->key == NULL || m->value == NULL ? -ENOMEM : 0;
}

/* ---- The entry --------------------------------------------------------------------------- */

static Casemate__Agent__V1__FileType type_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return CASEMATE__AGENT__V1__FILE_TYPE__FILE_TYPE_DIRECTORY;
	if (S_ISLNK(mode))
		return CASEMATE__AGENT__V1__FILE_TYPE__FILE_TYPE_SYMLINK;
	if (S_ISREG(mode))
		return CASEMATE__AGENT__V1__FILE_TYPE__FILE_TYPE_FILE;
	return CASEMATE__AGENT__V1__FILE_TYPE__FILE_TYPE_UNSPECIFIED;
}

/* As Go's fs.FileMode prints it, because clients compare it: letters for what is special, a '-'
 * if nothing is, and nine for the permissions. */
static void permissions(mode_t mode, char dst[16])
{
	static const char rwx[] = "rwxrwxrwx";
	size_t n = 0;

	if (S_ISDIR(mode))
		dst[n++] = 'd';
	if (S_ISLNK(mode))
		dst[n++] = 'L';
	if (S_ISBLK(mode) || S_ISCHR(mode))
		dst[n++] = 'D';
	if (S_ISFIFO(mode))
		dst[n++] = 'p';
	if (S_ISSOCK(mode))
		dst[n++] = 'S';
	if ((mode & S_ISUID) != 0)
		dst[n++] = 'u';
	if ((mode & S_ISGID) != 0)
		dst[n++] = 'g';
	if (S_ISCHR(mode))
		dst[n++] = 'c';
	if ((mode & S_ISVTX) != 0)
		dst[n++] = 't';
	if (n == 0)
		dst[n++] = '-';
	for (size_t i = 0; i < 9; i++)
		dst[n++] = (mode & (0400U >> i)) != 0 ? rwx[i] : '-';
	dst[n] = '\0';
}

/* Where a symlink leads, as far as it leads anywhere. */
static char *target_of(const char *path)
{
	char *real = realpath(path, NULL), text[PATH_MAX];
	ssize_t n;

	if (real != NULL)
		return real;
	n = readlink(path, text, sizeof(text) - 1);
	if (n < 0)
		return NULL;
	text[n] = '\0';
	return strdup(text);
}

static int fill(const char *path, const struct stat *st, struct entry_names *names, entry_pb *e)
{
	const char *slash = strrchr(path, '/');
	struct stat target = *st;
	char perms[16];

	if (S_ISLNK(st->st_mode)) {
		e->symlink_target = target_of(path);
		if (stat(path, &target) < 0)
			target = *st;
	}
	permissions(st->st_mode, perms);
	e->name = strdup(slash != NULL && slash[1] != '\0' ? slash + 1 : path);
	e->path = strdup(path);
	e->permissions = strdup(perms);
	e->owner = strdup(user_name(names, st->st_uid));
	e->group = strdup(group_name(names, st->st_gid));
	e->modified_time = malloc(sizeof(*e->modified_time));
	if (e->name == NULL || e->path == NULL || e->permissions == NULL || e->owner == NULL ||
	    e->group == NULL || e->modified_time == NULL)
		return -ENOMEM;
	casemate__agent__v1__timestamp__init(e->modified_time);
	e->modified_time->seconds = st->st_mtim.tv_sec;
	e->modified_time->nanos = (int32_t)st->st_mtim.tv_nsec;
	e->type = type_of(target.st_mode);
	e->mode = (uint32_t)target.st_mode & 0777U;
	e->size = st->st_size;
	return entry_metadata(path, add_metadata, e);
}

void entry_free(entry_pb *e)
{
	if (e != NULL)
		protobuf_c_message_free_unpacked(&e->base, NULL);
}

int entry_get(const char *path, struct entry_names *names, entry_pb **ret, struct err *err)
{
	struct stat st;
	entry_pb *e;
	int r;

	if (lstat(path, &st) < 0) {
		r = -errno;
		return r == -ENOENT ? err_set(err, r, "file not found: %.160s", path)
				    : err_sys(err, r, "%.160s", path);
	}
	e = malloc(sizeof(*e));
	if (e == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	casemate__agent__v1__entry_info__init(e);
	r = fill(path, &st, names, e);
	if (r < 0) {
		entry_free(e);
		return err_sys(err, r, "%.160s", path);
	}
	*ret = e;
	return 0;
}
