/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/route.h"

#include <string.h>

#include "api/http/target.h"
#include "base/num.h"

/* An id, of which old SDKs write "id-client". One that can't be is "". */
static void take_id(const char *text, size_t len, struct route *r)
{
	const char *dash = memchr(text, '-', len);
	size_t n = dash == NULL ? len : (size_t)(dash - text);

	if (n == SANDBOX_ID_LEN) {
		memcpy(r->id, text, n);
		r->id[n] = '\0';
	}
	if (!sandbox_id_valid(r->id))
		r->id[0] = '\0';
}

static bool take_port(const char *text, size_t len, struct route *r)
{
	char copy[8];
	uint64_t n;

	if (len == 0 || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (parse_u64(copy, 1, 65535, &n) < 0)
		return false;
	r->port = (uint16_t)n;
	return true;
}

/* PORT-ID.anything: the left-most label, which must not be the whole name. */
static bool take_host(const char *host, struct route *r)
{
	size_t label = strcspn(host, ".:");
	size_t digits = strspn(host, "0123456789");

	if (host[label] != '.' || digits == 0 || digits >= label || host[digits] != '-')
		return false;
	if (!take_port(host, digits, r))
		return false;
	take_id(host + digits + 1, label - digits - 1, r);
	return true;
}

static bool has_signature(const char *target)
{
	const char *query = strchr(target, '?');

	return query != NULL &&
	       (strncmp(query, "?signature=", 11) == 0 || strstr(query, "&signature=") != NULL);
}

void route_find(const struct http_head *h, const char *path, struct route *ret)
{
	const char *id = http_head_field(h, "E2b-Sandbox-Id");
	const char *port = http_head_field(h, "E2b-Sandbox-Port");
	struct route r = { .kind = ROUTE_CONTROL, .port = ROUTE_AGENT_PORT };

	if (id != NULL || port != NULL) {
		r.kind = ROUTE_MALFORMED;
		if (id != NULL && port != NULL && take_port(port, strlen(port), &r)) {
			take_id(id, strlen(id), &r);
			r.kind = ROUTE_SANDBOX;
		}
	} else if (h->host != NULL && take_host(h->host, &r)) {
		r.kind = ROUTE_SANDBOX;
	} else if (http_head_field(h, "X-Access-Token") != NULL &&
		   http_head_field(h, "X-API-Key") == NULL) {
		r.kind = ROUTE_TOKEN;
	} else if (strcmp(path, "/files") == 0 && has_signature(h->target)) {
		r.kind = ROUTE_SIGNATURE;
	}
	*ret = r;
}

/* As a lenient server might read it: unescaped, and without empty segments and "." ones. */
bool route_is_internal(const char *path)
{
	static const char *const internal[] = { "init",	  "freeze",   "unfreeze", "fsfreeze",
						"fsthaw", "collapse", "upgrade" };
	char copy[HTTP_TARGET_MAX + 1], *at = copy;
	const char *segment, *first = NULL;

	if (strlen(path) > HTTP_TARGET_MAX)
		return true;
	memcpy(copy, path, strlen(path) + 1);
	if (http_unescape(copy, false) < 0)
		return true;
	while ((segment = strsep(&at, "/")) != NULL) {
		if (strcmp(segment, "..") == 0)
			return true; /* no SDK writes that; who knows where it leads */
		if (first == NULL && *segment != '\0' && strcmp(segment, ".") != 0)
			first = segment;
	}
	for (size_t i = 0; i < ARRAY_SIZE(internal) && first != NULL; i++)
		if (strcmp(first, internal[i]) == 0)
			return true;
	return false;
}
