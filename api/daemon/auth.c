/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/auth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "api/daemon/credential.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"

#define HOST_MAX     255U
#define USED_STEP_MS 60000 /* how exact used_ms is: not a write for each request */

/* Is name dom, or does it end in ".dom"? A port of dom's doesn't count. */
static bool is_below(const char *name, const char *dom)
{
	size_t n = strlen(name), d = strcspn(dom, ":");

	return n >= d && strncasecmp(name + n - d, dom, d) == 0 &&
	       (n == d || name[n - d - 1] == '.');
}

static bool is_address(const char *name)
{
	struct in6_addr a;

	return inet_pton(AF_INET, name, &a) == 1 || inet_pton(AF_INET6, name, &a) == 1;
}

bool auth_host_ok(const char *host, const char *domain)
{
	char name[HOST_MAX + 1];
	size_t len;

	if (host == NULL)
		return false;
	if (host[0] == '[') { /* an IPv6 address */
		host++;
		len = strcspn(host, "]");
	} else {
		len = strcspn(host, ":");
	}
	if (len == 0 || len > HOST_MAX)
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return is_address(name) || is_below(name, "localhost") ||
	       (domain != NULL && is_below(name, domain));
}

/* The key that the request carries, or NULL. */
static const char *key_of(const struct http_req *req)
{
	const char *key = http_header(req, "X-API-Key");
	const char *bearer = http_header(req, "Authorization");

	if (key != NULL)
		return key;
	if (bearer != NULL && strncasecmp(bearer, "Bearer ", 7) == 0)
		return bearer + 7;
	return NULL;
}

static void refuse(struct http_req *req, const char *why)
{
	static struct log_limit limit = LOG_LIMIT(5);

	if (log_allowed(&limit))
		log_warn("auth.refused", "request=%s why=\"%s\"", http_id(req), why);
	http_error(req, 401, "unauthorized", "API key: %s", why);
}

static const struct principal *find(const struct auth *a, const char *key)
{
	uint8_t hash[CREDENTIAL_HASH_BYTES];
	int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	struct store_key k;
	struct tenant *t;

	if (credential_key_hash(key, hash) < 0 || store_key_find(a->store, hash, &k) < 0)
		return NULL;
	t = tenants_find(a->tenants, k.tenant);
	if (t == NULL)
		return NULL;
	if ((now - k.used_ms >= USED_STEP_MS || now < k.used_ms) &&
	    store_key_used(a->store, k.id, now) < 0)
		log_warn("auth.used", "key=%s: could not be noted", k.id);
	return k.admin ? &t->as_admin : &t->as_user;
}

bool auth_host_admit(const struct auth *a, struct http_req *req)
{
	if (http_door(req) == HTTP_DOOR_LOCAL ||
	    auth_host_ok(http_request_head(req)->host, a->domain))
		return true;
	http_error(req, 421, "misdirected", "Host: not a name of this service");
	return false;
}

void auth_admit(const struct auth *a, struct http_req *req)
{
	const char *key = key_of(req);
	const struct principal *p;

	if (!auth_host_admit(a, req))
		return;
	if (key == NULL && http_door(req) == HTTP_DOOR_LOCAL) {
		http_set_principal(req, &tenants_local(a->tenants)->as_admin);
		return;
	}
	if (key == NULL) {
		refuse(req, "none was given; pass it as X-API-Key");
		return;
	}
	p = find(a, key);
	if (p == NULL)
		refuse(req, "not known");
	else
		http_set_principal(req, p);
}

const struct principal *auth_principal(const struct http_req *req)
{
	const struct principal *p = http_principal(req);

	BUG_ON(p == NULL);
	return p;
}

bool auth_admin(struct http_req *req)
{
	if (auth_principal(req)->admin)
		return true;
	http_error(req, 403, "forbidden", "%s: is the operator's", http_path(req));
	return false;
}
