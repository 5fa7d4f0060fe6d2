/* SPDX-License-Identifier: Apache-2.0 */
/* agent_trust.c - one more certificate authority for the guest's programs, below a directory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/trust.h"
#include "base/fd.h"

#define BUNDLE "etc/ssl/certs/ca-certificates.crt"
#define OWN    "usr/local/share/ca-certificates/casemate.crt"
#define ONE    "-----BEGIN CERTIFICATE-----\nb25l\n-----END CERTIFICATE-----\n"
#define TWO    "-----BEGIN CERTIFICATE-----\ndHdv\n-----END CERTIFICATE-----\n"
#define WORLD  "-----BEGIN CERTIFICATE-----\nd29ybGQ=\n-----END CERTIFICATE-----\n"

static char path[] = "/tmp/casemate-trust-XXXXXX";
static int root = -1;

static void start(void)
{
	cr_assert_not_null(mkdtemp(path));
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(root, 0);
}

static void stop(void)
{
	static const char *const files[] = { BUNDLE, OWN };
	static const char *const dirs[] = {
		"etc/ssl/certs",   "etc/ssl",	"etc", "usr/local/share/ca-certificates",
		"usr/local/share", "usr/local", "usr"
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)unlinkat(root, files[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		(void)unlinkat(root, dirs[i], AT_REMOVEDIR);
	close(root);
	(void)rmdir(path);
}

TestSuite(agent_trust, .init = start, .fini = stop);

static const char *text_of(const char *name)
{
	static char text[4096];

	cr_assert_geq(fd_read_file(root, name, text, sizeof(text)), 0, "%s", name);
	return text;
}

Test(agent_trust, is_added_and_replaced)
{
	struct err err = { 0 };
	bool others = true;
	struct stat st;
	int fd;

	cr_assert_eq(trust_install(root, ONE, &others, &err), 0, "%s", err.msg);
	cr_expect_not(others, "an image without a bundle");
	cr_expect_not_null(strstr(text_of(BUNDLE), ONE));
	fd = openat(root, BUNDLE, O_WRONLY | O_TRUNC | O_CLOEXEC);
	cr_assert_eq(fd_write_full(fd, WORLD, strlen(WORLD) - 1), 0, "no newline at its end");
	close(fd);
	cr_assert_eq(trust_install(root, ONE, &others, &err), 0, "%s", err.msg);
	cr_expect(others);
	cr_assert_eq(trust_install(root, TWO, &others, &err), 0, "%s", err.msg);
	cr_expect(others);
	cr_expect_eq(strncmp(text_of(BUNDLE), WORLD, strlen(WORLD)), 0);
	cr_expect_not_null(strstr(text_of(BUNDLE), TWO));
	cr_expect_null(strstr(text_of(BUNDLE), ONE), "the one before is believed no more");
	cr_expect_str_eq(text_of(OWN), TWO);
	cr_assert_eq(fstatat(root, BUNDLE, &st, 0), 0);
	cr_expect_eq(st.st_mode & 07777, 0644U);
}

Test(agent_trust, takes_certificates_in_a_sandbox_only)
{
	static const char *const bad[] = {
		"",
		"x",
		WORLD "# more",
		"-----BEGIN CERTIFICATE-----\n\x01\n-----END CERTIFICATE-----\n",
		"-----BEGIN PRIVATE KEY-----\nb25l\n-----END PRIVATE KEY-----\n",
	};
	static struct agent a;
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(trust_apply(&a, bad[i], &err), -EINVAL, "%s", bad[i]);
	/* Nothing of somebody's own machine is touched. */
	cr_expect_eq(trust_apply(&a, ONE, &err), -EPERM);
}

Test(agent_trust, a_bundle_has_an_end)
{
	char *old = malloc(TRUST_BUNDLE_MAX);
	bool others;
	struct buf out;

	memset(old, 'x', TRUST_BUNDLE_MAX);
	buf_init(&out, TRUST_BUNDLE_MAX);
	cr_expect_lt(trust_make_bundle(old, TRUST_BUNDLE_MAX, ONE, &out, &others), 0);
	buf_done(&out);
	free(old);
}
