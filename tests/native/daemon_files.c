/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes that are paused without their memory: what is kept, that they boot from it, what is
 * refused, and the death of the daemon in the middle.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/native/daemon_rig.h"
#include "tests/native/openapi.h"
#include "vmm/vmm_fds.h"

#define DISK_MIB 300U /* more than the memory */
#define SHAPE	 "\"memory_bytes\":67108864"
#define SMALL	 "{" SHAPE "}"
#define DISKY	 "{" SHAPE ",\"scratch_bytes\":314572800}"
#define FILES	 "{\"memory\":false}"

static struct daemon_rig d;
static struct answer a;

static void set_up(void)
{
	daemon_rig_open(&d);
}

static void set_up_little(void)
{
	d.jail.test_option = "--paused-bytes";
	d.jail.test_value = "64K";
	daemon_rig_open(&d);
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

static unsigned ask(const char *method, const char *target, const char *body)
{
	daemon_rig_ask(&d, false, method, target, "", body, &a);
	openapi_check(method, target, &a);
	return a.status;
}

static const char *target_of(const char *api, const char *id, const char *verb)
{
	static char target[96];

	(void)snprintf(target, sizeof(target), "%s/sandboxes/%s%s", api, id, verb);
	return target;
}

static void make(char id[32], const char *body)
{
	cr_assert_eq(ask("POST", "/v1/sandboxes", body), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "id"));
}

static const char *said(const char *id, const char *field)
{
	cr_assert_eq(ask("GET", target_of("/v1", id, ""), NULL), 200, "%s", a.body);
	return answer_text(&a, field);
}

static bool alive(const char *id)
{
	char fields[128];

	(void)snprintf(fields, sizeof(fields), "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\n",
		       id);
	daemon_rig_ask(&d, true, "GET", "/health", fields, NULL, &a);
	return a.status == 204;
}

static void kept(const char *id, char ret[200])
{
	(void)snprintf(ret, 200, "%s/store/paused/%s.disk", d.jail.dir, id);
}

/* What the jailer keeps, with a name. */
static int files(void)
{
	return rig_kept(&d.jail, "paused");
}

/* Nobody waits for the jailer to remove them. */
static bool none_soon(void)
{
	for (unsigned i = 0; i < 1000 && files() > 0; i++)
		usleep(10000);
	return files() == 0;
}

/* The disk of its VMM, as its guest would write it. */
static int open_disk(const char *id)
{
	char path[64];
	json_t *o;
	int fd;

	cr_assert_eq(ask("GET", target_of("/v1", id, ""), NULL), 200, "%s", a.body);
	o = answer_json(&a);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d",
		       (int)json_integer_value(json_object_get(json_object_get(o, "jail"), "pid")),
		       VMM_FD_DRIVE0 + 1);
	json_decref(o);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", path);
	return fd;
}

/* At its end, and so many MiB at its beginning. */
static void write_disk(const char *id, const char *text, unsigned mib)
{
	static char block[1 << 20];
	int fd = open_disk(id);

	memset(block, 'x', sizeof(block));
	for (unsigned i = 0; i < mib; i++)
		cr_assert_eq(pwrite(fd, block, sizeof(block), (off_t)i << 20), 1 << 20);
	cr_assert_eq(pwrite(fd, text, 5, (DISK_MIB << 20) - 5), 5);
	close(fd);
}

static void expect_disk(const char *id, const char *text)
{
	struct stat st;
	char end[6] = "";
	int fd = open_disk(id);

	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, DISK_MIB << 20);
	cr_assert_eq(st.st_nlink, 0, "it has a name");
	cr_assert_eq(pread(fd, end, 5, (DISK_MIB << 20) - 5), 5);
	cr_assert_str_eq(end, text);
	close(fd);
}

static void park(const char *id)
{
	cr_assert_eq(ask("POST", target_of("/v1", id, "/pause"), FILES), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "state"), "paused");
	cr_assert_str_eq(answer_text(&a, "paused"), "disk");
}

static void resume(const char *id)
{
	cr_assert_eq(ask("POST", target_of("/v1", id, "/resume"), NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "id"), id);
	cr_assert_str_eq(answer_text(&a, "path"), "reboot");
	cr_assert(alive(id));
}

