/* SPDX-License-Identifier: Apache-2.0 */
/* agent_parts.c - the agent's pure parts: users' files, environments, names, paths. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/env.h"
#include "agent/identity.h"
#include "agent/passwd.h"
#include "agent/path.h"

static const char users[] = "root:x:0:0:root:/root:/bin/bash\n"
			    "\n"
			    "# a comment\n"
			    "short:x:1:1\n"
			    "many:x:1:1:a:b:c:d\n"
			    ":x:3:3:no name:/:/bin/sh\n"
			    "neg:x:-1:0::/:/bin/sh\n"
			    "nobody4:x:4294967295:0::/:/bin/sh\n"
			    "big:x:4294967296:0::/:/bin/sh\n"
			    "user:x:1000:1001:,,,:/home/user:\n"
			    "user:x:0:0::/:/bin/sh\n"
			    "last:x:7:8::/last:/bin/last";

static int by_name(const char *name, struct passwd_entry *e)
{
	return passwd_by_name(users, sizeof(users) - 1, name, e);
}

Test(agent_parts, users_by_name_and_id)
{
	struct passwd_entry e;

	cr_assert_eq(by_name("root", &e), 0);
	cr_assert_eq(e.uid, 0);
	cr_assert_str_eq(e.home, "/root");
	cr_assert_eq(by_name("user", &e), 0);
	cr_assert_eq(e.uid, 1000, "the first line counts");
	cr_assert_eq(e.gid, 1001);
	cr_assert_str_eq(e.shell, "");
	cr_assert_eq(by_name("last", &e), 0, "a last line without an end");
	cr_assert_str_eq(e.shell, "/bin/last");
	cr_assert_eq(passwd_by_uid(users, sizeof(users) - 1, 7, &e), 0);
	cr_assert_str_eq(e.name, "last");
}

Test(agent_parts, malformed_users_do_not_exist)
{
	static const char *const names[] = { "short", "many", "",      "neg",	     "nobody4",
					     "big",   "use",  "rootx", "# a comment" };
	struct passwd_entry e;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		cr_assert_eq(by_name(names[i], &e), -ENOENT, "%s", names[i]);
	cr_assert_eq(passwd_by_uid(users, sizeof(users) - 1, (uid_t)-1, &e), -ENOENT);
	cr_assert_eq(passwd_by_name("", 0, "root", &e), -ENOENT);
	/* A NUL inside must not cut a name down to another one. */
	cr_assert_eq(passwd_by_name("root\0x:x:0:0::/:/", 17, "root", &e), -ENOENT);
}

Test(agent_parts, over_long_fields_are_skipped)
{
	char line[1024];
	struct passwd_entry e;
	int n = snprintf(line, sizeof(line), "a:x:5:5::/%0300d:/bin/sh\n", 0);

	cr_assert_eq(passwd_by_name(line, (size_t)n, "a", &e), -ENOENT);
	n = snprintf(line, sizeof(line), "%0100d:x:5:5::/:/bin/sh\n", 0);
	cr_assert_eq(passwd_by_uid(line, (size_t)n, 5, &e), -ENOENT);
}

Test(agent_parts, groups)
{
	static const char text[] = "root:x:0:\nsudo:x:27:alice,bob\nbad:x:y:bob\nempty:x:9:,\n"
				   "docker:x:998:bob,alice,bob\nbobby:x:5:bobby,xbob\n";
	gid_t gids[2] = { 77, 0 }, gid;
	size_t n = 0;

	cr_assert_eq(passwd_groups_of(text, sizeof(text) - 1, "bob", gids, 2, &n), 0);
	cr_assert_eq(n, 2);
	cr_assert_eq(gids[0], 27);
	cr_assert_eq(gids[1], 998);
	n = 1;
	cr_assert_eq(passwd_groups_of(text, sizeof(text) - 1, "bob", gids, 2, &n), -E2BIG);
	n = 0;
	cr_assert_eq(passwd_groups_of(text, sizeof(text) - 1, "", gids, 2, &n), 0);
	cr_assert_eq(passwd_group_by_name(text, sizeof(text) - 1, "docker", &gid), 0);
	cr_assert_eq(gid, 998);
	cr_assert_eq(passwd_group_by_name(text, sizeof(text) - 1, "bad", &gid), -ENOENT);
}

