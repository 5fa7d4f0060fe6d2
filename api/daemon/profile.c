/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/network.h"
#include "api/http/target.h"
#include "base/log.h"
#include "base/num.h"

#define TIMEOUT_DEFAULT_V1 15U /* seconds */
#define TIMEOUT_DEFAULT_V2 300U
#define DEFAULT_USER	   "user"

struct profile *profile_new(void)
{
	return calloc(1, sizeof(struct profile));
}

void profile_free(struct profile *p)
{
	if (p != NULL)
		json_decref(p->metadata);
	free(p);
}

struct profile *profile_copy(const struct profile *p)
{
	struct profile *copy = profile_new();

	if (copy == NULL || p == NULL)
		return copy;
	*copy = *p;
	copy->metadata = json_deep_copy(p->metadata);
	if (p->metadata != NULL && copy->metadata == NULL) {
		free(copy);
		return NULL;
	}
	return copy;
}

/* ---- One member each ----------------------------------------------------------------------- */

struct making {
	const struct spec_limits *lim;
	struct spec *spec;
	struct profile *profile;
	struct err *err;
	bool *no_internet;	/* said so */
	const json_t **network; /* the member */
};

static int is_not(const struct making *m, const char *name, const char *what)
{
	return err_set(m->err, -EINVAL, "%s: must be %s", name, what);
}

static int cannot(const struct making *m, const char *name)
{
	return err_set(m->err, -ENOTSUP, "%s: not supported by this service", name);
}

/* The image is the template's name without its tag; "base" is the daemon's default. */
static int on_template(const json_t *v, const struct making *m)
{
	const char *s = json_string_value(v);
	size_t len = s == NULL ? 0 : strcspn(s, ":");

	if (s == NULL || *s == '\0')
		return is_not(m, "templateID", "a name");
	if (strlen(s) > PROFILE_TEMPLATE_MAX)
		return err_set(m->err, -ENOENT, "template: no such template");
	memcpy(m->profile->template, s, strlen(s) + 1);
	if (len == 4 && strncmp(s, "base", len) == 0)
		return 0;
	if (len == 0 || s[0] == '.' || strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") < len)
		return err_set(m->err, -ENOENT, "template: no such template");
	memcpy(m->spec->image, s, len);
	m->spec->image[len] = '\0';
	return 0;
}

static int on_timeout(const json_t *v, const struct making *m)
{
	json_int_t s = json_integer_value(v);

	if (!json_is_integer(v) || s < 1 || (uint64_t)s > SPEC_TIMEOUT_MAX / 1000)
		return err_set(m->err, -EINVAL, "timeout: must be from 1 to %" PRIu64 " seconds",
			       SPEC_TIMEOUT_MAX / 1000);
	m->spec->timeout_ms = (uint64_t)s * 1000;
	return 0;
}

/* An object of strings, bounded as a whole. */
static int check_pairs(const json_t *v, const char *name, size_t max, const struct making *m)
{
	size_t total = 0;
	const char *key;
	json_t *value, *o;

	if (!json_is_object(v) || json_object_size(v) > max)
		return err_set(m->err, -EINVAL, "%s: must be an object of at most %zu strings",
			       name, max);
	memcpy(&o, &v, sizeof(o)); /* jansson's iterators want a non-const object */
	json_object_foreach(o, key, value)
	{
		if (!json_is_string(value))
			return is_not(m, name, "an object of strings");
		total += strlen(key) + json_string_length(value);
	}
	if (total > PROFILE_TEXT_MAX)
		return err_set(m->err, -EINVAL, "%s: more than %u bytes", name, PROFILE_TEXT_MAX);
	return 0;
}

static int on_metadata(const json_t *v, const struct making *m)
{
	int r = check_pairs(v, "metadata", PROFILE_METADATA_MAX, m);

	if (r == 0) {
		json_decref(m->profile->metadata);
		m->profile->metadata = json_deep_copy(v);
		if (m->profile->metadata == NULL)
			r = err_set(m->err, -ENOMEM, "out of memory");
	}
	return r;
}

static int on_envs(const json_t *v, const struct making *m)
{
	int r = check_pairs(v, "envVars", SPEC_ENVS_MAX, m);

	return r < 0 ? r : spec_set_envs(v, m->spec, m->err);
}

static int on_secure(const json_t *v, const struct making *m)
{
	if (!json_is_boolean(v))
		return is_not(m, "secure", "true or false");
	m->profile->secure = json_is_true(v);
	return 0;
}

static int on_internet(const json_t *v, const struct making *m)
{
	if (!json_is_boolean(v))
		return is_not(m, "allow_internet_access", "true or false");
	*m->no_internet = json_is_false(v);
	return 0;
}

static int on_auto_pause(const json_t *v, const struct making *m)
{
	if (!json_is_boolean(v))
		return is_not(m, "autoPause", "true or false");
	m->spec->pause_on_timeout = json_is_true(v);
	return 0;
}

/* Without the memory, its files must be elsewhere. */
static int on_auto_pause_memory(const json_t *v, const struct making *m)
{
	if (!json_is_boolean(v))
		return is_not(m, "autoPauseMemory", "true or false");
	m->spec->pause_files = json_is_false(v);
	return 0;
}

static int check_pause_files(const struct making *m)
{
	if (!m->spec->pause_files)
		return 0;
	if (!m->spec->pause_on_timeout)
		return err_set(m->err, -EINVAL, "autoPauseMemory: false only with autoPause");
	if (m->profile->auto_resume)
		return err_set(m->err, -EINVAL,
			       "autoResume: not with autoPauseMemory false: it goes on by connect");
	if (m->spec->scratch_bytes == 0)
		m->spec->scratch_bytes = MIN(PROFILE_DISK_BYTES, m->lim->scratch_max);
	return 0;
}

static int on_auto_resume(const json_t *v, const struct making *m)
{
	const json_t *enabled = json_object_get(v, "enabled");

	if (!json_is_object(v))
		return is_not(m, "autoResume", "an object");
	if (enabled != NULL && !json_is_boolean(enabled))
		return is_not(m, "autoResume", "an object whose enabled is true or false");
	m->profile->auto_resume = json_is_true(enabled);
	return 0;
}

static int on_empty_only(const json_t *v, const char *name, const struct making *m)
{
	bool empty = json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0) ||
		     (json_is_object(v) && json_object_size(v) == 0);

	return empty ? 0 : cannot(m, name);
}