/* Again and again: a disk and no memory is kept, and it boots from that. */
Test(daemon_files, boots_from_its_disk, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], path[200];
	struct stat st;

	make(id, DISKY);
	cr_assert_str_eq(answer_text(&a, "path"), "cold");
	write_disk(id, "first", 1);
	for (unsigned round = 0; round < 2; round++) {
		park(id);
		cr_assert_eq(rig_groups(&d.jail), 0);
		cr_assert_eq(files(), 1, "there is a memory");
		kept(id, path);
		cr_assert_eq(stat(path, &st), 0);
		cr_assert_eq(st.st_mode, S_IFREG | 0600);
		cr_assert_eq(st.st_size, DISK_MIB << 20);
		cr_assert_lt(st.st_blocks * 512, 8 << 20, "it isn't sparse");
		cr_assert(!alive(id));
		resume(id);
		expect_disk(id, round == 0 ? "first" : "other");
		cr_assert(none_soon());
		write_disk(id, "other", 1);
	}
	/* With its memory as before, and without again. */
	cr_assert_eq(ask("POST", target_of("/v1", id, "/pause"), "{\"disk\":true}"), 200);
	cr_assert_eq(files(), 2);
	cr_assert_eq(ask("POST", target_of("/v1", id, "/resume"), NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "path"), "disk");
	park(id);
	cr_assert_eq(ask("DELETE", target_of("/v1", id, ""), NULL), 204);
	cr_assert(none_soon());
}

/* What has its files in its memory would lose them: it goes on. */
Test(daemon_files, no_disk, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, SMALL);
	cr_assert_eq(ask("POST", target_of("/v1", id, "/pause"), FILES), 501, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "scratch_bytes"), "%s", a.body);
	cr_assert_eq(ask("POST", target_of("", id, "/pause"), FILES), 501, "%s", a.body);
	cr_assert_str_eq(said(id, "state"), "running");
	cr_assert(alive(id));
	cr_assert_eq(
		ask("POST", target_of("/v1", id, "/pause"), "{\"memory\":false,\"disk\":false}"),
		400, "%s", a.body);
	cr_assert_eq(ask("POST", target_of("/v1", id, "/pause"), "{\"memory\":0}"), 400);
	cr_assert_eq(ask("POST", target_of("", id, "/pause"), "{\"memory\":0}"), 400);
	cr_assert_eq(ask("POST", "/v1/sandboxes", "{" SHAPE ",\"on_timeout\":\"pause-files\"}"),
		     501, "%s", a.body);
	/* The control: with its memory it can be kept. */
	cr_assert_eq(ask("POST", target_of("", id, "/pause"), "{\"memory\":true}"), 204, "%s",
		     a.body);
}

/* As the E2B API has it; its time being over is a pause of this kind, too. */
Test(daemon_files, by_the_other_api, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	cr_assert_eq(
		ask("POST", "/v2/sandboxes", "{\"templateID\":\"base\",\"autoPauseMemory\":false}"),
		400, "%s", a.body);
	cr_assert_eq(ask("POST", "/v2/sandboxes",
			 "{\"templateID\":\"base\",\"autoPause\":true,\"autoPauseMemory\":false,"
			 "\"autoResume\":{\"enabled\":true}}"),
		     400, "%s", a.body);
	cr_assert_eq(ask("POST", "/v2/sandboxes",
			 "{\"templateID\":\"base\",\"timeout\":1,\"autoPause\":true,"
			 "\"autoPauseMemory\":false}"),
		     201, "%s", a.body);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&a, "sandboxID"));
	for (unsigned i = 0; i < 1000 && strcmp(said(id, "state"), "paused") != 0; i++)
		usleep(10000);
	cr_assert_str_eq(said(id, "on_timeout"), "pause-files");
	cr_assert_eq(files(), 1);
	cr_assert_eq(ask("POST", target_of("", id, "/connect"), "{\"timeout\":60}"), 201, "%s",
		     a.body);
	cr_assert_str_eq(said(id, "path"), "reboot");
	cr_assert(alive(id));
	cr_assert_eq(ask("POST", target_of("", id, "/pause"), FILES), 204, "%s", a.body);
	cr_assert_eq(ask("POST", target_of("", id, "/pause"), FILES), 409, "%s", a.body);
	cr_assert_eq(ask("DELETE", target_of("", id, ""), NULL), 204);
	cr_assert(none_soon());
}

