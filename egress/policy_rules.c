/* SPDX-License-Identifier: Apache-2.0 */
/* The `rules` of the document: headers for requests to names. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "egress/policy_internal.h"

#define HEADER_CHARS                                          \
	"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* What frames a message or names its server is not a rule's to change. */
static bool header_is_ours(const char *name)
{
	static const char *const ours[] = {
		"Host",	      "Content-Length", "Transfer-Encoding", "Upgrade",
		"Connection", "Expect",		"Trailer",	     "TE",
		"Keep-Alive"
	};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (strcasecmp(ours[i], name) == 0)
			return true;
	return false;
}

static bool header_is_fine(const char *name, const char *value)
{
	if (*name == '\0' || name[strspn(name, HEADER_CHARS)] != '\0' || header_is_ours(name))
		return false;
	for (; *value != '\0'; value++)
		if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
			return false;
	return true;
}

static struct policy_header *find_header(struct policy_rule *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return &r->headers[i];
	return NULL;
}

static int take_headers(const json_t *v, struct policy_rule *r, struct err *err)
{
	const char *name;
	const json_t *value;
	size_t bytes = 0;

	if (!json_is_object(v))
		return err_set(err, -EINVAL, "headers: not an object");
	json_object_foreach((json_t *)(uintptr_t)v, name, value)
	{
		struct policy_header *h = &r->headers[r->count];

		if (!json_is_string(value) || !header_is_fine(name, json_string_value(value)))
			return err_set(err, -EINVAL, "headers: %.40s can't be set", name);
		bytes += strlen(name) + json_string_length(value) + 4;
		if (r->count == EGRESS_HEADERS_MAX || bytes > EGRESS_HEADER_BYTES)
			return err_set(err, -E2BIG, "headers: too many");
		if (find_header(r, name) != NULL)
			return err_set(err, -EINVAL, "headers: %.40s twice", name);
		h->name = strdup(name);
		h->value = strdup(json_string_value(value));
		r->count++;
		if (h->name == NULL || h->value == NULL)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* {"transform": {"headers": {...}}}; SDKs write {} for no transform. */
static int take_transform(const json_t *v, struct policy_rule *r, struct err *err)
{
	const json_t *transform = json_object_get(v, "transform");
	const json_t *headers = json_object_get(transform, "headers");

	if (json_is_object(v) && json_object_size(v) == 0)
		return 0;
	if (json_object_size(v) != 1 || json_object_size(transform) != 1 || headers == NULL)
		return err_set(err, -EINVAL, "not a transform of headers");
	return take_headers(headers, r, err);
}

static int take_rule(const char *host, const json_t *list, struct policy_rule *r, struct err *err)
{
	size_t n = json_array_size(list);

	if (name_pattern_parse(host, strlen(host), &r->host) < 0)
		return err_set(err, -EINVAL, "%.40s: not a domain name", host);
	if (!json_is_array(list) || n > EGRESS_HEADERS_MAX)
		return err_set(err, -EINVAL, "%.40s: not a short list", host);
	for (size_t i = 0; i < n; i++) {
		int e = take_transform(json_array_get(list, i), r, err);

		if (e < 0) {
			(void)err_wrap(err, "%.40s", host);
			return e;
		}
	}
	return 0;
}

int policy_take_rules(const json_t *v, struct policy *p, struct err *err)
{
	const char *host;
	const json_t *list;

	if (!json_is_object(v))
		return err_set(err, -EINVAL, "not an object");
	if (json_object_size(v) > EGRESS_RULES_MAX)
		return err_set(err, -E2BIG, "more than %u hosts", EGRESS_RULES_MAX);
	p->rules = calloc(json_object_size(v) + 1, sizeof(*p->rules));
	if (p->rules == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	json_object_foreach((json_t *)(uintptr_t)v, host, list)
	{
		int r = take_rule(host, list, &p->rules[p->rules_count++], err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Could both be patterns of one name? */
static bool patterns_meet(const struct name_pattern *a, const struct name_pattern *b)
{
	return name_matches(a, b->name) || name_matches(b, a->name) ||
	       (a->below && b->below && strcmp(a->name, b->name) == 0);
}

/* Are all ways to the rule's hosts to port 443, where nothing is plain HTTP? */
static bool only_https(const struct policy *p, const struct policy_rule *r)
{
	bool met = false;

	for (size_t i = 0; i < p->allow.count; i++) {
		const struct dest *d = &p->allow.all[i];

		if (!d->named)
			return false; /* perhaps its address */
		if (!patterns_meet(&d->name, &r->host))
			continue;
		if (d->port != POLICY_PORT_HTTPS)
			return false;
		met = true;
	}
	return met;
}

bool policy_has_headers(const struct policy *p)
{
	for (size_t i = 0; i < p->rules_count; i++)
		if (p->rules[i].count > 0)
			return true;
	return false;
}

/* Every connection would be refused (flow_open): better said now. */
int policy_check_plain(const struct policy *p, struct err *err)
{
	for (size_t i = 0; i < p->rules_count; i++)
		if (p->rules[i].count > 0 && only_https(p, &p->rules[i]))
			return err_set(err, -EINVAL,
				       "rules: %.80s: without certificate authorities headers are "
				       "set in plain HTTP only, and allowOut has it for port 443 "
				       "alone",
				       p->rules[i].host.name);
	return 0;
}
