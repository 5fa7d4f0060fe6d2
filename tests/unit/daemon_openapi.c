/* SPDX-License-Identifier: Apache-2.0 */
/* Each route of casemated is described by api/openapi.yaml, and there is nothing else in it. The
 * answers themselves are held to it by tests/native (openapi.h). */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/daemon/service.h"

static const struct http_route *const tables[] = {
	service_routes,	      service_e2b_routes,      service_key_routes,
	service_image_routes, service_template_routes, service_snapshot_routes
};

static json_t *load(void)
{
	static char text[1 << 20];
	FILE *f = fopen(OPENAPI_FILE, "re");
	json_error_t err;
	char *at = text;
	json_t *o;

	cr_assert_not_null(f, "%s", OPENAPI_FILE);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	(void)fclose(f);
	while (*at == '#')
		at += strcspn(at, "\n") + 1;
	o = json_loads(at, JSON_REJECT_DUPLICATES, &err);
	cr_assert_not_null(o, "line %d: %s", err.line, err.text);
	return o;
}

/* "/a/{id}/b" and "/a/{}/b" are the same. */
static bool same(const char *described, const char *route)
{
	while (*described != '\0' && *described == *route) {
		if (*described == '{')
			described += strcspn(described, "}") - 1;
		described++;
		route++;
	}
	return *described == *route;
}

static bool is_method(const char *key, const char *method)
{
	return strcasecmp(key, method) == 0;
}

static bool is_described(json_t *paths, const struct http_route *r)
{
	const char *path, *method;
	json_t *item, *op;

	json_object_foreach(paths, path, item) if (same(path, r->path))
		json_object_foreach(item, method, op) if (is_method(method, r->method)) return true;
	return false;
}

/* A family of requests that is refused as a whole (501): "/x" and all below it. */
static bool is_refused(const struct http_route *table, const char *path)
{
	const size_t len = strlen(path);

	for (const struct http_route *r = table; r->method != NULL; r++)
		if (strncmp(r->path, path, len) == 0 && strcmp(r->path + len, "/*") == 0)
			return true;
	return strchr(path, '*') != NULL;
}

/* An upload is taken before there are routes: its body isn't collected. */
static bool is_upload(const char *path, const char *method)
{
	return (strcmp(path, "/v1/images") == 0 && is_method(method, "POST")) ||
	       (strcmp(path, "/templates/{id}/files/{hash}") == 0 && is_method(method, "PUT"));
}

static bool is_routed(const char *path, const char *method)
{
	if (is_upload(path, method))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (const struct http_route *r = tables[i]; r->method != NULL; r++)
			if (same(path, r->path) && is_method(method, r->method))
				return true;
	return false;
}

Test(daemon_openapi, every_route_is_described)
{
	json_t *spec = load(), *paths = json_object_get(spec, "paths");

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (const struct http_route *r = tables[i]; r->method != NULL; r++)
			cr_expect(is_refused(tables[i], r->path) || is_described(paths, r), "%s %s",
				  r->method, r->path);
	cr_expect_not(is_described(paths, &(struct http_route){ "GET", "/v1/nothing", NULL }));
	json_decref(spec);
}

Test(daemon_openapi, nothing_else_is)
{
	json_t *spec = load(), *item, *op;
	const char *path, *method;

	json_object_foreach(json_object_get(spec, "paths"), path, item)
		json_object_foreach(item, method, op)
			cr_expect(strcmp(method, "parameters") == 0 || is_routed(path, method),
				  "%s %s", method, path);
	cr_expect_not(is_routed("/v1/sandboxes/{id}", "patch"));
	json_decref(spec);
}
