/* SPDX-License-Identifier: Apache-2.0 */
/* doctor's live probe: the product's jail holds, and one that lacks layers is found out. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/native/jail_rig.h"

static char dir[64];
static char said[1U << 17];

static const char *at(const char *name)
{
	static char paths[4][160];
	static unsigned next;
	char *p = paths[next++ % 4];

	(void)snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
	return p;
}

static void put(const char *name, const char *text, mode_t mode)
{
	int fd = open(at(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);

	cr_assert_geq(fd, 0, "%s: %s", name, strerror(errno));
	cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

static void setup(void)
{
	static const char *const dirs[] = { "store", "store/kernels", "store/kernels/k",
					    "store/images", "store/images/i" };

	rig_require();
	(void)snprintf(dir, sizeof(dir), "/tmp/casemate-doctor.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		cr_assert_eq(mkdir(at(dirs[i]), 0755), 0);
	put("store/kernels/k/kernel", "kernel", 0644);
	put("store/images/i/root.erofs", "image", 0644);
	cr_assert_eq(symlink(DOCTOR_PROBE_BIN, at("casemate-probe")), 0);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void teardown(void)
{
	if (dir[0] != '\0')
		cr_expect_eq(nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(doctor, .init = setup, .fini = teardown, .timeout = 60);

/* Runs doctor with the jailer in dir: what it prints is in `said`. */
static void run_doctor(void)
{
	int out[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		(void)dup2(out[1], STDOUT_FILENO);
		(void)execl(CLI_BIN, CLI_BIN, "--socket", "/nonexistent", "doctor", "--json",
			    "--libexec", dir, "--store", at("store"), (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	while ((n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	close(out[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1, "status %#x: %s", status, said);
}

Test(doctor, the_jail_of_the_product_holds)
{
	cr_assert_eq(symlink(JAILER_BIN, at("casemate-jailer")), 0);
	run_doctor();
	cr_expect_not_null(strstr(said, "\"code\":\"jail-probe\",\"level\":\"ok\""), "%s", said);
	cr_expect_not_null(strstr(said, "\"code\":\"jail-alone\",\"level\":\"ok\""), "%s", said);
	cr_expect_null(strstr(said, " of 0 attacks"));
}

Test(doctor, a_jail_without_walls_is_found_out)
{
	put("casemate-jailer",
	    "#!/bin/sh\nexec " JAILER_TEST_BIN " --layers-off cap,uid,ns,fs,sysc \"$@\"\n", 0755);
	run_doctor();
	cr_expect_not_null(strstr(said, "\"code\":\"jail-alone\",\"level\":\"F\""), "%s", said);
	cr_expect_not_null(strstr(said, "V17"), "%s", said);
}

/* What could not be tried isn't called fine. */
Test(doctor, no_jailer_no_verdict)
{
	run_doctor();
	cr_expect_not_null(strstr(said, "\"code\":\"jail-probe\",\"level\":\"W\""), "%s", said);
	if (!rig_has_selinux())
		cr_expect_not_null(strstr(said, "\"code\":\"selinux\",\"level\":\"F\""),
				   "nobody has accepted that: %s", said);
}
