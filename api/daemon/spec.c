/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/cpu_template.h"
#include "api/daemon/network.h"
#include "base/log.h"
#include "base/num.h"

#define SPEC_MEMORY_DEFAULT (UINT64_C(512) * MIB)
#define CHARS_NAME	    "abcdefghijklmnopqrstuvwxyz0123456789._-"
#define CHARS_HOST	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
#define CHARS_USER	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:"
#define CHARS_CPUSET	    "0123456789,-"
#define CHARS_ENV	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

static int take_number(const char *name, const json_t *v, uint64_t min, uint64_t max, uint64_t *ret,
		       struct err *err)
{
	json_int_t n;

	if (!json_is_integer(v))
		return err_set(err, -EINVAL, "%s: must be a whole number", name);
	n = json_integer_value(v);
	if (n < 0 || (uint64_t)n < min || (uint64_t)n > max)
		return err_set(err, -EINVAL, "%s: must be from %" PRIu64 " to %" PRIu64, name, min,
			       max);
	*ret = (uint64_t)n;
	return 0;
}

/* A string of at most cap - 1 bytes, made of `chars` when that is not NULL. */
static int take_text(const char *name, const json_t *v, const char *chars, char *dst, size_t cap,
		     struct err *err)
{
	const char *s = json_string_value(v);

	if (s == NULL)
		return err_set(err, -EINVAL, "%s: must be a string", name);
	if (strlen(s) >= cap)
		return err_set(err, -EINVAL, "%s: longer than %zu bytes", name, cap - 1);
	if (chars != NULL && s[strspn(s, chars)] != '\0')
		return err_set(err, -EINVAL, "%s: has a character that is not allowed", name);
	memcpy(dst, s, strlen(s) + 1);
	return 0;
}

static int take_store_name(const char *name, const json_t *v, char *dst, struct err *err)
{
	int r = take_text(name, v, CHARS_NAME, dst, SPEC_NAME_MAX + 1, err);

	if (r < 0)
		return r;
	/* A name is one component of a store: never empty, hidden or a way out of it. */
	if (dst[0] == '\0' || dst[0] == '.')
		return err_set(err, -EINVAL, "%s: must begin with a letter or digit", name);
	return 0;
}

