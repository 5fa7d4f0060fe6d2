/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/openapi.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

static json_t *spec;

static void load(void)
{
	static char text[1 << 20];
	json_error_t err;
	FILE *f;
	size_t n;
	char *at = text;

	if (spec != NULL)
		return;
	f = fopen(OPENAPI_FILE, "re");
	cr_assert_not_null(f, "%s", OPENAPI_FILE);
	n = fread(text, 1, sizeof(text) - 1, f);
	(void)fclose(f);
	text[n] = '\0';
	while (*at == '#') /* comments are YAML's alone */
		at += strcspn(at, "\n") + 1;
	spec = json_loads(at, JSON_REJECT_DUPLICATES, &err);
	cr_assert_not_null(spec, "%s: line %d: %s", OPENAPI_FILE, err.line, err.text);
}

static const char *text_of(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

/* "#/components/schemas/NAME" */
static json_t *deref(json_t *schema)
{
	const char *ref = text_of(schema, "$ref");

	if (ref == NULL)
		return schema;
	schema = json_object_get(json_object_get(json_object_get(spec, "components"), "schemas"),
				 strrchr(ref, '/') + 1);
	cr_assert_not_null(schema, "%s", ref);
	return schema;
}

static void check(json_t *schema, json_t *v, const char *where);

static void check_object(json_t *schema, json_t *v, const char *where)
{
	json_t *known = json_object_get(schema, "properties"), *name, *member;
	json_t *others = json_object_get(schema, "additionalProperties");
	const char *key;
	char path[256];
	size_t i;

	json_array_foreach(json_object_get(schema, "required"), i, name)
		cr_assert_not_null(json_object_get(v, json_string_value(name)), "%s.%s is missing",
				   where, json_string_value(name));
	json_object_foreach(v, key, member)
	{
		(void)snprintf(path, sizeof(path), "%s.%s", where, key);
		if (json_object_get(known, key) != NULL)
			check(json_object_get(known, key), member, path);
		else if (json_is_object(others))
			check(others, member, path);
		else
			cr_assert(!json_is_false(others), "%s is not described", path);
	}
}

static void check_string(json_t *schema, json_t *v, const char *where)
{
	json_t *list = json_object_get(schema, "enum"), *one;
	const char *pattern = text_of(schema, "pattern");
	bool found = list == NULL;
	regex_t re;
	size_t i;

	json_array_foreach(list, i, one) found = found || json_equal(one, v);
	cr_assert(found, "%s: \"%s\" is none of those described", where, json_string_value(v));
	if (pattern == NULL)
		return;
	cr_assert_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	cr_assert_eq(regexec(&re, json_string_value(v), 0, NULL, 0), 0, "%s: \"%s\"", where,
		     json_string_value(v));
	regfree(&re);
}

static void check(json_t *schema, json_t *v, const char *where)
{
	const char *type;
	json_t *item;
	size_t i;

	schema = deref(schema);
	type = text_of(schema, "type");
	cr_assert_not_null(type, "%s", where);
	if (json_is_null(v)) {
		cr_assert(json_is_true(json_object_get(schema, "nullable")), "%s: null", where);
	} else if (strcmp(type, "object") == 0) {
		cr_assert(json_is_object(v), "%s: not an object", where);
		check_object(schema, v, where);
	} else if (strcmp(type, "array") == 0) {
		cr_assert(json_is_array(v), "%s: not an array", where);
		json_array_foreach(v, i, item) check(json_object_get(schema, "items"), item, where);
	} else if (strcmp(type, "string") == 0) {
		cr_assert(json_is_string(v), "%s: not a string", where);
		check_string(schema, v, where);
	} else if (strcmp(type, "integer") == 0) {
		cr_assert(json_is_integer(v), "%s: not an integer", where);
	} else if (strcmp(type, "number") == 0) {
		cr_assert(json_is_number(v), "%s: not a number", where);
	} else {
		cr_assert_str_eq(type, "boolean");
		cr_assert(json_is_boolean(v), "%s: not a boolean", where);
	}
}

/* A parameter of the template, "{...}", is one segment. */
static bool fits(const char *template, const char *path)
{
	while (*template != '\0') {
		if (*template == '{') {
			size_t n = strcspn(path, "/");
			if (n == 0)
				return false;
			path += n;
			template += strcspn(template, "}") + 1;
		} else if (*template ++ != *path++) {
			return false;
		}
	}
	return *path == '\0';
}

static json_t *find_operation(const char *method, const char *path)
{
	const char *template;
	json_t *item, *found = NULL;
	char lower[16];
	size_t n = 0;

	for (; method[n] != '\0' && n < sizeof(lower) - 1; n++)
		lower[n] = (char)tolower((unsigned char)method[n]);
	lower[n] = '\0';
	json_object_foreach(json_object_get(spec, "paths"), template, item)
	{
		/* A path without a parameter goes before one with. */
		if (fits(template, path) && (found == NULL || strchr(template, '{') == NULL))
			found = json_object_get(item, lower);
	}
	return found;
}

void openapi_check(const char *method, const char *path, const struct answer *a)
{
	json_t *op, *responses, *described, *content, *body;
	const char *type;
	char status[16];

	load();
	op = find_operation(method, path);
	cr_assert_not_null(op, "%s %s is not described", method, path);
	(void)snprintf(status, sizeof(status), "%u", a->status);
	responses = json_object_get(op, "responses");
	described = json_object_get(responses, status);
	if (described == NULL) {
		cr_assert_geq(a->status, 400, "%s %s: %u is not described", method, path,
			      a->status);
		described = json_object_get(responses, "default");
	}
	content = json_object_get(described, "content");
	if (content == NULL) {
		cr_assert_str_eq(a->body, "", "%s %s: a body: %s", method, path, a->body);
		return;
	}
	type = json_object_iter_key(json_object_iter(content));
	cr_assert_not_null(strstr(a->head, type), "%s %s: not %s: %s", method, path, type, a->head);
	if (strcmp(type, "application/json") != 0)
		return;
	body = answer_json(a);
	check(json_object_get(json_object_get(content, type), "schema"), body, path);
	json_decref(body);
}
