/* SPDX-License-Identifier: Apache-2.0 */
/* casemate image pull: references, what skopeo complains of, and the real skopeo with a registry.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/cli/puller.h"
#include "base/fd.h"
#include "import_rig.h"

/* ---- Texts --------------------------------------------------------------------------------- */

Test(cli_puller, references)
{
	static const struct {
		const char *ref, *source, *name;
	} list[] = {
		{ "debian:12", "docker://debian:12", "debian-12" },
		{ "debian", "docker://debian", "debian" },
		{ "registry.example:5000/Team/App:3@sha256:ab", NULL, "app-3" },
		{ "docker://quay.example/a/b:c", "docker://quay.example/a/b:c", "b-c" },
		{ "oci:/tmp/layout:tag", "oci:/tmp/layout:tag", "layout-tag" },
		{ "oci:layout", "oci:layout", "layout" },
		{ "docker-archive:/x/y.tar", "docker-archive:/x/y.tar", "y.tar" },
		{ "a/b/", "docker://a/b/", "b" },
	};
	char text[PULLER_REF_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		cr_assert_eq(puller_source(list[i].ref, text, sizeof(text)), 0);
		if (list[i].source != NULL)
			cr_expect_str_eq(text, list[i].source);
		puller_name(list[i].ref, text, sizeof(text));
		cr_expect_str_eq(text, list[i].name);
	}
	/* What would be an option of skopeo's, nothing, and too much. */
	cr_expect_eq(puller_source("--policy=/x", text, sizeof(text)), -EINVAL);
	cr_expect_eq(puller_source("", text, sizeof(text)), -EINVAL);
	cr_expect_eq(puller_source("debian:12", text, 18), -E2BIG);
	cr_expect_eq(puller_source("debian:12", text, 19), 0);
	puller_name("a-long-name", text, 7);
	cr_expect_str_eq(text, "a-long");
}

Test(cli_puller, complaints)
{
	static const struct {
		const char *said, *told;
	} list[] = {
		{ "time=\"now\" level=fatal msg=\"no \\\"x\\\" there\"\n", "no \"x\" there" },
		{ "one\ntwo\n\n", "two" },
		{ "time=\"now\" level=fatal msg=\"cut", "cut" },
		{ "", "" },
		{ "\n", "" },
		{ "msg=\"", "" },
	};
	char text[64];

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		puller_complaint(list[i].said, strlen(list[i].said), text, sizeof(text));
		cr_expect_str_eq(text, list[i].told);
	}
	puller_complaint("much too long", 13, text, 5);
	cr_expect_str_eq(text, "much");
}

/* ---- The real thing ------------------------------------------------------------------------ */

static char dir[] = "/tmp/casemate-puller.XXXXXX";
static struct cli cli;
static pid_t registry = -1;
static int registry_log = -1; /* open as long as it writes there */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static bool installed(const char *path)
{
	return access(path, X_OK) == 0;
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(setenv("TMPDIR", dir, 1), 0);
	cr_assert_eq(loop_new(&cli.loop), 0);
}

static void tear_down(void)
{
	if (registry > 0) {
		(void)kill(registry, SIGKILL);
		(void)waitpid(registry, NULL, 0);
		fd_closep(&registry_log);
	}
	loop_free(cli.loop);
	(void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Nothing of a pull's is left, whatever became of it. */
static void expect_clean(void)
{
	char path[128];

	snprintf(path, sizeof(path), "ls -d %s/casemate-pull.* >/dev/null 2>&1", dir);
	pid_t pid = fork();
	if (pid == 0)
		_exit(execl("/bin/sh", "sh", "-c", path, NULL));
	int status = 0;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) != 0, "a pull's directory is left");
}

static void put(const char *name, const void *data, size_t len)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/layout/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, data, len), 0);
	close(fd);
}

/* A blob of the layout: its descriptor as JSON. */
static void blob(struct bytes b, const char *type, char *dst, size_t cap)
{
	const struct digest d = sha256(b);
	char name[160];
	int n = snprintf(name, sizeof(name), "blobs/sha256/");

	for (size_t i = 0; i < sizeof(d.bytes); i++)
		n += snprintf(name + n, sizeof(name) - (size_t)n, "%02x", d.bytes[i]);
	put(name, b.data, b.len);
	snprintf(
		dst, cap,
		"{\"mediaType\":\"application/vnd.oci.image.%s\",\"digest\":\"sha256:%s\",\"size\":%zu}",
		type, name + 13, b.len);
}

static struct bytes text_bytes(char *text)
{
	return (struct bytes){ (uint8_t *)text, strlen(text) };
}

/* dir/layout: one layer with /etc/hello. */
static void make_layout(void)
{
	char text[2048], layer[512], config[512], manifest[512], path[160];
	struct tar t;

	for (const char *const *d = (const char *const[]){ "", "/blobs", "/blobs/sha256", NULL };
	     *d != NULL; d++) {
		snprintf(path, sizeof(path), "%s/layout%s", dir, *d);
		cr_assert_eq(mkdir(path, 0700), 0);
	}
	tar_begin(&t, TAR_PLAIN);
	tar_dir(&t, "etc");
	tar_file(&t, "etc/hello", "from a registry");
	struct bytes b = tar_end(&t);
	blob(b, "layer.v1.tar", layer, sizeof(layer));
	free(b.data);
	snprintf(
		text, sizeof(text),
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"User\":\"web\"},\"rootfs\":{"
		"\"type\":\"layers\",\"diff_ids\":[\"%.71s\"]}}",
		strstr(layer, "sha256:"));
	blob(text_bytes(text), "config.v1+json", config, sizeof(config));
	snprintf(
		text, sizeof(text),
		"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
		"\"config\":%s,\"layers\":[%s]}",
		config, layer);
	blob(text_bytes(text), "manifest.v1+json", manifest, sizeof(manifest));
	snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"manifests\":[%s]}", manifest);
	put("index.json", text, strlen(text));
	put("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30);
}

