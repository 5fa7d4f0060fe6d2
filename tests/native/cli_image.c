/* SPDX-License-Identifier: Apache-2.0 */
/* casemate image, with casemate-import, casemated and the jailer behind it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/native/cli_rig.h"

static struct daemon_rig d;
static struct cli_run r;
static char archive[96], hostile[96];

/* Commands of the host's, in the rig's directory, which must succeed. */
static void host(const char *commands)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (chdir(d.jail.dir) == 0)
			(void)execl("/bin/sh", "sh", "-c", commands, (char *)NULL);
		_exit(127);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "%s", commands);
}

static void set_up(void)
{
	daemon_rig_open(&d);
	(void)snprintf(archive, sizeof(archive), "%s/Tree_1.tar.gz", d.jail.dir);
	(void)snprintf(hostile, sizeof(hostile), "%s/hostile.tar", d.jail.dir);
	host("mkdir -p tree/etc && echo hello >tree/etc/hello");
	host("tar -C tree -czf Tree_1.tar.gz .");
	host("cd tree/etc && tar -P -cf ../../hostile.tar ../etc/hello");
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

static int files(void)
{
	return rig_kept(&d.jail, "blobs");
}

Test(cli_image, import_use_remove, .init = set_up, .fini = tear_down, .timeout = 120)
{
	json_t *o;
	char id[32];

	cr_assert_eq(CLI(&d, &r, "image", "import", "--libexec", IMPORT_DIR, archive), 0, "%s",
		     r.err);
	cr_expect_eq(strncmp(r.out, "tree_1 sha256:", 14), 0, "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "image", "import", "--libexec", IMPORT_DIR, "--json", "--name",
			 "again", archive),
		     0, "%s", r.err);
	cr_expect_eq(files(), 1, "the same bytes, once");
	cr_assert_eq(CLI(&d, &r, "image", "inspect", "again"), 0, "%s", r.err);
	o = json_loads(r.out, JSON_REJECT_DUPLICATES, NULL);
	cr_expect(json_is_true(json_object_get(o, "present")), "%s", r.out);
	cr_expect(json_is_object(json_object_get(o, "config")), "%s", r.out);
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "image", "ls"), 0, "%s", r.err);
	cr_expect_not_null(strstr(r.out, "tree_1"), "%s", r.out);
	cr_expect_not_null(strstr(r.out, "default"), "%s", r.out);

	cr_assert_eq(CLI(&d, &r, "create", "--memory", "64M", "--image", "again"), 0, "%s", r.err);
	(void)snprintf(id, sizeof(id), "%.20s", r.out);
	cr_expect_eq(CLI(&d, &r, "image", "rm", "tree_1"), 0, "%s", r.err);
	cr_expect_eq(CLI(&d, &r, "image", "rm", "again"), 125);
	cr_expect_not_null(strstr(r.err, id), "%s", r.err);
	cr_assert_eq(CLI(&d, &r, "rm", id), 0, "%s", r.err);
	cr_expect_eq(CLI(&d, &r, "image", "rm", "again"), 0, "%s", r.err);
	cr_expect_eq(files(), 0);
	cr_expect_eq(CLI(&d, &r, "image", "gc"), 0, "%s", r.err);
	cr_expect_str_eq(r.out, "0 removed, 0 MiB\n");
}

Test(cli_image, what_fails_leaves_nothing, .init = set_up, .fini = tear_down, .timeout = 120)
{
	cr_expect_eq(CLI(&d, &r, "image", "import", "--libexec", IMPORT_DIR, hostile), 125);
	cr_expect_not_null(strstr(r.err, "leads out of its directory"), "%s", r.err);
	cr_expect_eq(CLI(&d, &r, "image", "import", "--libexec", IMPORT_DIR, "/nowhere.tar"), 125);
	cr_expect_eq(CLI(&d, &r, "image", "import", "--libexec", "/nowhere", archive), 125);
	cr_expect_eq(CLI(&d, &r, "image", "import", "--libexec", IMPORT_DIR, "--name", "No Name",
			 archive),
		     125);
	cr_expect_eq(
		CLI(&d, &r, "image", "import", "--libexec", IMPORT_DIR, "--ref", "latest", archive),
		125, "a plain tar has no ref");
	cr_expect_eq(files(), 0);
	cr_expect_eq(CLI(&d, &r, "image", "rm", "tree_1"), 125);
	cr_expect_eq(CLI(&d, &r, "image"), 125);
	/* The control; and an image without a command of its own has none. */
	cr_assert_eq(CLI(&d, &r, "image", "import", "--libexec", IMPORT_DIR, archive), 0, "%s",
		     r.err);
	cr_expect_eq(files(), 1);
	cr_expect_eq(CLI(&d, &r, "run", "--image", "tree_1"), 125);
	cr_expect_not_null(strstr(r.err, "no command of its own"), "%s", r.err);
}
