/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/puller.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/cli/child.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/num.h"

#define OUTPUT_MAX     (1024U * 1024U)
#define LAYER_MAX      (16 * GIB) /* one file of a layout: a registry could send for ever */
#define EXIT_NO_SKOPEO 127
#define FD_SPARE       10

/* ---- References and messages --------------------------------------------------------------- */

/* What skopeo reads from. "debian:12" begins like one and is none, hence the list. */
static const char *const transports[] = {
	"docker://",	  "oci:", "oci-archive:",	 "docker-archive:",
	"docker-daemon:", "dir:", "containers-storage:",
};

int puller_source(const char *ref, char *dst, size_t cap)
{
	const char *before = "docker://";

	if (ref[0] == '\0' || ref[0] == '-')
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(transports); i++)
		if (strncmp(ref, transports[i], strlen(transports[i])) == 0)
			before = "";
	return snprintf(dst, cap, "%s%s", before, ref) < (int)cap ? 0 : -E2BIG;
}

void puller_name(const char *ref, char *dst, size_t cap)
{
	size_t end = strcspn(ref, "@"), from, n = 0;

	while (end > 0 && ref[end - 1] == '/')
		end--;
	for (from = end; from > 0 && ref[from - 1] != '/'; from--)
		;
	/* oci:LAYOUT in the directory that we are in. */
	for (size_t i = 0; i < ARRAY_SIZE(transports); i++)
		if (from == 0 && strncmp(ref, transports[i], strlen(transports[i])) == 0)
			from = strlen(transports[i]);
	for (size_t i = from; i < end && n + 1 < cap; i++) {
		char c = ref[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		dst[n++] = (char)(c == ':' ? '-' : c);
	}
	dst[n] = '\0';
}

void puller_complaint(const char *text, size_t len, char *dst, size_t cap)
{
	static const char mark[] = "msg=\"";
	size_t from = 0, n = 0;

	while (len > 0 && text[len - 1] == '\n')
		len--;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\n')
			from = i + 1;
	for (size_t i = from; i + sizeof(mark) - 1 <= len; i++)
		if (memcmp(text + i, mark, sizeof(mark) - 1) == 0) {
			from = i + sizeof(mark) - 1;
			break;
		}
	if (from > 0 && len > from && text[len - 1] == '"')
		len--;
	for (size_t i = from; i < len && n + 1 < cap; i++)
		if (text[i] != '\\' || i + 1 == len || text[i + 1] != '"')
			dst[n++] = text[i];
	dst[n] = '\0';
}

/* ---- The directory ------------------------------------------------------------------------- */

static int make_dir(struct puller *p, struct err *err)
{
	const char *tmp = getenv("TMPDIR");

	if (tmp == NULL || tmp[0] != '/')
		tmp = "/var/tmp"; /* where there is likely to be room for gigabytes */
	if (snprintf(p->dir, sizeof(p->dir), "%s/casemate-pull.XXXXXX", tmp) >=
	    (int)sizeof(p->dir)) {
		p->dir[0] = '\0';
		return err_set(err, -ENAMETOOLONG, "TMPDIR is too long");
	}
	if (mkdtemp(p->dir) == NULL) {
		const int e = -errno;
		p->dir[0] = '\0';
		return err_sys(err, e, "a temporary directory in %.100s; set TMPDIR", tmp);
	}
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	(void)remove(path);
	return 0;
}

void puller_done(struct puller *p)
{
	/* mkdtemp made it for nobody but us, so nobody else changes it meanwhile. */
	if (p->dir[0] != '\0')
		(void)nftw(p->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	p->dir[0] = '\0';
}

/* ---- skopeo -------------------------------------------------------------------------------- */

/* In the child. Guests are Linux on x86_64, whatever this machine is. */
static void become(int output, const void *arg)
{
	const struct puller *p = arg;
	const struct rlimit size = { LAYER_MAX, LAYER_MAX };
	char source[PULLER_REF_MAX], dest[sizeof(p->dir) + 16];
	char *argv[12];
	size_t n = 0;
	int null;

	argv[n++] = (char *)(size_t) "skopeo";
	argv[n++] = (char *)(size_t) "--override-os=linux";
	argv[n++] = (char *)(size_t) "--override-arch=amd64";
	argv[n++] = (char *)(size_t) "copy";
	argv[n++] = (char *)(size_t) "--quiet";
	if (p->insecure)
		argv[n++] = (char *)(size_t) "--src-tls-verify=false";
	argv[n++] = (char *)(size_t) "--";
	argv[n++] = source;
	argv[n++] = dest;
	argv[n] = NULL;
	(void)snprintf(dest, sizeof(dest), "oci:%s/layout", p->dir);
	output = fcntl(output, F_DUPFD_CLOEXEC, FD_SPARE);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (puller_source(p->ref, source, sizeof(source)) == 0 && output >= 0 && null >= 0 &&
	    dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
	    dup2(output, STDERR_FILENO) >= 0 && setrlimit(RLIMIT_FSIZE, &size) == 0 &&
	    child_signals() == 0)
		(void)execvp(argv[0], argv);
	_exit(errno == ENOENT ? EXIT_NO_SKOPEO : CLI_FAILED);
}

/* What its end means. */
static int explain(int status, const struct buf *text, struct err *err)
{
	char last[400];

	if (status == 0)
		return 0;
	if (status == EXIT_NO_SKOPEO && buf_len(text) == 0)
		return err_set(err, -ENOENT,
			       "there is no skopeo on this machine; install it (Debian: package "
			       "skopeo), or fetch the image elsewhere and use image import");
	puller_complaint((const char *)buf_head(text), buf_len(text), last, sizeof(last));
	if (last[0] == '\0')
		(void)snprintf(last, sizeof(last), "it ended with status %d", status);
	return err_set(err, -EIO, "skopeo: %s", last);
}

int puller_run(struct cli *cli, struct puller *p, int *ret_layout, struct err *err)
{
	CLEANUP(fd_closep) int reader = -1;
	char source[PULLER_REF_MAX], path[sizeof(p->dir) + 8];
	struct buf text;
	pid_t pid = -1;
	int status, r = puller_source(p->ref, source, sizeof(source));

	p->dir[0] = '\0';
	if (r < 0)
		return err_set(err, r, "%.64s: is no reference to an image", p->ref);
	r = make_dir(p, err);
	if (r == 0)
		r = child_start(become, p, &pid, &reader, err);
	if (r < 0)
		return r;
	buf_init(&text, OUTPUT_MAX);
	r = child_read(cli, reader, &text);
	status = child_wait(pid, r < 0);
	if (r < 0)
		(void)err_sys(err, r, "skopeo");
	else
		r = status < 0 ? err_sys(err, status, "skopeo") : explain(status, &text, err);
	buf_done(&text);
	(void)snprintf(path, sizeof(path), "%s/layout", p->dir);
	if (r == 0) {
		*ret_layout = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*ret_layout < 0)
			r = err_sys(err, -errno, "what skopeo wrote");
	}
	return r;
}