/* Debian's registry on a port of its own choice. */
static unsigned start_registry(const char *program)
{
	char path[160], text[512], log[8192];
	size_t have = 0;
	unsigned port = 0;
	int ends[2];

	snprintf(path, sizeof(path), "%s/registry.yml", dir);
	snprintf(text, sizeof(text),
		 "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s/registry\n"
		 "http:\n  addr: 127.0.0.1:0\n",
		 dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	registry = fork();
	if (registry == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(ends[1], STDERR_FILENO);
		(void)dup2(ends[1], STDOUT_FILENO);
		_exit(execl(program, "docker-registry", "serve", path, NULL));
	}
	close(ends[1]);
	while (port == 0 && have + 1 < sizeof(log)) {
		ssize_t n = read(ends[0], log + have, sizeof(log) - 1 - have);
		cr_assert_gt(n, 0, "the registry ended: %.*s", (int)have, log);
		have += (size_t)n;
		log[have] = '\0';
		const char *at = strstr(log, "listening on 127.0.0.1:");
		if (at != NULL && strpbrk(at + 23, "\", \n") != NULL)
			for (at += 23; *at >= '0' && *at <= '9'; at++)
				port = port * 10 + (unsigned)(*at - '0');
	}
	registry_log = ends[0];
	return port;
}

/* What came is the image that was made. */
static void expect_layout(int layout)
{
	struct imported i = import_fd(layout, NULL, NULL);
	struct file f;

	cr_assert_eq(i.result, 0, "%s", i.err.msg);
	cr_assert(image_find(i.image, "etc/hello", &f));
	cr_expect_str_eq(f.text, "from a registry");
	file_done(&f);
	imported_done(&i);
}

Test(cli_puller, from_a_layout_and_a_registry, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const char *env = getenv("CASEMATE_REGISTRY"),
		   *program = env != NULL ? env : "/usr/bin/docker-registry";
	char from[256], to[256];
	struct puller p = { .ref = from };
	struct err err = { 0 };
	int layout = -1, status = 0;

	if (!installed("/usr/bin/skopeo") || !installed(program))
		cr_skip_test("skopeo isn't installed, or there is no docker-registry");
	make_layout();
	snprintf(from, sizeof(from), "oci:%s/layout", dir);
	cr_assert_eq(puller_run(&cli, &p, &layout, &err), 0, "%s", err.msg);
	expect_layout(layout);
	fd_closep(&layout);
	puller_done(&p);
	expect_clean();

	const unsigned port = start_registry(program);
	snprintf(to, sizeof(to), "docker://127.0.0.1:%u/team/app:3", port);
	pid_t pid = fork();
	if (pid == 0)
		_exit(execlp("skopeo", "skopeo", "copy", "--quiet", "--dest-tls-verify=false", from,
			     to, NULL));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);

	/* Not by HTTP, unless that was asked for. */
	p = (struct puller){ .ref = to + 9 };
	cr_expect_eq(puller_run(&cli, &p, &layout, &err), -EIO);
	cr_expect_not_null(strstr(err.msg, "HTTPS"), "%s", err.msg);
	puller_done(&p);
	p.insecure = true;
	cr_assert_eq(puller_run(&cli, &p, &layout, &err), 0, "%s", err.msg);
	expect_layout(layout);
	fd_closep(&layout);
	puller_done(&p);
	/* One that isn't there. */
	to[strlen(to) - 1] = '4';
	cr_expect_eq(puller_run(&cli, &p, &layout, &err), -EIO);
	cr_expect_not_null(strstr(err.msg, "manifest unknown"), "%s", err.msg);
	puller_done(&p);
	expect_clean();
}

Test(cli_puller, nothing_to_reach, .init = set_up, .fini = tear_down, .timeout = 60)
{
	struct puller p = { .ref = "127.0.0.1:1/app" };
	struct err err = { 0 };
	int layout = -1;

	if (!installed("/usr/bin/skopeo"))
		cr_skip_test("skopeo isn't installed");
	cr_expect_eq(puller_run(&cli, &p, &layout, &err), -EIO);
	cr_expect_not_null(strstr(err.msg, "connection refused"), "%s", err.msg);
	puller_done(&p);
	expect_clean();
}

Test(cli_puller, no_skopeo, .init = set_up, .fini = tear_down)
{
	struct puller p = { .ref = "debian:12" };
	struct err err = { 0 };
	int layout = -1;

	cr_assert_eq(setenv("PATH", dir, 1), 0);
	cr_expect_eq(puller_run(&cli, &p, &layout, &err), -ENOENT);
	cr_expect_not_null(strstr(err.msg, "install it"), "%s", err.msg);
	puller_done(&p);
	expect_clean();
}

/* A registry that never answers: the program ends with its user's patience. */
Test(cli_puller, a_signal_ends_it, .init = set_up, .fini = tear_down, .timeout = 60)
{
	char path[128];
	struct puller p = { .ref = "debian:12" };
	struct err err = { 0 };
	int layout = -1;

	snprintf(path, sizeof(path), "%s/skopeo", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, "#!/bin/sh\nexec sleep 1000\n", 26), 0);
	close(fd);
	char with[512];
	snprintf(with, sizeof(with), "%s:%s", dir, getenv("PATH"));
	cr_assert_eq(setenv("PATH", with, 1), 0);
	cli.signo = SIGINT;
	cr_expect_eq(puller_run(&cli, &p, &layout, &err), -EINTR);
	cli.signo = 0;
	puller_done(&p);
	expect_clean();
}
