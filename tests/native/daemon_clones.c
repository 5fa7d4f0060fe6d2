/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_clones.c - many clones of one template, and forks: each guest says which generation id it
 * has and what its handshake was, and no two have anything of that in common. CASEMATE_CLONES: how
 * many.
 */
#include <agent.pb-c.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ttrpc.pb-c.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/native/daemon_rig.h"

#define CLONES	    1000U
#define FORKS	    16U
#define DEPTH	    4U
#define VALUE_BYTES 16U
/* Of each: a generation id, four parts of the entropy, two of the token, the host name. */
#define VALUES 8U

static struct daemon_rig d;
static struct answer a;

struct value {
	uint8_t bytes[VALUE_BYTES];
};
static struct value *values;
static size_t values_count;

static void set_up(void)
{
	d.pool = DEPTH;
	d.max = 64;
	d.jail.max = 80;
	daemon_rig_open(&d);
}

static void tear_down(void)
{
	daemon_rig_close(&d);
	free(values);
}

static unsigned ask(const char *method, const char *target, const char *body)
{
	daemon_rig_ask(&d, false, method, target, "", body, &a);
	return a.status;
}

static void add(const void *bytes, size_t len)
{
	struct value v = { { 0 } };

	memcpy(v.bytes, bytes, MIN(len, sizeof(v.bytes)));
	values[values_count++] = v;
}

static int by_bytes(const void *x, const void *y)
{
	return memcmp(x, y, sizeof(struct value));
}

/* How many are there more than once; sorts them. */
static size_t equal_values(void)
{
	size_t n = 0;

	qsort(values, values_count, sizeof(values[0]), by_bytes);
	for (size_t i = 1; i < values_count; i++)
		n += by_bytes(&values[i - 1], &values[i]) == 0;
	return n;
}

static uint8_t nibble(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The handshake that a guest was given: a whole call. */
static void add_identity(const uint8_t *call, size_t len, const char *id)
{
	Casemate__Ttrpc__Request *req = casemate__ttrpc__request__unpack(NULL, len, call);
	Casemate__Agent__V1__IdentifyRequest *q;

	cr_assert_not_null(req, "%s", a.body);
	cr_assert(req->method.len == 8 && memcmp(req->method.data, "Identify", 8) == 0);
	q = casemate__agent__v1__identify_request__unpack(NULL, req->payload.len,
							  req->payload.data);
	cr_assert_not_null(q);
	cr_assert_eq(q->entropy.len, 4 * VALUE_BYTES);
	cr_assert_eq(q->token.len, 2 * VALUE_BYTES);
	cr_assert_str_eq(q->hostname, id);
	for (size_t i = 0; i < q->entropy.len; i += VALUE_BYTES)
		add(q->entropy.data + i, VALUE_BYTES);
	for (size_t i = 0; i < q->token.len; i += VALUE_BYTES)
		add(q->token.data + i, VALUE_BYTES);
	add(q->hostname + strlen(q->hostname) - VALUE_BYTES, VALUE_BYTES);
	casemate__agent__v1__identify_request__free_unpacked(q, NULL);
	casemate__ttrpc__request__free_unpacked(req, NULL);
}

static void add_guest(const char *id)
{
	uint8_t who[1024];
	char fields[128];
	size_t len;

	(void)snprintf(fields, sizeof(fields), "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\n",
		       id);
	daemon_rig_ask(&d, true, "GET", "/who", fields, NULL, &a);
	cr_assert_eq(a.status, 200, "%s", a.body);
	len = strlen(a.body) / 2;
	cr_assert(len > VALUE_BYTES && len <= sizeof(who), "%s", a.body);
	for (size_t i = 0; i < len; i++)
		who[i] = (uint8_t)(nibble(a.body[2 * i]) << 4 | nibble(a.body[2 * i + 1]));
	add(who, VALUE_BYTES);
	add_identity(who + VALUE_BYTES, len - VALUE_BYTES, id);
}

static void end(const char *id)
{
	char target[96];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", id);
	cr_assert_eq(ask("DELETE", target, NULL), 204, "%s", a.body);
}

static void make(char id[32])
{
	cr_assert_eq(ask("POST", "/sandboxes", "{\"templateID\":\"base\"}"), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "sandboxID"));
}

static size_t clones(void)
{
	const char *text = getenv("CASEMATE_CLONES");
	uint64_t n = CLONES;

	if (text != NULL)
		cr_assert_eq(parse_u64(text, 2, 100000, &n), 0);
	return (size_t)n;
}

static void await_template(void)
{
	for (unsigned i = 0; i < 4000; i++) {
		cr_assert_eq(ask("GET", "/v1/status", NULL), 200, "%s", a.body);
		if (strstr(a.body, "\"template\":true") != NULL)
			return;
		usleep(5000);
	}
	cr_assert_fail("no template: %s", a.body);
}

/* How it came to run. */
static bool is_clone(const char *id)
{
	char target[96];
	const char *path;

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", id);
	cr_assert_eq(ask("GET", target, NULL), 200, "%s", a.body);
	path = answer_text(&a, "path");
	return strcmp(path, "pool") == 0 || strcmp(path, "restore") == 0;
}

/* The control, too: a value that comes twice is found. */
static void expect_unique(size_t guests)
{
	cr_assert_eq(values_count, guests * VALUES);
	cr_expect_eq(equal_values(), 0);
	add(values[values_count / 2].bytes, VALUE_BYTES);
	cr_expect_eq(equal_values(), 1);
}

Test(daemon_clones, of_a_template, .init = set_up, .fini = tear_down, .timeout = 600)
{
	size_t n = clones();
	char id[32];

	values = calloc(n * VALUES + 1, sizeof(*values));
	cr_assert_not_null(values);
	make(id); /* this one boots */
	cr_assert(!is_clone(id));
	end(id);
	await_template();
	for (size_t i = 0; i < n; i++) {
		make(id);
		cr_assert(is_clone(id), "%s", a.body);
		add_guest(id);
		end(id);
	}
	expect_unique(n);
}

static void add_forks(const char *parent)
{
	char target[96], body[32];
	const json_t *s;
	json_t *o;
	size_t i;

	(void)snprintf(target, sizeof(target), "/sandboxes/%s/fork", parent);
	(void)snprintf(body, sizeof(body), "{\"count\":%u,\"timeout\":60}", FORKS);
	cr_assert_eq(ask("POST", target, body), 201, "%s", a.body);
	o = answer_json(&a);
	json_array_foreach(o, i, s) add_guest(
		json_string_value(json_object_get(json_object_get(s, "sandbox"), "sandboxID")));
	json_decref(o);
}

Test(daemon_clones, of_a_running_one, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	values = calloc((FORKS + 1) * VALUES + 1, sizeof(*values));
	cr_assert_not_null(values);
	make(id);
	add_guest(id);
	add_forks(id);
	expect_unique(FORKS + 1);
}
