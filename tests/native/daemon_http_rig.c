/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/native/daemon_http_rig.h"
#include "tests/native/openapi.h"

struct daemon_rig d;
struct answer a;

void set_up(void)
{
	daemon_rig_open(&d);
}

void tear_down(void)
{
	daemon_rig_close(&d);
}

/* A key of a tenant's, as a header line. */
const char *key_of(const char *tenant, const char *limits)
{
	static char lines[4][128];
	static unsigned at;
	char body[256], *line = lines[at++ % 4];

	(void)snprintf(body, sizeof(body), "{\"tenant\":\"%s\",\"limits\":%s}", tenant, limits);
	daemon_rig_ask(&d, false, "POST", "/v1/keys", "", body, &a);
	cr_assert_eq(a.status, 201, "%s", a.body);
	(void)snprintf(line, sizeof(lines[0]), "X-API-Key: %s\r\n", answer_text(&a, "key"));
	return line;
}

/* One request; what isn't for a guest must be answered as api/openapi.yaml says. */
unsigned ask(const char *method, const char *target, const char *fields, const char *body)
{
	char path[128];

	daemon_rig_ask(&d, true, method, target, fields, body, &a);
	(void)snprintf(path, sizeof(path), "%s", target);
	path[strcspn(path, "?")] = '\0';
	if (strstr(fields, "andbox") == NULL && strstr(fields, "Host: 300") == NULL &&
	    strstr(fields, "Access-Token") == NULL)
		openapi_check(method, path, &a);
	return a.status;
}

void make(const char *key, char id[32], char token[64])
{
	cr_assert_eq(ask("POST", "/v2/sandboxes", key,
			 "{\"templateID\":\"base\",\"timeout\":300,\"metadata\":{\"who\":\"me\"}}"),
		     201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "sandboxID"));
	if (token != NULL)
		(void)snprintf(token, 64, "%s", answer_text(&a, "envdAccessToken"));
}

size_t listed(const char *key, const char *query)
{
	char target[128];
	json_t *list;
	size_t n;

	(void)snprintf(target, sizeof(target), "/v2/sandboxes%s", query);
	cr_assert_eq(ask("GET", target, key, NULL), 200, "%s", a.body);
	list = answer_json(&a);
	n = json_array_size(list);
	json_decref(list);
	return n;
}

json_t *get(const char *key, const char *target)
{
	cr_assert_eq(ask("GET", target, key, NULL), 200, "%s: %s", target, a.body);
	return answer_json(&a);
}
