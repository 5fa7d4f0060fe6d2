/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define OWN_DIRECTORY	 "usr/local/share/ca-certificates"
#define OWN_FILE	 "casemate.crt"
#define BUNDLE_DIRECTORY "etc/ssl/certs"
#define BUNDLE_FILE	 "ca-certificates.crt"
#define MARK		 "# Of this sandbox's egress proxy, by casemate-agent:\n"

static const char begin[] = "-----BEGIN CERTIFICATE-----\n", end[] = "-----END CERTIFICATE-----\n";

static bool is_certificate(const char *pem)
{
	size_t len = strlen(pem);

	return len > sizeof(begin) + sizeof(end) && len < TRUST_PEM_MAX &&
	       memcmp(pem, begin, sizeof(begin) - 1) == 0 &&
	       memcmp(pem + len - (sizeof(end) - 1), end, sizeof(end) - 1) == 0 &&
	       strspn(pem,
		      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=- \n") ==
		       len;
}

int trust_make_bundle(const char *old, size_t len, const char *pem, struct buf *out,
		      bool *ret_others)
{
	const char *mark = memmem(old, len, MARK, sizeof(MARK) - 1);
	size_t kept = mark == NULL ? len : (size_t)(mark - old);
	int r = buf_put(out, old, kept);

	if (r == 0 && kept > 0 && old[kept - 1] != '\n')
		r = buf_put(out, "\n", 1);
	if (r == 0)
		r = buf_put(out, MARK, sizeof(MARK) - 1);
	if (r == 0)
		r = buf_put(out, pem, strlen(pem));
	if (r == 0)
		*ret_others = kept > 0;
	return r;
}

/* mkdir -p of a relative path, and its descriptor. */
static int open_directory(int root, const char *path)
{
	char part[64];

	for (size_t at = strcspn(path, "/");; at += 1 + strcspn(path + at + 1, "/")) {
		if (at >= sizeof(part))
			return -ENAMETOOLONG;
		memcpy(part, path, at);
		part[at] = '\0';
		if (mkdirat(root, part, 0755) < 0 && errno != EEXIST)
			return -errno;
		if (path[at] == '\0')
			break;
	}
	root = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -errno : root;
}

/* Beside it and renamed: who reads sees the one or the other. */
static int replace(int dir, const char *name, const void *data, size_t len)
{
	static const char beside[] = ".casemate-trust";
	CLEANUP(fd_closep) int fd = -1;
	int r;

	if (unlinkat(dir, beside, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = fd_write_full(fd, data, len);
	if (r == 0 && (fchmod(fd, 0644) < 0 || renameat(dir, beside, dir, name) < 0))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, beside, 0);
	return r;
}

static int install_bundle(int dir, const char *pem, bool *ret_others)
{
	char *old = malloc(TRUST_BUNDLE_MAX);
	struct buf out;
	ssize_t len;
	int r = -ENOMEM;

	buf_init(&out, TRUST_BUNDLE_MAX + TRUST_PEM_MAX);
	if (old != NULL) {
		len = fd_read_file(dir, BUNDLE_FILE, old, TRUST_BUNDLE_MAX);
		r = len < 0 && len != -ENOENT ? (int)len
					      : trust_make_bundle(old, len < 0 ? 0 : (size_t)len,
								  pem, &out, ret_others);
	}
	if (r == 0)
		r = replace(dir, BUNDLE_FILE, buf_head(&out), buf_len(&out));
	buf_done(&out);
	free(old);
	return r;
}

int trust_install(int root, const char *pem, bool *ret_others, struct err *err)
{
	CLEANUP(fd_closep) int own = open_directory(root, OWN_DIRECTORY);
	CLEANUP(fd_closep) int bundle = open_directory(root, BUNDLE_DIRECTORY);
	int r = own < 0 ? own : replace(own, OWN_FILE, pem, strlen(pem));

	if (r < 0)
		return err_sys(err, r, "/" OWN_DIRECTORY "/" OWN_FILE);
	r = bundle < 0 ? bundle : install_bundle(bundle, pem, ret_others);
	return r < 0 ? err_sys(err, r, "/" BUNDLE_DIRECTORY "/" BUNDLE_FILE) : 0;
}

static int set_default(struct env *e, const char *name, const char *value, struct err *err)
{
	return env_get(e, name) != NULL ? 0 : env_set(e, name, value, err);
}

int trust_apply(struct agent *a, const char *pem, struct err *err)
{
	CLEANUP(fd_closep) int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool others = false;
	int r;

	if (!is_certificate(pem))
		return err_set(err, -EINVAL, "not the text of a certificate");
	if (!a->is_init)
		return err_set(err, -EPERM, "this isn't a sandbox");
	if (root < 0)
		return err_sys(err, -errno, "/");
	r = trust_install(root, pem, &others, err);
	if (r == 0)
		r = set_default(&a->envs, "NODE_EXTRA_CA_CERTS", "/" OWN_DIRECTORY "/" OWN_FILE,
				err);
	/* These take the place of a program's own: not where the image has none but ours. */
	if (r == 0 && others)
		r = set_default(&a->envs, "REQUESTS_CA_BUNDLE",
				"/" BUNDLE_DIRECTORY "/" BUNDLE_FILE, err);
	return r;
}
