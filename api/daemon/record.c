/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/record.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#define VERSION 1

/* ---- Writing ------------------------------------------------------------------------------- */

static const char *const pages_names[] = { [SPEC_PAGES_NONE] = "none",
					   [SPEC_PAGES_TRANSPARENT] = "transparent",
					   [SPEC_PAGES_HUGETLB] = "hugetlb" };
_Static_assert(ARRAY_SIZE(pages_names) == SPEC_PAGES_COUNT, "as spec_parse knows them");

/* As spec_parse takes it. */
static json_t *spec_json(const struct spec *s)
{
	json_t *envs = json_object();

	for (size_t i = 0; i < s->envs_count; i++)
		if (json_object_set_new(envs, s->envs[i].name, json_string(s->envs[i].value)) < 0) {
			json_decref(envs);
			return NULL;
		}
	return json_pack(
		"{s:i, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:s, s:o?}",
		"vcpus", (int)s->vcpus, "memory_bytes", (json_int_t)s->memory_bytes,
		"scratch_bytes", (json_int_t)s->scratch_bytes, "timeout_ms",
		(json_int_t)s->timeout_ms, "on_timeout", spec_on_timeout(s), "kernel", s->kernel,
		"image", s->image, "hostname", s->hostname, "user", s->user, "cwd", s->cwd, "envs",
		envs, "huge_pages", pages_names[s->huge_pages], "root",
		s->root == SPEC_ROOT_PMEM ? "pmem" : "blk", "cpuset_cpus", s->cpuset_cpus,
		"cpuset_mems", s->cpuset_mems, "network",
		s->network != NULL ? json_loads(s->network, 0, NULL) : NULL);
}

static json_t *profile_json(const struct profile *p)
{
	if (p == NULL)
		return json_null();
	return json_pack("{s:s, s:O, s:b, s:b, s:b, s:s}", "template", p->template, "metadata",
			 p->metadata, "secure", p->secure, "auto_resume", p->auto_resume,
			 "private_traffic", p->private_traffic, "mask_host", p->mask_host);
}

char *record_write(const struct record *r)
{
	char origin[17], token[2 * RECORD_TOKEN_BYTES + 1], *text = NULL;
	char image[2 * RECORD_IMAGE_BYTES + 1];
	struct profile plain = { .metadata = NULL }, *p = NULL;
	json_t *o;

	if (r->spec.lease || r->spec.cpu != NULL)
		return NULL;
	if (r->profile != NULL) {
		plain = *r->profile;
		plain.metadata =
			plain.metadata != NULL ? json_incref(plain.metadata) : json_object();
		p = &plain;
	}
	(void)snprintf(origin, sizeof(origin), "%016" PRIx64, r->origin);
	(void)sodium_bin2hex(token, sizeof(token), r->token, sizeof(r->token));
	(void)sodium_bin2hex(image, sizeof(image), r->image, sizeof(r->image));
	o = json_pack("{s:i, s:o, s:s, s:s, s:o, s:b, s:b, s:b, s:s, s:s, s:s, s:I, s:s, s:s, s:s}",
		      "version", VERSION, "spec", spec_json(&r->spec), "digest", r->spec.digest,
		      "image", image, "profile", profile_json(p), "parked", r->parked, "files_only",
		      r->files_only, "resting", r->resting, "path", r->path, "parent", r->parent,
		      "origin", origin, "end_unix_ms", (json_int_t)r->end_unix_ms, "token", token,
		      "kernel_release", r->kernel_release, "agent_version", r->agent_version);
	if (o != NULL)
		text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(o);
	json_decref(plain.metadata);
	explicit_bzero(token, sizeof(token));
	return text;
}

/* ---- Reading ------------------------------------------------------------------------------- */

static int take_text(const json_t *o, const char *name, char *dst, size_t cap)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (s == NULL || strlen(s) >= cap)
		return -EINVAL;
	memcpy(dst, s, strlen(s) + 1);
	return 0;
}

static int take_bool(const json_t *o, const char *name, bool *ret)
{
	const json_t *v = json_object_get(o, name);

	*ret = json_is_true(v);
	return json_is_boolean(v) ? 0 : -EINVAL;
}

static int take_hex(const json_t *o, const char *name, uint8_t *dst, size_t len)
{
	const json_t *v = json_object_get(o, name);
	size_t got = 0;

	if (!json_is_string(v) || json_string_length(v) != 2 * len ||
	    sodium_hex2bin(dst, len, json_string_value(v), 2 * len, NULL, &got, NULL) != 0)
		return -EINVAL;
	return got == len ? 0 : -EINVAL;
}

static int take_spec(const json_t *o, struct spec *ret, struct err *err)
{
	/* What the host allows was decided when it was made. */
	static const struct spec_limits any = { .memory_max = INT64_MAX,
						.scratch_max = INT64_MAX,
						.networks = true,
						.kernel = "default",
						.image = "default" };
	char *text = json_dumps(json_object_get(o, "spec"), JSON_COMPACT);
	int r;

	if (text == NULL)
		return err_set(err, -EINVAL, "spec: missing");
	r = spec_parse(text, strlen(text), &any, ret, err);
	free(text);
	if (r == 0 && (ret->lease || ret->cpu != NULL)) {
		spec_done(ret);
		r = err_set(err, -EINVAL, "spec: what can't be recalled");
	}
	return r;
}

