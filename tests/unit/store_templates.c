/* SPDX-License-Identifier: Apache-2.0 */
/* The store's templates, builds and tags: whose they are, what goes with what, and a restart. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/store/templates.h"

static char dir[] = "/tmp/casemate-store.XXXXXX";
static char path[64];
static struct err err;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state.db", dir);
}

static void clean(void)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
	char name[80];

	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	cr_assert_eq(rmdir(dir), 0);
}

static struct store *open_store(void)
{
	static const char *const tenants[] = { "alice", "bob" };
	struct store *s = NULL;

	cr_assert_eq(store_open(path, &s, &err), 0, "%s", err.msg);
	for (size_t i = 0; i < 2; i++) {
		struct store_tenant t = { .sandboxes_max = 1 };
		snprintf(t.name, sizeof(t.name), "%s", tenants[i]);
		cr_assert_eq(store_tenant_put(s, &t), 0);
	}
	return s;
}

/* The last that was seen, as one text, and how many. */
static char seen[256];
static unsigned count;

static int see_template(const struct store_template *t, void *arg)
{
	(void)arg;
	snprintf(seen, sizeof(seen), "%s %s %s %d", t->id, t->tenant, t->name, t->public);
	count++;
	return 0;
}

static int see_build(const struct store_build *b, void *arg)
{
	(void)arg;
	snprintf(seen, sizeof(seen), "%s %s %s %s %s %d", b->id, b->state, b->reason, b->config,
		 b->snapshot, b->ended_ms != 0);
	count++;
	return 0;
}

static int see_tag(const struct store_tag *t, void *arg)
{
	(void)arg;
	snprintf(seen, sizeof(seen), "%s %s", t->tag, t->build);
	count++;
	return 0;
}

static void add_template(struct store *s, const char *id, const char *tenant, const char *name)
{
	const struct store_template t = { .id = id, .tenant = tenant, .name = name };

	cr_assert_eq(store_template_add(s, &t), 0);
}

static void add_build(struct store *s, const char *id, const char *template, int64_t when)
{
	const struct store_build b = { .id = id,
				       .template = template,
				       .state = STORE_BUILD_WAITING,
				       .vcpus = 1,
				       .memory = 1,
				       .created_ms = when };

	cr_assert_eq(store_build_add(s, &b), 0);
}

static const char *found(struct store *s, const char *tenant, const char *key)
{
	int r = store_template_find(s, tenant, key, see_template, NULL);

	return r == 0 ? seen : r == -ENOENT ? "none" : "error";
}

Test(store_templates, belong_to_tenants, .init = set_up, .fini = clean)
{
	const struct store_template again = { .id = "t9", .tenant = "alice", .name = "x" };
	const struct store_template nobodys = { .id = "t9", .tenant = "eve", .name = "x" };
	struct store *s = open_store();

	add_template(s, "t1", "alice", "x");
	add_template(s, "t2", "bob", "x");
	add_template(s, "t3", "alice", "y");
	cr_expect_eq(store_template_add(s, &again), -EEXIST);
	cr_expect_eq(store_template_add(s, &nobodys), -ENOENT);
	cr_expect_str_eq(found(s, "alice", "x"), "t1 alice x 0");
	cr_expect_str_eq(found(s, "bob", "x"), "t2 bob x 0");
	cr_expect_str_eq(found(s, "bob", "t2"), "t2 bob x 0");
	cr_expect_str_eq(found(s, "bob", "y"), "none");
	cr_expect_str_eq(found(s, "bob", "t3"), "none", "another's, by its id");
	cr_assert_eq(store_template_share(s, "t3", true), 0);
	cr_expect_str_eq(found(s, "bob", "y"), "t3 alice y 1");
	cr_assert_eq(store_template_share(s, "t1", true), 0);
	cr_expect_str_eq(found(s, "bob", "x"), "t2 bob x 0", "one's own comes first");
	cr_assert_eq(store_template_share(s, "t3", false), 0);
	cr_expect_str_eq(found(s, "bob", "y"), "none");
	cr_expect_eq(store_template_share(s, "t8", true), -ENOENT);
	count = 0;
	cr_assert_eq(store_templates_each(s, "alice", see_template, NULL), 0);
	cr_expect_eq(count, 2);
	store_close(s);
	s = open_store();
	cr_expect_str_eq(found(s, "alice", "y"), "t3 alice y 0");
	cr_assert_eq(store_template_remove(s, "t3"), 0);
	cr_expect_eq(store_template_remove(s, "t3"), -ENOENT);
	cr_expect_str_eq(found(s, "alice", "y"), "none");
	store_close(s);
}

