/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document (casemate-egress(8)), with jansson. It comes from casemated, which has it from a
 * client: every list, text and number has a ceiling, and an unknown field refuses all of it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "egress/egress_fds.h"
#include "egress/policy_internal.h"

#define DEST_TEXT_MAX (EGRESS_NAME_MAX + 10U) /* "*." and ":65535" */

typedef int field_fn(const json_t *v, struct policy *p, struct err *err);

struct field {
	const char *name;
	field_fn *take;
};

static int take_fields(const json_t *object, const struct field *fields, size_t count,
		       struct policy *p, struct err *err)
{
	const char *key;
	const json_t *v;

	if (!json_is_object(object))
		return err_set(err, -EINVAL, "not an object");
	/* jansson's iterators want a pointer to what may be changed, and change nothing. */
	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		size_t i = 0;
		int r;

		while (i < count && strcmp(fields[i].name, key) != 0)
			i++;
		if (i == count)
			return err_set(err, -EINVAL, "%.40s: unknown field", key);
		r = fields[i].take(v, p, err);
		if (r < 0) {
			(void)err_wrap(err, "%s", fields[i].name);
			return r;
		}
	}
	return 0;
}

/* ADDRESS, "[V6ADDRESS]" or NAME, with ":PORT" or without: cuts the port off. 0 or -EINVAL. */
static int cut_port(char *text, uint16_t *ret_port)
{
	char *colon = strrchr(text, ':');
	char *bracket = strchr(text, ']');
	uint64_t port;

	*ret_port = 0;
	if (text[0] == '[') {
		size_t len;

		if (bracket == NULL || (bracket[1] != '\0' && bracket[1] != ':'))
			return -EINVAL;
		colon = bracket[1] == ':' ? bracket + 1 : NULL;
		len = (size_t)(bracket - text) - 1;
		*bracket = '\0';
		memmove(text, text + 1, len + 1);
	} else if (colon != strchr(text, ':')) {
		return 0; /* an IPv6 address without brackets has no port */
	} else if (colon != NULL) {
		*colon = '\0';
	}
	if (colon == NULL)
		return 0;
	if (parse_u64(colon + 1, 1, UINT16_MAX, &port) < 0)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

static int take_text(const json_t *v, char *buf, size_t cap)
{
	size_t len = json_string_length(v);

	/* json_loadb refuses \u0000, so that the string is all there is. */
	if (!json_is_string(v) || len == 0 || len >= cap)
		return -EINVAL;
	memcpy(buf, json_string_value(v), len + 1);
	return 0;
}

static int take_dest(const json_t *v, bool names, struct dest *ret)
{
	char text[DEST_TEXT_MAX + 1];
	struct dest d = { 0 };

	if (take_text(v, text, sizeof(text)) < 0 || cut_port(text, &d.port) < 0)
		return -EINVAL;
	if (prefix_parse(text, &d.prefix) < 0) {
		d.named = true;
		if (!names || name_pattern_parse(text, strlen(text), &d.name) < 0)
			return -EINVAL;
	}
	*ret = d;
	return 0;
}

static int take_list(const json_t *v, bool names, struct dest_list *l, struct err *err)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v))
		return err_set(err, -EINVAL, "not a list");
	if (n > EGRESS_DESTS_MAX)
		return err_set(err, -E2BIG, "more than %u entries", EGRESS_DESTS_MAX);
	l->all = calloc(n + 1, sizeof(*l->all)); /* and one more: see take_deny */
	if (l->all == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		if (take_dest(json_array_get(v, i), names, &l->all[i]) < 0)
			return err_set(err, -EINVAL, "entry %zu is no %saddress or CIDR", i,
				       names ? "domain name, " : "");
		l->any_names = l->any_names || l->all[i].named;
		l->count++;
	}
	return 0;
}

static int take_allow(const json_t *v, struct policy *p, struct err *err)
{
	return take_list(v, true, &p->allow, err);
}

/* "0.0.0.0/0" is E2B's word for everything: then it is so for IPv6, too. */
static int take_deny(const json_t *v, struct policy *p, struct err *err)
{
	struct dest all = { 0 };
	int r = take_list(v, false, &p->deny, err);

	for (size_t i = 0; r == 0 && i < p->deny.count; i++) {
		const struct dest *d = &p->deny.all[i];

		if (d->port == 0 && d->prefix.bits == 96 && addr_is_v4(&d->prefix.addr)) {
			p->deny.all[p->deny.count++] = all;
			return 0;
		}
	}
	return r;
}

static int take_internet(const json_t *v, struct policy *p, struct err *err)
{
	if (!json_is_boolean(v))
		return err_set(err, -EINVAL, "not true or false");
	p->internet = json_is_true(v);
	return 0;
}

static int take_operator_allow(const json_t *v, struct policy *p, struct err *err)
{
	return take_list(v, false, &p->operator_allow, err);
}

