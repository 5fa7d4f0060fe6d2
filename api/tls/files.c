/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define DAY_SECONDS INT64_C(86400)

#define KEY_FILE  "tls.key"
#define CERT_FILE "tls.crt"

/* A regular file's text. secret: nobody but its owner and group may read it, and nobody but its
 * owner change it. */
static int read_text(int dir, const char *path, bool secret, char text[PAIR_PEM_MAX],
		     struct err *err)
{
	CLEANUP(fd_closep)
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	size_t len;
	int r;

	if (fd < 0)
		return err_sys(err, -errno, "%.80s", path);
	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%.80s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%.80s: not a file", path);
	if (secret && (st.st_mode & 0027) != 0)
		return err_set(
			err, -EPERM,
			"%.80s: others can read or change it: its mode has to be 0640 or less",
			path);
	if (st.st_size <= 0 || st.st_size >= (off_t)PAIR_PEM_MAX)
		return err_set(err, -EINVAL, "%.80s: has not 1 to %u bytes", path,
			       PAIR_PEM_MAX - 1);
	len = (size_t)st.st_size;
	r = fd_pread_full(fd, text, len, 0);
	if (r < 0)
		return err_sys(err, r, "%.80s", path);
	text[len] = '\0';
	return strlen(text) == len ? 0 : err_set(err, -EINVAL, "%.80s: is not text", path);
}

static int check(const struct pair *p, int64_t *ret_end, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int r = ctx == NULL ? err_set(err, -ENOMEM, "certificate: no memory")
			    : pair_use(p, ctx, ret_end, err);

	SSL_CTX_free(ctx);
	return r;
}

static int read_pair(int dir, const char *cert, const char *key, struct pair *p, int64_t *ret_end,
		     struct err *err)
{
	int r = read_text(dir, cert, false, p->certificate, err);

	if (r == 0)
		r = read_text(dir, key, true, p->key, err);
	return r < 0 ? r : check(p, ret_end, err);
}

/* Whole or not at all, and on the disk before it has its name. */
static int write_text(int dir, const char *name, mode_t mode, const char *text, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	char new[64];
	int r;

	(void)snprintf(new, sizeof(new), "%s.new", name);
	if (unlinkat(dir, new, 0) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "%s", new);
	fd = openat(dir, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return err_sys(err, -errno, "%s", new);
	r = fd_write_full(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dir, new, dir, name) < 0)
		r = -errno;
	if (r == 0 && fsync(dir) < 0)
		r = -errno;
	return r < 0 ? err_sys(err, r, "%s", new) : 0;
}

/* A crash between the two leaves a key of another certificate: then both are made again. */
static int make(const struct options *o, int dir, int64_t now, struct pair *p, int64_t *ret_end,
		struct err *err)
{
	int r = pair_make(p, o->names, o->names_count, now, err);

	if (r == 0)
		r = check(p, ret_end, err);
	if (r == 0)
		r = write_text(dir, KEY_FILE, 0600, p->key, err);
	if (r == 0)
		r = write_text(dir, CERT_FILE, 0644, p->certificate, err);
	return r;
}

int files_load(const struct options *o, int64_t now, struct pair *p, int64_t *ret_end,
	       bool *ret_made, struct err *err)
{
	CLEANUP(fd_closep) int dir = -1;
	struct err why;
	int r;

	*ret_made = false;
	if (o->certificate != NULL)
		return read_pair(AT_FDCWD, o->certificate, o->key, p, ret_end, err);
	dir = open(o->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, -errno, "%.80s", o->state);
	/* One that is missing, unusable or for other names is ours to replace, whatever the
	 * reason. */
	r = read_pair(dir, CERT_FILE, KEY_FILE, p, ret_end, &why);
	if (r == 0 && *ret_end - now >= (int64_t)FILES_RENEW_DAYS * DAY_SECONDS &&
	    pair_is_for(p, o->names, o->names_count))
		return 0;
	pair_clear(p);
	*ret_made = true;
	r = make(o, dir, now, p, ret_end, err);
	return r < 0 ? err_wrap(err, "%.80s", o->state) : 0;
}
