/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images through the API: sent, named, used, kept while they are used, and gone afterwards. The
 * bytes are nobody's business on the way: they are the bare-metal guest's here, which mounts none.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "tests/native/daemon_rig.h"
#include "tests/native/openapi.h"

#define BYTES (2 * 1024 * 1024 + 12345)

static struct daemon_rig d;
static struct answer a;
static uint8_t image[BYTES];
static char digest[80]; /* "sha256:..." */

static void set_up(void)
{
	daemon_rig_open(&d);
	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 13 + (i >> 11));
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

static unsigned ask(const char *method, const char *target, const char *fields, const char *body)
{
	char path[160];

	daemon_rig_ask(&d, fields[0] != '\0', method, target, fields, body, &a);
	(void)snprintf(path, sizeof(path), "%s", target);
	path[strcspn(path, "?")] = '\0';
	openapi_check(method, path, &a);
	return a.status;
}

/* Sends `send` bytes of an image whose length is said to be `length`, and reads the answer. */
static unsigned upload(const char *query, const char *fields, size_t length, size_t send_bytes)
{
	int fd = daemon_rig_dial(&d, fields[0] != '\0');
	char head[512];
	int n = snprintf(head, sizeof(head),
			 "POST /v1/images%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: "
			 "%zu\r\n\r\n",
			 query, fields, length);

	cr_assert_geq(fd, 0);
	cr_assert_eq(send(fd, head, (size_t)n, MSG_NOSIGNAL), n);
	for (size_t at = 0; at < send_bytes;) {
		ssize_t sent =
			send(fd, image + at, MIN(send_bytes - at, (size_t)100000), MSG_NOSIGNAL);
		if (sent <= 0)
			break; /* refused: the answer says why */
		at += (size_t)sent;
	}
	if (send_bytes < length)
		(void)shutdown(fd, SHUT_WR);
	daemon_rig_read(fd, &a);
	close(fd);
	if (a.status != 0)
		openapi_check("POST", "/v1/images", &a);
	return a.status;
}

static void bring(void)
{
	cr_assert_eq(upload("", "", BYTES, BYTES), 201, "%u %s", a.status, a.body);
	(void)snprintf(digest, sizeof(digest), "%s", answer_text(&a, "digest"));
}

static unsigned name_it(const char *name, const char *config)
{
	char target[128], body[1024];

	(void)snprintf(target, sizeof(target), "/v1/images/%s", name);
	(void)snprintf(body, sizeof(body), "{\"digest\":\"%s\",\"config\":%s}", digest, config);
	return ask("PUT", target, "", body);
}

static int files(void)
{
	return rig_kept(&d.jail, "blobs");
}

static const char *key_of(const char *tenant)
{
	static char line[128];
	char body[128];

	(void)snprintf(body, sizeof(body), "{\"tenant\":\"%s\"}", tenant);
	cr_assert_eq(ask("POST", "/v1/keys", "", body), 201, "%s", a.body);
	(void)snprintf(line, sizeof(line), "X-API-Key: %s\r\n", answer_text(&a, "key"));
	return line;
}

Test(daemon_images, live_from_upload_to_removal, .init = set_up, .fini = tear_down, .timeout = 60)
{
	char target[128], other[128], id[32];

	bring();
	cr_expect_eq(files(), 1);
	(void)snprintf(target, sizeof(target), "{\"image\":\"%s\"}", digest + 7);
	cr_expect_eq(ask("POST", "/v1/sandboxes", "", target), 400, "%s", a.body);
	cr_assert_eq(
		name_it("mine", "{\"env\":[\"A=b\"],\"user\":\"1000:1000\",\"workdir\":\"/w\"}"),
		201, "%s", a.body);
	cr_expect_str_eq(answer_text(&a, "digest"), digest);
	cr_expect_not_null(strstr(a.body, "\"present\":true"), "%s", a.body);
	cr_expect_not_null(strstr(a.body, "\"workdir\":\"/w\""), "%s", a.body);
	cr_assert_eq(ask("GET", "/v1/images", "", NULL), 200);
	cr_expect_not_null(strstr(a.body, "\"name\":\"mine\""), "%s", a.body);
	cr_expect_not_null(strstr(a.body, "\"placed\":[\"default\""), "%s", a.body);

	cr_assert_eq(ask("POST", "/v1/sandboxes", "", "{\"image\":\"mine\"}"), 201, "%s", a.body);
	cr_expect_str_eq(answer_text(&a, "image"), "mine");
	cr_expect_str_eq(answer_text(&a, "image_digest"), digest);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&a, "id"));

	/* By its digest, as long as it has a name. */
	(void)snprintf(target, sizeof(target), "{\"image\":\"%s\"}", digest + 7);
	cr_assert_eq(ask("POST", "/v1/sandboxes", "", target), 201, "%s", a.body);
	cr_expect_str_eq(answer_text(&a, "image_digest"), digest);
	(void)snprintf(other, sizeof(other), "/v1/sandboxes/%s", answer_text(&a, "id"));
	cr_assert_eq(ask("DELETE", other, "", NULL), 204);

	/* Its last name stays while it is used; another name doesn't. */
	cr_assert_eq(name_it("other", "{}"), 201, "%s", a.body);
	cr_expect_eq(ask("DELETE", "/v1/images/other", "", NULL), 200, "%s", a.body);
	cr_expect_eq(ask("DELETE", "/v1/images/mine", "", NULL), 409, "%s", a.body);
	cr_expect_eq(files(), 1);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", id);
	cr_assert_eq(ask("DELETE", target, "", NULL), 204);
	cr_expect_eq(ask("DELETE", "/v1/images/mine", "", NULL), 200, "%s", a.body);
	cr_expect_not_null(strstr(a.body, digest), "%s", a.body);
	cr_expect_eq(files(), 0);
	cr_expect_eq(ask("DELETE", "/v1/images/mine", "", NULL), 404);
	cr_expect_eq(ask("POST", "/v1/sandboxes", "", "{\"image\":\"mine\"}"), 400, "%s", a.body);
}