static int on_volumes(const json_t *v, const struct making *m)
{
	return on_empty_only(v, "volumeMounts", m);
}
static int on_iam(const json_t *v, const struct making *m)
{
	return on_empty_only(v, "iam", m);
}

static int on_mask(const json_t *v, const struct making *m)
{
	const char *mask = json_string_value(v);

	if (v == NULL || json_is_null(v))
		return 0;
	if (mask == NULL || !hostmask_valid(mask))
		return is_not(m, "maskRequestHost", "a host, perhaps with ${PORT}");
	memcpy(m->profile->mask_host, mask, strlen(mask) + 1);
	return 0;
}

/* Where no sandbox has a network, what denies is so already; what allows can't be done. What is
 * said of requests to a guest's ports needs no network. */
static int on_network(const json_t *v, const struct making *m)
{
	static const char *const cannots[] = { "allowOut", "rules", "egressProxy" };
	const json_t *public = json_object_get(v, "allowPublicTraffic");

	if (!json_is_object(v))
		return is_not(m, "network", "an object");
	for (size_t i = 0; i < ARRAY_SIZE(cannots) && !m->lim->networks; i++) {
		const json_t *x = json_object_get(v, cannots[i]);
		int r = x == NULL ? 0 : on_empty_only(x, cannots[i], m);
		if (r < 0)
			return r;
	}
	if (public != NULL && !json_is_boolean(public))
		return is_not(m, "allowPublicTraffic", "true or false");
	m->profile->private_traffic = public != NULL && !json_is_true(public);
	*m->network = v;
	return on_mask(json_object_get(v, "maskRequestHost"), m);
}

int profile_network(const json_t *network, bool internet, char **ret, struct err *err)
{
	static const char *const lists[] = { "allowOut", "denyOut", "rules", "egressProxy" };
	json_t *policy = json_object();
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists) && r == 0; i++) {
		json_t *v = json_object_get(network, lists[i]);
		if (v != NULL && !json_is_null(v))
			r = json_object_set(policy, lists[i], v);
	}
	if (r == 0)
		r = json_object_set_new(policy, "allow_internet_access", json_boolean(internet));
	r = r < 0 ? err_set(err, -ENOMEM, "network: out of memory")
		  : network_policy(policy, ret, err);
	json_decref(policy);
	return r;
}

/* The SDKs' default is a network. One that may reach nothing has it, too: PUT .../network may say
 * otherwise later, and no card can be put into a running machine. */
static int make_network(const struct making *m)
{
	if (!m->lim->networks)
		return 0;
	m->spec->nic = true;
	return profile_network(*m->network, !*m->no_internet, &m->spec->network, m->err);
}

static const struct {
	const char *name;
	int (*on)(const json_t *v, const struct making *m);
} members[] = {
	{ "templateID", on_template },	  { "timeout", on_timeout },
	{ "metadata", on_metadata },	  { "envVars", on_envs },
	{ "secure", on_secure },	  { "allow_internet_access", on_internet },
	{ "autoPause", on_auto_pause },	  { "autoPauseMemory", on_auto_pause_memory },
	{ "autoResume", on_auto_resume }, { "network", on_network },
	{ "volumeMounts", on_volumes },	  { "iam", on_iam },
};