/* "" or SHA-256 in hex. */
static int take_digest(const json_t *o, char ret[SPEC_DIGEST_LEN + 1])
{
	int r = take_text(o, "digest", ret, SPEC_DIGEST_LEN + 1);
	size_t len = r < 0 ? 0 : strlen(ret);

	if (r == 0 && len != 0 &&
	    (len != SPEC_DIGEST_LEN || strspn(ret, "0123456789abcdef") != SPEC_DIGEST_LEN))
		r = -EINVAL;
	return r;
}

static int take_metadata(const json_t *p, struct profile *ret)
{
	json_t *v = json_object_get(p, "metadata"), *value;
	const char *key;

	if (!json_is_object(v))
		return -EINVAL;
	json_object_foreach(v, key, value)
	{
		if (!json_is_string(value))
			return -EINVAL;
	}
	ret->metadata = json_deep_copy(v);
	return ret->metadata == NULL ? -ENOMEM : 0;
}

/* A casemated before this one wrote none. */
static int take_mask(const json_t *p, char ret[HOSTMASK_MAX + 1])
{
	if (json_object_get(p, "mask_host") == NULL)
		return 0;
	if (take_text(p, "mask_host", ret, HOSTMASK_MAX + 1) < 0)
		return -EINVAL;
	return ret[0] == '\0' || hostmask_valid(ret) ? 0 : -EINVAL;
}

static int take_profile(const json_t *o, struct profile **ret)
{
	const json_t *p = json_object_get(o, "profile");
	struct profile *made;
	int r;

	*ret = NULL;
	if (json_is_null(p))
		return 0;
	made = profile_new();
	if (made == NULL)
		return -ENOMEM;
	r = take_text(p, "template", made->template, sizeof(made->template));
	if (r == 0)
		r = take_bool(p, "secure", &made->secure);
	if (r == 0)
		r = take_bool(p, "auto_resume", &made->auto_resume);
	if (r == 0)
		r = take_bool(p, "private_traffic", &made->private_traffic);
	if (r == 0)
		r = take_mask(p, made->mask_host);
	if (r == 0)
		r = take_metadata(p, made);
	if (r < 0)
		profile_free(made);
	else
		*ret = made;
	return r;
}

static int take_rest(const json_t *o, struct record *ret)
{
	const json_t *end = json_object_get(o, "end_unix_ms");
	const bool files = json_object_get(o, "files_only") != NULL; /* older ones have none */
	uint8_t origin[8];
	int r = 0;

	if (!json_is_integer(end) || json_integer_value(end) < 0)
		return -EINVAL;
	ret->end_unix_ms = json_integer_value(end);
	if (take_bool(o, "parked", &ret->parked) < 0 ||
	    (files && take_bool(o, "files_only", &ret->files_only) < 0) ||
	    take_bool(o, "resting", &ret->resting) < 0 ||
	    take_text(o, "path", ret->path, sizeof(ret->path)) < 0 ||
	    take_text(o, "parent", ret->parent, sizeof(ret->parent)) < 0 ||
	    take_text(o, "kernel_release", ret->kernel_release, sizeof(ret->kernel_release)) < 0 ||
	    take_text(o, "agent_version", ret->agent_version, sizeof(ret->agent_version)) < 0 ||
	    take_hex(o, "origin", origin, sizeof(origin)) < 0 ||
	    take_hex(o, "image", ret->image, sizeof(ret->image)) < 0 ||
	    take_hex(o, "token", ret->token, sizeof(ret->token)) < 0)
		r = -EINVAL;
	if (r == 0 && ret->parent[0] != '\0' && !sandbox_id_valid(ret->parent))
		r = -EINVAL;
	for (size_t i = 0; r == 0 && i < sizeof(origin); i++)
		ret->origin = ret->origin << 8 | origin[i];
	return r;
}

int record_read(const char *text, struct record *ret, struct err *err)
{
	struct record rec = { .profile = NULL };
	json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	int r;

	if (!json_is_object(o) || json_integer_value(json_object_get(o, "version")) != VERSION) {
		json_decref(o);
		return err_set(err, -EINVAL, "not a record of this version");
	}
	r = take_spec(o, &rec.spec, err);
	if (r == 0) {
		r = take_digest(o, rec.spec.digest);
		if (r == 0)
			r = take_profile(o, &rec.profile);
		if (r == 0)
			r = take_rest(o, &rec);
		if (r < 0)
			(void)err_sys(err, r, "a member is missing or not what it should be");
	}
	json_decref(o);
	if (r < 0)
		record_done(&rec);
	else
		*ret = rec;
	return r;
}

void record_done(struct record *r)
{
	spec_done(&r->spec);
	profile_free(r->profile);
	r->profile = NULL;
	explicit_bzero(r->token, sizeof(r->token));
}