/* A name that moves on leaves the old image to those who use it; gc takes it when they are gone. */
Test(daemon_images, gc_takes_what_nothing_names_or_uses, .init = set_up, .fini = tear_down,
     .timeout = 60)
{
	char target[128], first[80];

	bring();
	cr_assert_eq(name_it("mine", "{}"), 201);
	cr_assert_eq(ask("POST", "/v1/sandboxes", "", "{\"image\":\"mine\"}"), 201, "%s", a.body);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", answer_text(&a, "id"));
	(void)snprintf(first, sizeof(first), "%s", digest);
	image[0]++;
	bring();
	cr_assert_str_neq(first, digest);
	cr_assert_eq(name_it("mine", "{}"), 201);
	cr_expect_eq(files(), 2);
	cr_assert_eq(ask("POST", "/v1/images/gc", "", "{\"min_age_s\":0}"), 200, "%s", a.body);
	cr_expect_eq(files(), 2, "used: %s", a.body);
	cr_assert_eq(ask("DELETE", target, "", NULL), 204);
	cr_assert_eq(ask("POST", "/v1/images/gc", "", NULL), 200, "%s", a.body);
	cr_expect_eq(files(), 2, "too young: %s", a.body);
	cr_assert_eq(ask("POST", "/v1/images/gc", "", "{\"min_age_s\":0}"), 200, "%s", a.body);
	cr_expect_not_null(strstr(a.body, first), "%s", a.body);
	cr_expect_eq(files(), 1);
	cr_expect_eq(ask("GET", "/templates/aliases/mine:latest", "", NULL), 200, "%s", a.body);
	cr_expect_str_eq(answer_text(&a, "templateID"), "mine");
	cr_expect_eq(ask("GET", "/templates/aliases/base", "", NULL), 200, "%s", a.body);
	cr_expect_str_eq(answer_text(&a, "templateID"), "default");
	cr_expect_eq(ask("GET", "/templates/aliases/nothing", "", NULL), 404, "%s", a.body);
	cr_expect_eq(ask("GET", "/templates/aliases/..%2f..", "", NULL), 404, "%s", a.body);
	/* Names outlive the daemon, and the E2B API knows them as templates. */
	daemon_rig_stop(&d, SIGTERM);
	daemon_rig_start(&d);
	cr_assert_eq(
		ask("POST", "/v2/sandboxes", key_of("alice"), "{\"templateID\":\"mine:latest\"}"),
		201, "%s", a.body);
	cr_assert_eq(ask("DELETE", "/v1/images/mine", "", NULL), 409, "%s", a.body);
}

Test(daemon_images, what_is_refused, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const char *alice = key_of("alice");
	char query[128];
	int fd;

	bring(); /* the control */
	(void)snprintf(query, sizeof(query), "?digest=%s", digest);
	cr_expect_eq(upload(query, "", BYTES, BYTES), 201, "%s", a.body);
	cr_expect_not_null(strstr(a.body, "\"existed\":true"), "%s", a.body);
	query[12 + 7] = query[12 + 7] == '0' ? '1' : '0';
	image[1]++;
	cr_expect_eq(upload(query, "", BYTES, BYTES), 400, "%s", a.body);
	cr_expect_eq(upload("?digest=abc", "", BYTES, BYTES), 400, "%s", a.body);
	cr_expect_eq(upload("", "", 0, 0), 411, "%s", a.body);
	cr_expect_eq(upload("", "", SIZE_MAX / 4, 100), 400, "%s", a.body);
	/* Cut off: whatever the answer, nothing stays. */
	(void)upload("", "", BYTES, BYTES / 2);
	fd = daemon_rig_dial(&d, false);
	cr_assert_geq(fd, 0);
	cr_assert_gt(send(fd, "POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nxx",
			  60, MSG_NOSIGNAL),
		     0);
	close(fd);
	cr_expect_eq(ask("POST", "/v1/images", alice, "x"), 403, "%s", a.body);
	cr_expect_eq(ask("PUT", "/v1/images/x", alice, "{}"), 403, "%s", a.body);
	cr_expect_eq(ask("DELETE", "/v1/images/x", alice, NULL), 403, "%s", a.body);
	cr_expect_eq(ask("POST", "/v1/images/gc", alice, "{}"), 403, "%s", a.body);
	cr_expect_eq(ask("GET", "/v1/images", alice, NULL), 200, "%s", a.body);
	cr_expect_eq(name_it("default", "{}"), 409, "%s", a.body);
	cr_expect_eq(name_it(".x", "{}"), 400, "%s", a.body);
	cr_expect_eq(name_it(digest + 7, "{}"), 400, "%s", a.body);
	cr_expect_eq(name_it("x", "{\"env\":[\"=x\"]}"), 400, "%s", a.body);
	cr_expect_eq(name_it("x", "{\"workdir\":\"relative\"}"), 400, "%s", a.body);
	digest[10] = digest[10] == '0' ? '1' : '0';
	cr_expect_eq(name_it("x", "{}"), 404, "%s", a.body);
	cr_expect_eq(files(), 1);
}