/* Which of these names it is, or -EINVAL. */
static int take_choice(const json_t *v, const char *const *names, size_t count)
{
	const char *name = json_string_value(v);

	for (size_t i = 0; name != NULL && i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -EINVAL;
}

static int set_vcpus(const json_t *v, const struct spec_limits *lim, struct spec *s,
		     struct err *err)
{
	uint64_t n = 0;
	int r = take_number("vcpus", v, 1, SPEC_VCPUS_MAX, &n, err);

	(void)lim;
	if (r == 0)
		s->vcpus = (uint32_t)n;
	return r;
}

static int set_memory(const json_t *v, const struct spec_limits *lim, struct spec *s,
		      struct err *err)
{
	int r = take_number("memory_bytes", v, 0, INT64_MAX, &s->memory_bytes, err);

	if (r < 0)
		return r;
	if (s->memory_bytes < SPEC_MEMORY_MIN)
		return err_set(err, -EINVAL,
			       "memory_bytes: %" PRIu64 " is too little; at least %" PRIu64
			       " (64 MiB) is needed",
			       s->memory_bytes, SPEC_MEMORY_MIN);
	if (s->memory_bytes > lim->memory_max)
		return err_set(err, -EINVAL,
			       "memory_bytes: %" PRIu64
			       " is more than this host has; at most %" PRIu64 " (%" PRIu64 " MiB)",
			       s->memory_bytes, lim->memory_max, lim->memory_max / MIB);
	if (s->memory_bytes % SPEC_MEMORY_STEP != 0)
		return err_set(err, -EINVAL, "memory_bytes: must be a multiple of 2 MiB");
	return 0;
}

static int set_kernel(const json_t *v, const struct spec_limits *lim, struct spec *s,
		      struct err *err)
{
	(void)lim;
	return take_store_name("kernel", v, s->kernel, err);
}

static int set_image(const json_t *v, const struct spec_limits *lim, struct spec *s,
		     struct err *err)
{
	(void)lim;
	return take_store_name("image", v, s->image, err);
}

static int set_snapshot(const json_t *v, const struct spec_limits *lim, struct spec *s,
			struct err *err)
{
	(void)lim;
	return take_store_name("snapshot", v, s->snapshot, err);
}

static int set_template(const json_t *v, const struct spec_limits *lim, struct spec *s,
			struct err *err)
{
	(void)lim;
	int r = take_text("template", v, CHARS_NAME ":", s->template, sizeof(s->template), err);

	return r == 0 && s->template[0] == '\0'
		       ? err_set(err, -EINVAL, "template: must be NAME or NAME:TAG")
		       : r;
}

bool spec_env_name_ok(const char *name, size_t len)
{
	return len > 0 && !(name[0] >= '0' && name[0] <= '9') && strspn(name, CHARS_ENV) >= len;
}

bool spec_user_ok(const char *user)
{
	return strlen(user) <= SPEC_USER_MAX && user[strspn(user, CHARS_USER)] == '\0';
}

static int add_env(struct spec *s, const char *name, const json_t *v, struct err *err)
{
	struct spec_env *e = &s->envs[s->envs_count];
	char shown[64];

	(void)log_escape(shown, sizeof(shown), name, strlen(name));
	if (!spec_env_name_ok(name, strlen(name)))
		return err_set(err, -EINVAL, "envs: \"%s\" is not a variable name", shown);
	if (!json_is_string(v))
		return err_set(err, -EINVAL, "envs: %s: must be a string", shown);
	e->name = strdup(name);
	e->value = strdup(json_string_value(v));
	s->envs_count++; /* before the check: spec_done frees a half-made pair too */
	if (e->name == NULL || e->value == NULL)
		return err_set(err, -ENOMEM, "envs: out of memory");
	return 0;
}

int spec_set_envs(const json_t *v, struct spec *s, struct err *err)
{
	size_t count = json_object_size(v);

	if (!json_is_object(v))
		return err_set(err, -EINVAL, "envs: must be an object of strings");
	if (count > SPEC_ENVS_MAX)
		return err_set(err, -EINVAL, "envs: more than %u variables", SPEC_ENVS_MAX);
	if (count == 0)
		return 0;
	s->envs = calloc(count, sizeof(*s->envs));
	if (s->envs == NULL)
		return err_set(err, -ENOMEM, "envs: out of memory");
	/* jansson's iterator wants a non-const object though it does not change it. */
	json_t *obj;
	memcpy(&obj, &v, sizeof(obj));
	for (void *it = json_object_iter(obj); it != NULL; it = json_object_iter_next(obj, it)) {
		int r = add_env(s, json_object_iter_key(it), json_object_iter_value(it), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_envs(const json_t *v, const struct spec_limits *lim, struct spec *s, struct err *err)
{
	(void)lim;
	return spec_set_envs(v, s, err);
}

static int set_user(const json_t *v, const struct spec_limits *lim, struct spec *s, struct err *err)
{
	(void)lim;
	return take_text("user", v, CHARS_USER, s->user, sizeof(s->user), err);
}

static int set_cwd(const json_t *v, const struct spec_limits *lim, struct spec *s, struct err *err)
{
	int r = take_text("cwd", v, NULL, s->cwd, sizeof(s->cwd), err);

	(void)lim;
	if (r == 0 && s->cwd[0] != '\0' && s->cwd[0] != '/')
		return err_set(err, -EINVAL, "cwd: must be an absolute path");
	return r;
}

static int set_timeout(const json_t *v, const struct spec_limits *lim, struct spec *s,
		       struct err *err)
{
	(void)lim;
	return take_number("timeout_ms", v, 0, SPEC_TIMEOUT_MAX, &s->timeout_ms, err);
}

static const char *const on_timeout_names[] = { "end", "pause", "pause-files" };

const char *spec_on_timeout(const struct spec *s)
{
	return on_timeout_names[!s->pause_on_timeout ? 0 : !s->pause_files ? 1 : 2];
}

static int set_on_timeout(const json_t *v, const struct spec_limits *lim, struct spec *s,
			  struct err *err)
{
	int choice = take_choice(v, on_timeout_names, ARRAY_SIZE(on_timeout_names));

	(void)lim;
	if (choice < 0)
		return err_set(err, -EINVAL, "on_timeout: must be end, pause or pause-files");
	s->pause_on_timeout = choice >= 1;
	s->pause_files = choice == 2;
	return 0;
}

static int set_scratch(const json_t *v, const struct spec_limits *lim, struct spec *s,
		       struct err *err)
{
	int r = take_number("scratch_bytes", v, 0, lim->scratch_max, &s->scratch_bytes, err);

	if (r == 0 && s->scratch_bytes % MIB != 0)
		return err_set(err, -EINVAL, "scratch_bytes: must be a multiple of 1 MiB");
	return r;
}

static int set_hostname(const json_t *v, const struct spec_limits *lim, struct spec *s,
			struct err *err)
{
	(void)lim;
	return take_text("hostname", v, CHARS_HOST, s->hostname, sizeof(s->hostname), err);
}

static int set_huge_pages(const json_t *v, const struct spec_limits *lim, struct spec *s,
			  struct err *err)
{
	static const char *const names[] = { [SPEC_PAGES_NONE] = "none",
					     [SPEC_PAGES_TRANSPARENT] = "transparent",
					     [SPEC_PAGES_HUGETLB] = "hugetlb" };
	int choice = take_choice(v, names, ARRAY_SIZE(names));

	(void)lim;
	_Static_assert(ARRAY_SIZE(names) == SPEC_PAGES_COUNT, "one name a kind");
	if (choice < 0)
		return err_set(err, -EINVAL, "huge_pages: must be none, transparent or hugetlb");
	s->huge_pages = (enum spec_pages)choice;
	return 0;
}

static int set_root(const json_t *v, const struct spec_limits *lim, struct spec *s, struct err *err)
{
	static const char *const names[] = { [SPEC_ROOT_BLK] = "blk", [SPEC_ROOT_PMEM] = "pmem" };
	int choice = take_choice(v, names, ARRAY_SIZE(names));

	(void)lim;
	_Static_assert(ARRAY_SIZE(names) == SPEC_ROOT_COUNT, "one name a kind");
	if (choice < 0)
		return err_set(err, -EINVAL, "root: must be blk or pmem");
	s->root = (enum spec_root)choice;
	return 0;
}

/* Whether it is a list that makes sense, the jailer says. */
static int set_cpuset_cpus(const json_t *v, const struct spec_limits *lim, struct spec *s,
			   struct err *err)
{
	(void)lim;
	return take_text("cpuset_cpus", v, CHARS_CPUSET, s->cpuset_cpus, sizeof(s->cpuset_cpus),
			 err);
}

static int set_cpuset_mems(const json_t *v, const struct spec_limits *lim, struct spec *s,
			   struct err *err)
{
	(void)lim;
	return take_text("cpuset_mems", v, CHARS_CPUSET, s->cpuset_mems, sizeof(s->cpuset_mems),
			 err);
}

static int set_cpu_template(const json_t *v, const struct spec_limits *lim, struct spec *s,
			    struct err *err)
{
	(void)lim;
	s->cpu = calloc(1, sizeof(*s->cpu));
	if (s->cpu == NULL)
		return err_set(err, -ENOMEM, "cpu_template: out of memory");
	return cpu_template_parse(v, s->cpu, err);
}

/* {}: a network card, and nothing that it leads to until a policy comes. */
static int set_network(const json_t *v, const struct spec_limits *lim, struct spec *s,
		       struct err *err)
{
	if (json_is_null(v))
		return 0;
	if (!lim->networks)
		return err_set(err, -ENOTSUP,
			       "network: this service gives sandboxes none (casemated --networks)");
	s->nic = true;
	return network_policy(v, &s->network, err);
}

static int set_lease(const json_t *v, const struct spec_limits *lim, struct spec *s,
		     struct err *err)
{
	(void)lim;
	if (!json_is_boolean(v))
		return err_set(err, -EINVAL, "lease: must be true or false");
	s->lease = json_is_true(v);
	return 0;
}

static const struct {
	const char *name;
	int (*set)(const json_t *v, const struct spec_limits *lim, struct spec *s, struct err *err);
} fields[] = {
	{ "vcpus", set_vcpus },
	{ "memory_bytes", set_memory },
	{ "kernel", set_kernel },
	{ "image", set_image },
	{ "snapshot", set_snapshot },
	{ "template", set_template },
	{ "envs", set_envs },
	{ "user", set_user },
	{ "cwd", set_cwd },
	{ "timeout_ms", set_timeout },
	{ "on_timeout", set_on_timeout },
	{ "scratch_bytes", set_scratch },
	{ "hostname", set_hostname },
	{ "huge_pages", set_huge_pages },
	{ "root", set_root },
	{ "cpuset_cpus", set_cpuset_cpus },
	{ "cpuset_mems", set_cpuset_mems },
	{ "cpu_template", set_cpu_template },
	{ "network", set_network },
	{ "lease", set_lease },
};

static int set_field(const char *name, const json_t *v, const struct spec_limits *lim,
		     struct spec *s, struct err *err)
{
	char shown[64];

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].set(v, lim, s, err);
	(void)log_escape(shown, sizeof(shown), name, strlen(name));
	return err_set(err, -EINVAL, "%s: unknown field", shown);
}

void spec_defaults(struct spec *s, const struct spec_limits *lim)
{
	*s = (struct spec){ .vcpus = 1 };
	s->memory_bytes =
		MIN(SPEC_MEMORY_DEFAULT, lim->memory_max / SPEC_MEMORY_STEP * SPEC_MEMORY_STEP);
	s->scratch_bytes = lim->scratch;
	memcpy(s->kernel, lim->kernel, strnlen(lim->kernel, SPEC_NAME_MAX));
	memcpy(s->image, lim->image, strnlen(lim->image, SPEC_NAME_MAX));
}

/* The body's object; an empty body is an empty one. 0 and a new reference, or -errno. */
static int load_object(const char *body, size_t len, json_t **ret, struct err *err)
{
	json_error_t jerr;
	json_t *root =
		len == 0 ? json_object() : json_loadb(body, len, JSON_REJECT_DUPLICATES, &jerr);

	if (root == NULL) {
		char shown[128];
		if (len == 0)
			return err_set(err, -ENOMEM, "out of memory");
		(void)log_escape(shown, sizeof(shown), jerr.text, strlen(jerr.text));
		return err_set(err, -EINVAL, "body: line %d: %s", jerr.line, shown);
	}
	if (!json_is_object(root)) {
		json_decref(root);
		return err_set(err, -EINVAL, "body: must be a JSON object");
	}
	*ret = root;
	return 0;
}

static int set_fork_field(const char *name, const json_t *v, struct spec_fork *q, struct err *err)
{
	char shown[64];
	uint64_t n = 0;
	int r;

	if (strcmp(name, "count") == 0) {
		r = take_number(name, v, 1, SPEC_FORK_MAX, &n, err);
		q->count = (unsigned)n;
		return r;
	}
	if (strcmp(name, "lease") == 0) {
		q->lease = json_is_true(v);
		return json_is_boolean(v) ? 0
					  : err_set(err, -EINVAL, "lease: must be true or false");
	}
	(void)log_escape(shown, sizeof(shown), name, strlen(name));
	return err_set(err, -EINVAL, "%s: unknown field", shown);
}

int spec_parse_fork(const char *body, size_t len, struct spec_fork *ret, struct err *err)
{
	struct spec_fork q = { .count = 1 };
	json_t *root = NULL;
	int r = load_object(body, len, &root, err);

	if (r < 0)
		return r;
	for (void *it = json_object_iter(root); it != NULL && r == 0;
	     it = json_object_iter_next(root, it))
		r = set_fork_field(json_object_iter_key(it), json_object_iter_value(it), &q, err);
	json_decref(root);
	if (r == 0)
		*ret = q;
	return r;
}

/* A snapshot is of a machine; another one can't go on from it. */
static int check_snapshot(const json_t *root, struct err *err)
{
	static const char *const shape[] = { "vcpus", "memory_bytes",  "kernel",
					     "image", "scratch_bytes", "huge_pages",
					     "root",  "cpu_template" };

	for (size_t i = 0; i < ARRAY_SIZE(shape); i++)
		if (json_object_get(root, shape[i]) != NULL)
			return err_set(err, -EINVAL, "%s: is the snapshot's", shape[i]);
	return 0;
}

int spec_parse(const char *body, size_t len, const struct spec_limits *lim, struct spec *ret,
	       struct err *err)
{
	struct spec s;
	json_t *root = NULL;
	int r = load_object(body, len, &root, err);

	if (r < 0)
		return r;
	spec_defaults(&s, lim);
	for (void *it = json_object_iter(root); it != NULL && r == 0;
	     it = json_object_iter_next(root, it))
		r = set_field(json_object_iter_key(it), json_object_iter_value(it), lim, &s, err);
	if (r == 0 && (s.snapshot[0] != '\0' || s.template[0] != '\0'))
		r = check_snapshot(root, err);
	if (r == 0 && s.snapshot[0] != '\0' && s.template[0] != '\0')
		r = err_set(err, -EINVAL, "template: not with a snapshot");
	json_decref(root);
	if (r < 0) {
		spec_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

int spec_copy(const struct spec *src, struct spec *ret)
{
	struct spec s = *src;

	s.envs = NULL;
	s.envs_count = 0;
	s.cpu = NULL;
	s.network = NULL;
	if (src->envs_count > 0)
		s.envs = calloc(src->envs_count, sizeof(*s.envs));
	if (src->cpu != NULL)
		s.cpu = malloc(sizeof(*s.cpu));
	if ((src->envs_count > 0 && s.envs == NULL) || (src->cpu != NULL && s.cpu == NULL)) {
		spec_done(&s);
		return -ENOMEM;
	}
	if (src->cpu != NULL)
		*s.cpu = *src->cpu;
	if (src->network != NULL) {
		s.network = strdup(src->network);
		if (s.network == NULL) {
			spec_done(&s);
			return -ENOMEM;
		}
	}
	while (s.envs_count < src->envs_count) {
		struct spec_env *e = &s.envs[s.envs_count];
		e->name = strdup(src->envs[s.envs_count].name);
		e->value = strdup(src->envs[s.envs_count].value);
		s.envs_count++; /* before the check: spec_done frees a half-made pair too */
		if (e->name == NULL || e->value == NULL) {
			spec_done(&s);
			return -ENOMEM;
		}
	}
	*ret = s;
	return 0;
}

void spec_done(struct spec *s)
{
	for (size_t i = 0; i < s->envs_count; i++) {
		free(s->envs[i].name);
		free(s->envs[i].value);
	}
	free(s->envs);
	free(s->cpu);
	free(s->network);
	s->envs = NULL;
	s->cpu = NULL;
	s->network = NULL;
	s->envs_count = 0;
}