Test(store_templates, builds_end_once, .init = set_up, .fini = clean)
{
	struct store *s = open_store();
	const struct store_build ready = { .id = "b1",
					   .state = STORE_BUILD_READY,
					   .reason = "",
					   .config = "{\"user\":\"u\"}",
					   .snapshot = "s1",
					   .ended_ms = 9 };

	add_template(s, "t1", "alice", "x");
	add_build(s, "b1", "t1", 1);
	add_build(s, "b2", "t1", 2);
	cr_assert_eq(store_build_state(s, &ready), 0);
	cr_assert_eq(store_build_find(s, "b1", see_build, NULL), 0);
	cr_expect_str_eq(seen, "b1 ready  {\"user\":\"u\"} s1 1");
	cr_expect_eq(store_build_find(s, "b9", see_build, NULL), -ENOENT);
	count = 0;
	cr_assert_eq(store_builds_each(s, "t1", see_build, NULL), 0);
	cr_expect_eq(count, 2);
	cr_expect_eq(strncmp(seen, "b1 ", 3), 0, "newest first: %s", seen);
	store_close(s);
	s = open_store();
	cr_assert_eq(store_builds_abort(s, "restart", 7), 0);
	cr_assert_eq(store_build_find(s, "b2", see_build, NULL), 0);
	cr_expect_str_eq(seen, "b2 error restart {}  1");
	cr_assert_eq(store_build_find(s, "b1", see_build, NULL), 0);
	cr_expect_eq(strncmp(seen, "b1 ready ", 9), 0, "what is ready stays: %s", seen);
	store_close(s);
}

Test(store_templates, tags_name_builds, .init = set_up, .fini = clean)
{
	struct store *s = open_store();

	add_template(s, "t1", "alice", "x");
	add_build(s, "b1", "t1", 1);
	add_build(s, "b2", "t1", 2);
	cr_expect_eq(store_tag_put(s, "t1", &(struct store_tag){ "v1", "b9", 1 }), -ENOENT);
	cr_assert_eq(store_tag_put(s, "t1", &(struct store_tag){ "v1", "b1", 1 }), 0);
	cr_assert_eq(store_tag_put(s, "t1", &(struct store_tag){ "v2", "b1", 1 }), 0);
	cr_assert_eq(store_tag_put(s, "t1", &(struct store_tag){ "v2", "b2", 2 }), 0);
	count = 0;
	cr_assert_eq(store_tags_each(s, "t1", see_tag, NULL), 0);
	cr_expect_eq(count, 2);
	cr_expect_str_eq(seen, "v2 b2");
	cr_assert_eq(store_tag_remove(s, "t1", "v2"), 0);
	cr_expect_eq(store_tag_remove(s, "t1", "v2"), -ENOENT);
	/* A build takes its tags with it, and a template its builds. */
	cr_assert_eq(store_build_remove(s, "b1"), 0);
	count = 0;
	cr_assert_eq(store_tags_each(s, "t1", see_tag, NULL), 0);
	cr_expect_eq(count, 0);
	cr_assert_eq(store_tag_put(s, "t1", &(struct store_tag){ "v1", "b2", 1 }), 0);
	cr_assert_eq(store_template_remove(s, "t1"), 0);
	cr_expect_eq(store_build_find(s, "b2", see_build, NULL), -ENOENT);
	store_close(s);
}

/* A tenant can't fill the host's state with names. */
Test(store_templates, tags_are_bounded, .init = set_up, .fini = clean)
{
	struct store *s = open_store();
	char tag[16];

	add_template(s, "t1", "alice", "app");
	add_build(s, "b1", "t1", 1);
	for (unsigned i = 0; i < STORE_TAGS_MAX; i++) {
		snprintf(tag, sizeof(tag), "v%u", i);
		cr_assert_eq(store_tag_put(s, "t1", &(struct store_tag){ tag, "b1", 1 }), 0);
	}
	cr_expect_eq(store_tag_put(s, "t1", &(struct store_tag){ "more", "b1", 1 }), -EDQUOT);
	/* One that is there may move, another template has its own, and one less is room for one.
	 */
	cr_expect_eq(store_tag_put(s, "t1", &(struct store_tag){ "v7", "b1", 2 }), 0);
	add_template(s, "t2", "alice", "other");
	add_build(s, "b2", "t2", 1);
	cr_expect_eq(store_tag_put(s, "t2", &(struct store_tag){ "more", "b2", 1 }), 0);
	cr_assert_eq(store_tag_remove(s, "t1", "v0"), 0);
	cr_expect_eq(store_tag_put(s, "t1", &(struct store_tag){ "more", "b1", 1 }), 0);
	count = 0;
	cr_assert_eq(store_tags_each(s, "t1", see_tag, NULL), 0);
	cr_expect_eq(count, STORE_TAGS_MAX);
	store_close(s);
}