/* A disk that isn't what it was is refused, and there is another try. */
Test(daemon_files, its_disk_is_gone, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], path[200], moved[208];

	make(id, DISKY);
	write_disk(id, "first", 1);
	park(id);
	kept(id, path);
	(void)snprintf(moved, sizeof(moved), "%s.moved", path);
	cr_assert_eq(rename(path, moved), 0);
	cr_assert_eq(ask("POST", target_of("/v1", id, "/resume"), NULL), 500, "%s", a.body);
	cr_assert_str_eq(said(id, "state"), "paused");
	cr_assert_eq(rename(moved, path), 0);
	cr_assert_eq(truncate(path, 4096), 0);
	cr_assert_eq(ask("POST", target_of("/v1", id, "/resume"), NULL), 500, "%s", a.body);
	cr_assert_eq(rig_groups(&d.jail), 0, "a jail is left");
	cr_assert_eq(truncate(path, (DISK_MIB << 20) - 5), 0);
	cr_assert_eq(ask("POST", target_of("/v1", id, "/resume"), NULL), 500, "%s", a.body);
	cr_assert_eq(truncate(path, DISK_MIB << 20), 0);
	resume(id);
}

/* It counts as what is kept with a memory does. */
Test(daemon_files, too_much, .init = set_up_little, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, DISKY);
	write_disk(id, "first", 1);
	cr_assert_eq(ask("POST", target_of("/v1", id, "/pause"), FILES), 507, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "for paused sandboxes are in use"), "%s", a.body);
	cr_assert_str_eq(said(id, "state"), "running");
	cr_assert(alive(id), "it doesn't go on");
	expect_disk(id, "first");
	cr_assert_eq(files(), 0);
}

/* Another casemated has it, as it was. */
Test(daemon_files, the_daemon_dies, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, DISKY);
	write_disk(id, "first", 1);
	park(id);
	daemon_rig_stop(&d, SIGKILL);
	daemon_rig_start(&d);
	daemon_rig_await(&d);
	for (unsigned i = 0; i < 1000 && strcmp(said(id, "state"), "paused") != 0; i++)
		usleep(10000);
	cr_assert_eq(files(), 1);
	resume(id);
	expect_disk(id, "first");
	cr_assert(none_soon());
}

/* Asks for it and doesn't wait for the answer. */
static int begin(const char *id, const char *verb, const char *body)
{
	int fd = daemon_rig_dial(&d, false);

	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd,
			     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n%s",
			     target_of("/v1", id, verb), strlen(body), body),
		     0);
	return fd;
}

/* It runs, or is paused: whole in either case. */
static void expect_whole(const char *id)
{
	for (unsigned i = 0; i < 1000; i++, usleep(10000)) {
		const char *s = said(id, "state");
		if (strcmp(s, "running") == 0 || strcmp(s, "paused") == 0)
			break;
	}
	if (strcmp(said(id, "state"), "paused") == 0) {
		cr_assert_eq(files(), 1);
		resume(id);
	}
	cr_assert_str_eq(said(id, "state"), "running");
	cr_assert(alive(id), "%s", a.body);
	expect_disk(id, "first");
	cr_assert(none_soon());
}

/* At several moments of the way there and of the way back. */
Test(daemon_files, the_daemon_dies_in_the_middle, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const unsigned after_ms[] = { 0, 3, 12, 40 };
	char id[32];

	make(id, DISKY);
	write_disk(id, "first", 32);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(after_ms); i++) {
		const bool back = i % 2 == 1;
		int fd;

		if (back)
			park(id);
		fd = begin(id, back ? "/resume" : "/pause", back ? "" : FILES);
		usleep(after_ms[i / 2] * 1000);
		daemon_rig_stop(&d, SIGKILL);
		close(fd);
		daemon_rig_start(&d);
		daemon_rig_await(&d);
		expect_whole(id);
	}
}
