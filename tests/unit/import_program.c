/* SPDX-License-Identifier: Apache-2.0 */
/* casemate-import itself: its descriptors, its own limits, and that it works behind its filter. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "import_rig.h"

struct outcome {
	int status; /* of waitpid */
	char out[4096], err[4096];
};

static void slurp(int fd, char *text, size_t cap)
{
	ssize_t n = pread(fd, text, cap - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	(void)close(fd);
}

/* Runs it with these descriptors; extra is an argument or NULL. */
static struct outcome run(int input, int output, const char *extra)
{
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	struct outcome o;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		/* A leak checker would want to look into a process that lets nobody. */
		(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		/* High first, so that no number is taken that is still needed. */
		int in = fcntl(input, F_DUPFD_CLOEXEC, 20), to = fcntl(output, F_DUPFD_CLOEXEC, 20);

		if (dup2(out, 1) == 1 && dup2(err, 2) == 2 && dup2(in, 3) == 3 && dup2(to, 4) == 4)
			(void)execl(IMPORT_PROGRAM, "casemate-import", extra, (char *)NULL);
		_exit(99);
	}
	cr_assert_eq(waitpid(pid, &o.status, 0), pid);
	slurp(out, o.out, sizeof(o.out));
	slurp(err, o.err, sizeof(o.err));
	return o;
}

static struct bytes good_archive(void)
{
	struct tar t;

	tar_begin(&t, TAR_ZSTD);
	for (unsigned k = 0; k < 2000; k++) { /* enough for a hash table to grow, and for qsort */
		char name[32];

		(void)snprintf(name, sizeof(name), "dir/file-%u", k);
		tar_file(&t, name, name);
	}
	tar_file(&t, "caf\xc3\xa9", "no converter is looked for");
	return tar_end(&t);
}

Test(import_program, makes_an_image_behind_its_filter)
{
	struct bytes b = good_archive();
	struct imported here = import_bytes(b, NULL, NULL);
	int input = bytes_fd(b), output = memfd_create("image", MFD_CLOEXEC);
	struct outcome o = run(input, output, NULL);
	struct bytes image = { malloc(here.image.len), here.image.len };
	char text[DIGEST_TEXT_MAX];
	struct digest d;
	json_t *report;

	cr_assert(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 0, "%x: %s", o.status, o.err);
	cr_assert_eq(pread(output, image.data, image.len, 0), (ssize_t)image.len);
	cr_expect_eq(memcmp(image.data, here.image.data, image.len), 0);
	report = json_loads(o.out, 0, NULL);
	cr_assert_not_null(report);
	d = sha256(image);
	digest_text(&d, text);
	cr_expect_str_eq(
		json_string_value(json_object_get(json_object_get(report, "image"), "digest")),
		text);
	json_decref(report);
	imported_done(&here);
	free(image.data);
	free(b.data);
	(void)close(input);
	(void)close(output);
}

Test(import_program, says_why_not)
{
	struct bytes b;
	struct outcome o;
	struct tar t;
	int input, output = memfd_create("image", MFD_CLOEXEC);

	tar_begin(&t, TAR_PLAIN);
	tar_file(&t, "a/../\x1b[2Jx", "a terminal's escape in its name");
	b = tar_end(&t);
	input = bytes_fd(b);
	o = run(input, output, NULL);
	cr_expect(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 1, "%x", o.status);
	cr_expect(strstr(o.err, "leads out of its directory") != NULL, "%s", o.err);
	cr_expect_null(strchr(o.err, '\x1b'));
	cr_expect_str_eq(o.out, "");
	o = run(input, output, "--unknown");
	cr_expect(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 2);
	free(b.data);
	(void)close(input);
	(void)close(output);
}

/* What it is given as output must be a file of its own; what it is given as input, a file. */
Test(import_program, descriptors_are_checked)
{
	struct bytes b = good_archive();
	int input = bytes_fd(b), full = bytes_fd(b), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int output = memfd_create("image", MFD_CLOEXEC), pipes[2];
	struct outcome o;

	cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
	o = run(input, full, NULL);
	cr_expect(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 1, "an output with bytes in it");
	o = run(input, null, NULL);
	cr_expect(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 1, "a device");
	o = run(pipes[0], output, NULL);
	cr_expect(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 1, "a pipe");
	o = run(input, output, "--max-bytes=64K");
	cr_expect(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 1, "too large");
	cr_expect(strstr(o.err, "larger than 65536 bytes") != NULL, "%s", o.err);
	o = run(input, output, NULL);
	cr_expect(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 0, "and the right ones: %s",
		  o.err);
	free(b.data);
	(void)close(input);
	(void)close(full);
	(void)close(null);
	(void)close(output);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}