Test(agent_parts, environment_replaces_and_merges)
{
	struct env a, b;
	struct err err;

	env_init(&a);
	env_init(&b);
	cr_assert_null(env_get(&a, "X"));
	cr_assert_eq(env_set(&a, "X", "1", &err), 0);
	cr_assert_eq(env_set(&a, "XY", "2", &err), 0);
	cr_assert_eq(env_set(&a, "X", "3=4", &err), 0);
	cr_assert_eq(a.count, 2);
	cr_assert_str_eq(env_get(&a, "X"), "3=4");
	cr_assert_eq(env_set(&b, "XY", "z", &err), 0);
	cr_assert_eq(env_merge(&b, &a, &err), 0);
	cr_assert_str_eq(env_get(&b, "XY"), "2");
	cr_assert_str_eq(env_get(&b, "X"), "3=4");
	cr_assert_null(b.list[b.count]);
	cr_assert_eq(env_set(&a, "", "x", &err), -EINVAL);
	cr_assert_eq(env_set(&a, "A=B", "x", &err), -EINVAL);
	env_done(&a);
	env_done(&b);
}

Test(agent_parts, environment_is_bounded)
{
	struct env e;
	struct err err;
	char name[16];
	int r = 0;
	unsigned n = 0;

	env_init(&e);
	for (; r == 0 && n <= ENV_COUNT_MAX; n++) {
		snprintf(name, sizeof(name), "V%u", n);
		r = env_set(&e, name, "", &err);
	}
	cr_assert_eq(r, -E2BIG);
	cr_assert_eq(e.count, ENV_COUNT_MAX);
	env_done(&e);
	char *big = calloc(1, ENV_BYTES_MAX);
	memset(big, 'x', ENV_BYTES_MAX - 1);
	cr_assert_eq(env_set(&e, "A", big, &err), -E2BIG);
	big[ENV_BYTES_MAX / 2] = '\0';
	cr_assert_eq(env_set(&e, "A", big, &err), 0);
	cr_assert_eq(env_set(&e, "B", big, &err), -E2BIG);
	/* What was replaced is free again. */
	for (int i = 0; i < 5; i++)
		cr_assert_eq(env_set(&e, "A", "small", &err), 0);
	cr_assert_eq(env_set(&e, "B", big, &err), 0);
	free(big);
	env_done(&e);
}

Test(agent_parts, host_names)
{
	static const char *const good[] = { "a", "casemate-1", "A.b.c", "9", "x--y" };
	static const char *const bad[] = { "",	  "-a",	 "a-",	 "a..b", ".a", "a.",
					   "a_b", "a b", "a-.b", "ä",	 "a\n" };
	char label[70];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		cr_assert(identity_hostname_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert(!identity_hostname_valid(bad[i]), "%s", bad[i]);
	memset(label, 'a', sizeof(label));
	label[63] = '\0';
	cr_assert(identity_hostname_valid(label));
	label[63] = 'a';
	label[64] = '\0';
	cr_assert(!identity_hostname_valid(label));
}

Test(agent_parts, paths_of_files)
{
	char dst[32];
	struct err err;

	cr_assert_eq(path_of_file("/a/b", "/home/u", dst, sizeof(dst), &err), 0);
	cr_assert_str_eq(dst, "/a/b");
	cr_assert_eq(path_of_file("a/b", "/home/u", dst, sizeof(dst), &err), 0);
	cr_assert_str_eq(dst, "/home/u/a/b");
	cr_assert_eq(path_of_file("a", "not-absolute", dst, sizeof(dst), &err), 0);
	cr_assert_str_eq(dst, "/a");
	cr_assert_eq(path_of_file("", "/", dst, sizeof(dst), &err), -EINVAL);
	cr_assert_eq(path_of_file("/a/", "/", dst, sizeof(dst), &err), -EINVAL);
	cr_assert_eq(path_of_file("/a/..", "/", dst, sizeof(dst), &err), -EINVAL);
	cr_assert_eq(path_of_file(".", "/", dst, sizeof(dst), &err), -EINVAL);
	cr_assert_eq(path_of_file("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "/", dst, sizeof(dst), &err),
		     -ENAMETOOLONG);
}
