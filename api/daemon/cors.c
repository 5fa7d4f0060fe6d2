/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/cors.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"

#define ORIGIN_MAX 255U
#define MAX_AGE_S  "600"

static bool is_port(const char *text, const char *own)
{
	uint64_t n;

	return text[0] != '0' && strcmp(text, own) != 0 && parse_u64(text, 1, 65535, &n) == 0;
}

/* What follows "://": a name or an address, and perhaps a port that isn't the scheme's own. */
static bool is_host(const char *host, const char *own_port)
{
	const bool six = host[0] == '[';
	const size_t n = six ? strspn(host + 1, "0123456789abcdef:.")
			     : strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-");
	const char *rest = six ? host + 1 + n + (host[1 + n] == ']') : host + n;

	if (n == 0 || (six && rest[-1] != ']'))
		return false;
	return rest[0] == '\0' || (rest[0] == ':' && is_port(rest + 1, own_port));
}

int cors_add(struct cors *c, const char *origin, struct err *err)
{
	bool fits = strlen(origin) <= ORIGIN_MAX;

	if (fits && strncmp(origin, "https://", 8) == 0)
		fits = is_host(origin + 8, "443");
	else
		fits = fits && strncmp(origin, "http://", 7) == 0 && is_host(origin + 7, "80");
	if (!fits)
		return err_set(
			err, -EINVAL,
			"--cors-origin: \"%.64s\" is not an origin such as https://example.org",
			origin);
	if (c->count == CORS_ORIGINS_MAX)
		return err_set(err, -ENOSPC, "--cors-origin: more than %u", CORS_ORIGINS_MAX);
	c->origins[c->count++] = origin;
	return 0;
}

/* Ours, not the client's bytes: what is sent back is what the operator wrote. */
static const char *find(const struct cors *c, const char *origin)
{
	for (size_t i = 0; origin != NULL && i < c->count; i++)
		if (strcmp(c->origins[i], origin) == 0)
			return c->origins[i];
	return NULL;
}

bool cors_admit(const struct cors *c, struct http_req *req)
{
	const char *given = http_header(req, "Origin"), *origin = find(c, given);
	const bool preflight = given != NULL &&
			       strcmp(http_request_head(req)->method, "OPTIONS") == 0 &&
			       http_header(req, "Access-Control-Request-Method") != NULL;

	if (c->count == 0)
		return false;
	/* Another origin gets another answer: for caches in between. */
	http_add_field(req, "Vary", "Origin");
	if (origin != NULL) {
		http_add_field(req, "Access-Control-Allow-Origin", origin);
		http_add_field(req, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
	}
	if (!preflight)
		return false;
	if (origin == NULL) {
		http_error(req, 403, "forbidden", "this origin may not call the API");
		return true;
	}
	http_add_field(req, "Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE");
	/* "*" doesn't stand for Authorization. */
	http_add_field(req, "Access-Control-Allow-Headers", "*, Authorization");
	http_add_field(req, "Access-Control-Max-Age", MAX_AGE_S);
	http_answer(req, 204, NULL);
	return true;
}