/* ---- Bodies -------------------------------------------------------------------------------- */

static json_t *load(const char *body, size_t len, struct err *err)
{
	json_error_t jerr;
	json_t *root =
		len == 0 ? json_object() : json_loadb(body, len, JSON_REJECT_DUPLICATES, &jerr);
	char shown[128];

	if (root == NULL && len > 0) {
		(void)log_escape(shown, sizeof(shown), jerr.text, strlen(jerr.text));
		(void)err_set(err, -EINVAL, "body: line %d: %s", jerr.line, shown);
	} else if (root == NULL) {
		(void)err_set(err, -ENOMEM, "out of memory");
	} else if (!json_is_object(root)) {
		(void)err_set(err, -EINVAL, "body: must be a JSON object");
		json_decref(root);
		root = NULL;
	}
	return root;
}

static int take_members(const json_t *root, const struct making *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const json_t *v = json_object_get(root, members[i].name);
		int r = v == NULL || json_is_null(v) ? 0 : members[i].on(v, m);
		if (r < 0)
			return r;
	}
	if (m->profile->template[0] == '\0')
		return err_set(m->err, -EINVAL, "templateID: is missing");
	return check_pause_files(m) < 0 ? m->err->code : make_network(m);
}

int profile_parse(const char *body, size_t len, unsigned v, const struct spec_limits *lim,
		  struct spec *spec, struct profile **ret, struct err *err)
{
	struct profile *p = profile_new();
	const json_t *network = NULL;
	bool no_internet = false;
	struct making m = { .lim = lim,
			    .spec = spec,
			    .profile = p,
			    .err = err,
			    .no_internet = &no_internet,
			    .network = &network };
	json_t *root;
	int r;

	if (p == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	root = load(body, len, err);
	if (root == NULL) {
		profile_free(p);
		return err->code;
	}
	spec_defaults(spec, lim);
	memcpy(spec->user, DEFAULT_USER, sizeof(DEFAULT_USER));
	spec->timeout_ms = (v == 1 ? TIMEOUT_DEFAULT_V1 : TIMEOUT_DEFAULT_V2) * UINT64_C(1000);
	p->secure = v != 1;
	r = take_members(root, &m);
	if (v != 1)
		p->secure = true; /* whatever it says */
	json_decref(root);
	if (r < 0) {
		profile_free(p);
		spec_done(spec);
		return r;
	}
	*ret = p;
	return 0;
}

int profile_parse_timeout(const char *body, size_t len, const char *name, bool needed,
			  uint64_t fallback_s, uint64_t *ret_ms, struct err *err)
{
	json_t *root = load(body, len, err);
	const json_t *v = json_object_get(root, name);
	json_int_t s = json_integer_value(v);
	int r = 0;

	if (root == NULL)
		return err->code;
	if (v == NULL && !needed)
		s = (json_int_t)fallback_s;
	else if (!json_is_integer(v))
		r = err_set(err, -EINVAL, "%s: must be a whole number of seconds", name);
	else if (s > (json_int_t)(SPEC_TIMEOUT_MAX / 1000))
		r = err_set(err, -EINVAL, "%s: at most %" PRIu64 " seconds", name,
			    SPEC_TIMEOUT_MAX / 1000);
	if (r == 0)
		*ret_ms = s < 0 ? 0 : (uint64_t)s * 1000;
	json_decref(root);
	return r;
}

/* value, or value unescaped once more: SDKs differ in how often they escape. */
static bool same_text(const char *want, char *got)
{
	if (want == NULL)
		return false;
	return strcmp(want, got) == 0 || (http_unescape(got, true) == 0 && strcmp(want, got) == 0);
}

static const json_t *find_pair(const struct profile *p, const char *name)
{
	char copy[256];
	const json_t *v = json_object_get(p->metadata, name);

	if (v != NULL || strlen(name) >= sizeof(copy))
		return v;
	memcpy(copy, name, strlen(name) + 1);
	return http_unescape(copy, true) == 0 ? json_object_get(p->metadata, copy) : NULL;
}

bool profile_matches(const struct profile *p, const char *filter)
{
	struct http_arg args[HTTP_QUERY_MAX];
	char *copy = strdup(filter);
	bool ok = copy != NULL;
	int n = ok ? http_query_parse(copy, args) : -ENOMEM;

	ok = n >= 0;
	for (int i = 0; i < n && ok; i++) {
		char *value = strdup(args[i].value);
		ok = p != NULL && value != NULL &&
		     same_text(json_string_value(find_pair(p, args[i].name)), value);
		free(value);
	}
	free(copy);
	return ok;
}