static int take_operator_deny(const json_t *v, struct policy *p, struct err *err)
{
	return take_list(v, false, &p->operator_deny, err);
}

static int take_operator(const json_t *v, struct policy *p, struct err *err)
{
	static const struct field fields[] = {
		{ "allow", take_operator_allow },
		{ "deny", take_operator_deny },
	};

	return take_fields(v, fields, ARRAY_SIZE(fields), p, err);
}

static int take_resolvers(const json_t *v, struct policy *p, struct err *err)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v) || n > EGRESS_RESOLVERS_MAX)
		return err_set(err, -EINVAL, "not a list of at most %u", EGRESS_RESOLVERS_MAX);
	for (size_t i = 0; i < n; i++) {
		char text[DEST_TEXT_MAX + 1];
		struct policy_endpoint *e = &p->resolvers[i];

		if (take_text(json_array_get(v, i), text, sizeof(text)) < 0 ||
		    cut_port(text, &e->port) < 0 || addr_parse(text, &e->addr) < 0)
			return err_set(err, -EINVAL, "entry %zu is no address", i);
		if (e->port == 0)
			e->port = 53;
		p->resolvers_count++;
	}
	return 0;
}

static int take_proxy_address(const json_t *v, struct policy *p, struct err *err)
{
	char text[DEST_TEXT_MAX + 1];
	struct policy_proxy *x = &p->proxy;

	if (take_text(v, text, sizeof(text)) < 0 || cut_port(text, &x->port) < 0 || x->port == 0)
		return err_set(err, -EINVAL, "not HOST:PORT");
	if (addr_parse(text, &x->addr) < 0 && name_normalize(text, strlen(text), x->host) < 0)
		return err_set(err, -EINVAL, "not HOST:PORT");
	x->used = true;
	return 0;
}

static int take_proxy_user(const json_t *v, struct policy *p, struct err *err)
{
	if (take_text(v, p->proxy.user, sizeof(p->proxy.user)) < 0)
		return err_set(err, -EINVAL, "not 1 to %u bytes", EGRESS_SECRET_MAX);
	return 0;
}

static int take_proxy_password(const json_t *v, struct policy *p, struct err *err)
{
	if (take_text(v, p->proxy.password, sizeof(p->proxy.password)) < 0)
		return err_set(err, -EINVAL, "not 1 to %u bytes", EGRESS_SECRET_MAX);
	return 0;
}

static int take_proxy(const json_t *v, struct policy *p, struct err *err)
{
	static const struct field fields[] = {
		{ "address", take_proxy_address },
		{ "username", take_proxy_user },
		{ "password", take_proxy_password },
	};
	int r;

	if (json_is_null(v))
		return 0;
	r = take_fields(v, fields, ARRAY_SIZE(fields), p, err);
	if (r == 0 && !p->proxy.used)
		r = err_set(err, -EINVAL, "no address");
	if (r == 0 && (p->proxy.user[0] == '\0') != (p->proxy.password[0] == '\0'))
		r = err_set(err, -EINVAL, "username and password go together");
	return r;
}

/* Is there a way left for what no list names? Then a list of allowed names would forbid nothing. */
static bool denies_the_rest(const struct policy *p)
{
	for (size_t i = 0; i < p->deny.count; i++)
		if (p->deny.all[i].port == 0 && p->deny.all[i].prefix.bits == 96 &&
		    addr_is_v4(&p->deny.all[i].prefix.addr))
			return true;
	return !p->internet;
}

static int take_document(const json_t *document, struct policy *p, struct err *err)
{
	static const struct field fields[] = {
		{ "allowOut", take_allow },
		{ "denyOut", take_deny },
		{ "rules", policy_take_rules },
		{ "egressProxy", take_proxy },
		{ "resolvers", take_resolvers },
		{ "operator", take_operator },
		{ "allow_internet_access", take_internet },
	};
	int r = take_fields(document, fields, ARRAY_SIZE(fields), p, err);

	if (r == 0 && p->allow.any_names && !denies_the_rest(p))
		r = err_set(err, -EINVAL, "allowOut: names need 0.0.0.0/0 in denyOut");
	return r;
}

int policy_from_json(const json_t *document, struct policy **ret, struct err *err)
{
	struct policy *p = calloc(1, sizeof(*p));
	int r = p == NULL ? err_set(err, -ENOMEM, "out of memory")
			  : take_document(document, p, err);

	if (r < 0) {
		policy_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

int policy_parse(const char *text, size_t len, struct policy **ret, struct err *err)
{
	json_error_t e;
	json_t *document;
	int r;

	if (len > EGRESS_POLICY_MAX)
		return err_set(err, -E2BIG, "more than %u bytes", EGRESS_POLICY_MAX);
	document = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (document == NULL) /* e.text may quote what it stumbled over, and that may be a secret */
		return err_set(err, -EINVAL, "not JSON: line %d, column %d", e.line, e.column);
	r = policy_from_json(document, ret, err);
	json_decref(document);
	return r;
}
