/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes that are paused on the disk: what is left of them, that they go on, what is refused,
 * and the death of the daemon and of the jailer.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/native/daemon_rig.h"
#include "tests/native/openapi.h"
#include "vmm/vmm_fds.h"

#define SMALL "{\"memory_bytes\":67108864}"

static struct daemon_rig d;
static struct answer a;

static void set_up(void)
{
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

static const char *target_of(const char *id, const char *verb)
{
	static char target[96];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s%s", id, verb);
	return target;
}

static const char *path_of(const char *id)
{
	static char path[160];

	(void)snprintf(path, sizeof(path), "%s/store/paused/%s", d.jail.dir, id);
	return path;
}

static void make(char id[32], const char *body)
{
	cr_assert_eq(ask("POST", "/v1/sandboxes", body), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "id"));
}

static const char *state(const char *id)
{
	cr_assert_eq(ask("GET", target_of(id, ""), NULL), 200, "%s", a.body);
	return answer_text(&a, "state");
}

/* Does its guest answer? */
static bool alive(const char *id)
{
	char fields[128];

	(void)snprintf(fields, sizeof(fields), "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\n",
		       id);
	daemon_rig_ask(&d, true, "GET", "/health", fields, NULL, &a);
	return a.status == 204;
}

static int files(void)
{
	return rig_kept(&d.jail, "paused");
}

/* Nobody waits for the jailer to remove it. */
static bool gone_soon(const char *id)
{
	for (unsigned i = 0; i < 1000; i++) {
		if (access(path_of(id), F_OK) < 0)
			return true;
		usleep(10000);
	}
	return false;
}

static bool none_soon(void)
{
	for (unsigned i = 0; i < 1000 && files() > 0; i++)
		usleep(10000);
	return files() == 0;
}

static void park(const char *id)
{
	cr_assert_eq(ask("POST", target_of(id, "/pause"), "{\"disk\":true}"), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "state"), "paused");
	cr_assert_str_eq(answer_text(&a, "paused"), "disk");
}

Test(daemon_disk, to_the_disk_and_back, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];
	struct stat st;

	make(id, SMALL);
	cr_assert(alive(id));
	cr_assert_eq(rig_groups(&d.jail), rig_trees(&d.jail));
	for (unsigned round = 0; round < 2; round++) {
		park(id);
		/* Nothing but a file is left of it. */
		cr_assert_eq(rig_groups(&d.jail), 0);
		cr_assert_eq(stat(path_of(id), &st), 0);
		cr_assert_eq(st.st_mode, S_IFREG | 0600);
		cr_assert_eq(st.st_uid, 0);
		cr_assert_gt(st.st_size, 67108864);
		cr_assert_lt(st.st_blocks * 512, 32 << 20, "it isn't sparse");
		cr_assert(!alive(id));
		cr_assert_eq(ask("POST", target_of(id, "/pause"), NULL), 409);
		cr_assert_eq(ask("POST", target_of(id, "/fork"), "{}"), 409);
		cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
		cr_assert_str_eq(answer_text(&a, "id"), id);
		cr_assert_str_eq(answer_text(&a, "state"), "running");
		cr_assert_str_eq(answer_text(&a, "path"), "disk");
		cr_assert(alive(id));
		cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 409);
		cr_assert(gone_soon(id), "the file is still there");
	}
	park(id);
	cr_assert_eq(ask("DELETE", target_of(id, ""), NULL), 204);
	cr_assert(gone_soon(id));
}

static void set_up_counted(void)
{
	d.available = 350; /* 256 stay; it may take 64 */
	set_up();
}

/* What was copied from the disk stays in memory: refused, it stays where it is. */
Test(daemon_disk, a_host_without_memory, .init = set_up_counted, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, SMALL);
	park(id);
	daemon_rig_available(&d, 319);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 503, "%s", a.body);
		cr_assert_not_null(strstr(a.body, "less than 320 MiB of memory available"), "%s",
				   a.body);
		cr_assert_str_eq(state(id), "paused");
		cr_assert_eq(files(), 1);
	}
	daemon_rig_available(&d, 320);
	for (unsigned i = 0; i < 2; i++) { /* what the first was promised isn't held */
		cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
		cr_assert(alive(id));
		cr_assert(gone_soon(id));
		park(id);
	}
}

Test(daemon_disk, in_memory, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, SMALL);
	cr_assert_eq(ask("POST", target_of(id, "/pause"), "{\"disk\":1}"), 400);
	cr_assert_eq(ask("POST", target_of(id, "/pause"), "{\"disk\":false}"), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "paused"), "memory");
	cr_assert_eq(files(), 0);
	cr_assert_eq(rig_groups(&d.jail), rig_trees(&d.jail));
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
	cr_assert(alive(id));
}

/* What the disk isn't kept of is refused, and goes on; without a wish it is paused in memory. */
Test(daemon_disk, on_huge_pages, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, "{\"memory_bytes\":67108864,\"huge_pages\":\"transparent\"}");
	cr_assert_eq(ask("POST", target_of(id, "/pause"), "{\"disk\":true}"), 501, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "huge pages"), "%s", a.body);
	cr_assert_str_eq(state(id), "running");
	cr_assert_eq(ask("POST", target_of(id, "/pause"), NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "paused"), "memory");
}

/* ---- Scratch disks ------------------------------------------------------------------------- */

#define DISK_MIB 300U /* more than the memory */
#define DISKY	 "{\"memory_bytes\":67108864,\"scratch_bytes\":314572800}"

/* The disk of its VMM, at two places far from each other, as its guest would write them. */
static int open_disk(const char *id)
{
	char path[64];
	json_t *o;
	int fd;

	cr_assert_eq(ask("GET", target_of(id, ""), NULL), 200, "%s", a.body);
	o = answer_json(&a);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d",
		       (int)json_integer_value(json_object_get(json_object_get(o, "jail"), "pid")),
		       VMM_FD_DRIVE0 + 1);
	json_decref(o);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", path);
	return fd;
}

static void write_disk(const char *id, const char *text)
{
	int fd = open_disk(id);

	cr_assert_eq(pwrite(fd, text, 5, 0), 5);
	cr_assert_eq(pwrite(fd, text, 5, (DISK_MIB << 20) - 5), 5);
	close(fd);
}

static void expect_disk(const char *id, const char *text)
{
	char first[6] = "", last[6] = "";
	struct stat st;
	int fd = open_disk(id);

	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, DISK_MIB << 20);
	cr_assert_lt(st.st_blocks * 512, 1 << 20, "it isn't sparse");
	cr_assert_eq(st.st_nlink, 0, "it has a name");
	cr_assert_eq(pread(fd, first, 5, 0), 5);
	cr_assert_eq(pread(fd, last, 5, (DISK_MIB << 20) - 5), 5);
	cr_assert(strcmp(first, text) == 0 && strcmp(last, text) == 0, "%s %s", first, last);
	close(fd);
}

/* Its disk comes back with it, as often as one likes. */
Test(daemon_disk, with_a_scratch_disk, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, DISKY);
	write_disk(id, "first");
	for (unsigned round = 0; round < 2; round++) {
		park(id);
		cr_assert_eq(rig_groups(&d.jail), 0);
		cr_assert_eq(files(), 2);
		cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
		cr_assert(alive(id));
		expect_disk(id, round == 0 ? "first" : "other");
		cr_assert(none_soon());
		write_disk(id, "other");
	}
	park(id);
	cr_assert_eq(ask("DELETE", target_of(id, ""), NULL), 204);
	cr_assert(none_soon());
}

/* A disk that isn't what it was is refused, and there is another try. */
Test(daemon_disk, a_scratch_disk_is_gone, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], disk[200], moved[200];

	make(id, DISKY);
	write_disk(id, "first");
	park(id);
	(void)snprintf(disk, sizeof(disk), "%s.disk", path_of(id));
	(void)snprintf(moved, sizeof(moved), "%s.moved", path_of(id));
	cr_assert_eq(rename(disk, moved), 0);
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 500, "%s", a.body);
	cr_assert_str_eq(state(id), "paused");
	cr_assert_eq(rename(moved, disk), 0);
	cr_assert_eq(truncate(disk, 4096), 0);
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 500, "%s", a.body);
	cr_assert_str_eq(state(id), "paused");
	cr_assert_eq(truncate(disk, DISK_MIB << 20), 0);
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
	cr_assert(alive(id));
}

static void change(const char *id, off_t at)
{
	int fd = open(path_of(id), O_RDWR | O_CLOEXEC);
	struct stat st;
	uint8_t b;

	cr_assert(fd >= 0 && fstat(fd, &st) == 0);
	at = at < 0 ? st.st_size + at : at;
	cr_assert_eq(pread(fd, &b, 1, at), 1);
	b ^= 1;
	cr_assert_eq(pwrite(fd, &b, 1, at), 1);
	close(fd);
}

static void refused(const char *id, const char *why)
{
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 500, "%s", a.body);
	cr_assert_not_null(strstr(a.body, why), "%s", a.body);
	cr_assert_str_eq(state(id), "paused");
	cr_assert_eq(rig_groups(&d.jail), 0, "a jail is left");
}

/* A byte of the memory, of the state and of the seal; and when all is as it was, it goes on. */
Test(daemon_disk, altered_and_truncated, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const struct {
		off_t at;
		const char *why;
	} bytes[] = { { 33 << 20, "memory isn't what was sealed" },
		      { -300, "state isn't what was sealed" },
		      { -10, "seal was altered" },
		      { -220, "seal" } };
	struct stat st;
	char id[32];

	make(id, SMALL);
	park(id);
	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
		change(id, bytes[i].at);
		refused(id, bytes[i].why);
		change(id, bytes[i].at);
	}
	cr_assert_eq(stat(path_of(id), &st), 0);
	cr_assert_eq(truncate(path_of(id), st.st_size - 1), 0);
	refused(id, "isn't as it was written");
	cr_assert_eq(chmod(path_of(id), 0644), 0);
	refused(id, "isn't as it was written");
	cr_assert_eq(ask("DELETE", target_of(id, ""), NULL), 204);
	/* The control. */
	make(id, SMALL);
	park(id);
	change(id, 33 << 20);
	change(id, 33 << 20);
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
	cr_assert(alive(id));
}

/* ---- The time that is over ----------------------------------------------------------------- */

static bool becomes(const char *id, const char *wanted)
{
	for (unsigned i = 0; i < 1000; i++) {
		if (strcmp(state(id), wanted) == 0)
			return true;
		usleep(10000);
	}
	return false;
}

/* Asks for it and doesn't wait for the answer. */
static int begin(const char *id, const char *verb, const char *body)
{
	int fd = daemon_rig_dial(&d, false);

	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd,
			     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n%s",
			     target_of(id, verb), strlen(body), body),
		     0);
	return fd;
}

static bool pauses(const char *id, const char *where)
{
	for (unsigned i = 0; i < 1000; i++) {
		(void)state(id);
		if (strcmp(answer_text(&a, "paused"), where) == 0)
			return true;
		usleep(10000);
	}
	return false;
}

/* It is paused, and again after each resume, also of a client that hasn't waited. */
static void pauses_each_time(const char *id, const char *where)
{
	cr_assert(pauses(id, where), "%s", a.body);
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
	cr_assert(pauses(id, where), "%s", a.body);
	close(begin(id, "/resume", ""));
	cr_assert(pauses(id, "no"), "%s", a.body);
	cr_assert(pauses(id, where), "%s", a.body);
}

Test(daemon_disk, its_time_is_over, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, "{\"memory_bytes\":67108864,\"timeout_ms\":300,\"on_timeout\":\"pause\"}");
	cr_assert_str_eq(answer_text(&a, "on_timeout"), "pause");
	pauses_each_time(id, "disk");
	cr_assert_eq(rig_groups(&d.jail), 0);
	/* The control. */
	make(id, "{\"memory_bytes\":67108864,\"timeout_ms\":300}");
	cr_assert_str_eq(answer_text(&a, "on_timeout"), "end");
	cr_assert(becomes(id, "ended"), "%s", a.body);
	cr_assert_not_null(strstr(a.body, "\"timeout\""), "%s", a.body);
}

/* Where the disk can't be. */
Test(daemon_disk, its_time_is_over_in_memory, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, "{\"memory_bytes\":67108864,\"huge_pages\":\"transparent\",\"timeout_ms\":300,"
		 "\"on_timeout\":\"pause\"}");
	pauses_each_time(id, "memory");
	cr_assert_eq(rig_groups(&d.jail), rig_trees(&d.jail));
}

/* ---- Disks that are full ------------------------------------------------------------------- */

/* 64 MiB of the disk stay free, whatever is asked for; and what --paused-bytes says is the most. */
static void mount_disk(const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    (mkdir(path_of(""), 0700) < 0 && errno != EEXIST) ||
	    mount("tmpfs", path_of(""), "tmpfs", 0, options) < 0)
		_exit(1);
}

static void on_a_full_disk(void)
{
	mount_disk("size=64m,mode=0700");
}

static void on_a_small_disk(void)
{
	mount_disk("size=112m,mode=0700");
}

static void set_up_small(void)
{
	d.jail.before_exec = on_a_small_disk;
	daemon_rig_open(&d);
}

static void set_up_full(void)
{
	d.jail.before_exec = on_a_full_disk;
	daemon_rig_open(&d);
}

static void set_up_little(void)
{
	d.jail.test_option = "--paused-bytes";
	d.jail.test_value = "64K";
	daemon_rig_open(&d);
}

static void set_up_none(void)
{
	d.jail.test_option = "--paused-bytes";
	d.jail.test_value = "0";
	daemon_rig_open(&d);
}

static void no_room(const char *why)
{
	char id[32];

	make(id, SMALL);
	cr_assert_eq(ask("POST", target_of(id, "/pause"), "{\"disk\":true}"), 507, "%s", a.body);
	cr_assert_not_null(strstr(a.body, why), "%s", a.body);
	cr_assert_not_null(strstr(a.body, "goes on running"), "%s", a.body);
	cr_assert(alive(id), "it doesn't go on");
	cr_assert_str_eq(state(id), "running");
	/* Who doesn't care gets it paused in memory. */
	cr_assert_eq(ask("POST", target_of(id, "/pause"), NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "paused"), "memory");
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
	cr_assert(alive(id));
}

Test(daemon_disk, full, .init = set_up_full, .fini = tear_down, .timeout = 120)
{
	no_room("the store's disk has 64 MiB free");
}

/* The disk of the jailer's own mount namespace. */
static uint64_t jailers_free(void)
{
	char path[192];
	struct statvfs v;

	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", (int)d.jail.jailer, path_of(""));
	cr_assert_eq(statvfs(path, &v), 0);
	return (uint64_t)v.f_bavail * v.f_frsize;
}

/* Takes all of it, or gives it back. The jailer may write until it notices that it is stopped. */
static void take_it_all(bool take)
{
	uint64_t room, taken = 0;
	char path[192];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", (int)d.jail.jailer, path_of("other"));
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	while (take && (room = jailers_free()) > 0) {
		if (fallocate(fd, 0, (off_t)taken, (off_t)room) == 0)
			taken += room;
		else
			cr_assert_eq(errno, ENOSPC);
	}
	if (!take)
		cr_assert_eq(unlink(path), 0);
	close(fd);
}

/* While a sandbox is being written, the disk becomes full. False: it was written already. */
static bool fills_meanwhile(const char *id)
{
	const uint64_t before = jailers_free(), until = now_ms() + 2000;
	int fd = begin(id, "/pause", "{\"disk\":true}");

	while (jailers_free() == before && now_ms() < until)
		;
	cr_assert_eq(kill(d.jail.jailer, SIGSTOP), 0);
	take_it_all(true);
	cr_assert_eq(kill(d.jail.jailer, SIGCONT), 0);
	daemon_rig_read(fd, &a);
	close(fd);
	take_it_all(false);
	return a.status != 200;
}

/* It goes on, and nothing is left of what was written so far. */
Test(daemon_disk, full_in_the_middle, .init = set_up_small, .fini = tear_down, .timeout = 120)
{
	uint64_t before = jailers_free();
	char id[32];

	make(id, "{\"memory_bytes\":67108864,\"hostname\":\"dirty-24\"}");
	for (unsigned i = 0; i < 5 && !fills_meanwhile(id); i++) {
		cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
		for (unsigned k = 0; k < 1000 && jailers_free() != before; k++)
			usleep(10000);
	}
	cr_assert_eq(a.status, 507, "%u %s", a.status, a.body);
	cr_assert_not_null(strstr(a.body, "goes on running"), "%s", a.body);
	cr_assert_not_null(strstr(a.body, "No space left"), "%s", a.body);
	cr_assert(alive(id), "it doesn't go on");
	for (unsigned i = 0; i < 1000 && jailers_free() != before; i++)
		usleep(10000);
	cr_assert_eq(jailers_free(), before);
	park(id);
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
	cr_assert(alive(id));
}

Test(daemon_disk, too_much, .init = set_up_little, .fini = tear_down, .timeout = 120)
{
	no_room("for paused sandboxes are in use");
	cr_assert_eq(files(), 0);
}

Test(daemon_disk, none_kept, .init = set_up_none, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, SMALL);
	cr_assert_eq(ask("POST", target_of(id, "/pause"), "{\"disk\":true}"), 501, "%s", a.body);
	cr_assert(alive(id));
}

static void set_up_unheld(void)
{
	d.hold = "0s";
	daemon_rig_open(&d);
}

Test(daemon_disk, the_daemon_dies, .init = set_up_unheld, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, SMALL);
	park(id);
	daemon_rig_stop(&d, SIGKILL);
	cr_assert(gone_soon(id));
	daemon_rig_start(&d);
	cr_assert_eq(ask("GET", target_of(id, ""), NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "state"), "ended");
}

/* Its files outlive it; the next one removes them, and whoever they were of has ended. */
Test(daemon_disk, the_jailer_dies, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, SMALL);
	park(id);
	rig_kill_jailer(&d.jail);
	cr_assert_eq(access(path_of(id), F_OK), 0, "nobody was there to remove it");
	rig_start_jailer(&d.jail);
	cr_assert(gone_soon(id));
	for (unsigned i = 0; i < 1000 && strcmp(state(id), "ended") != 0; i++)
		usleep(10000);
	cr_assert_str_eq(state(id), "ended");
	cr_assert_not_null(strstr(a.body, "pause-lost"), "%s", a.body);
}

/* ---- Connections to the jailer ------------------------------------------------------------- */

/* Ends the daemon's, as a jailer that thinks ill of it would. */
static void cut_off(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, d.daemon, 0);
	bool found = false;

	cr_assert_geq(pidfd, 0);
	for (int n = 0; n < 64 && !found; n++) {
		int fd = (int)syscall(SYS_pidfd_getfd, pidfd, n, 0);
		struct sockaddr_un un = { .sun_family = 0 };
		socklen_t len = sizeof(un) - 1;

		if (fd < 0)
			continue;
		found = getpeername(fd, (struct sockaddr *)&un, &len) == 0 &&
			un.sun_family == AF_UNIX && strstr(un.sun_path, "jailer.sock") != NULL;
		if (found)
			cr_assert_eq(shutdown(fd, SHUT_RDWR), 0);
		close(fd);
	}
	close(pidfd);
	cr_assert(found, "it has none");
}

/* What is held is there over the next one. */
Test(daemon_disk, the_connection_is_lost, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char parked[32], runs[32];

	make(parked, SMALL);
	make(runs, SMALL);
	park(parked);
	cut_off();
	for (unsigned i = 0; i < 1000 && ask("GET", "/v1/sandboxes", NULL) != 200; i++)
		usleep(10000);
	daemon_rig_await(&d);
	cr_assert_str_eq(state(parked), "paused");
	for (unsigned i = 0; i < 500; i++) {
		if (ask("POST", target_of(parked, "/resume"), NULL) != 503)
			break;
		usleep(10000);
	}
	cr_assert_eq(a.status, 200, "%u %s", a.status, a.body);
	cr_assert(alive(parked));
	cr_assert(alive(runs));
}

static void set_up_short_hold(void)
{
	d.hold = "2s";
	daemon_rig_open(&d);
}

/* A daemon with another state leaves alone what isn't its own; its hold ends it. */
Test(daemon_disk, another_state, .init = set_up_short_hold, .fini = tear_down, .timeout = 120)
{
	char id[32], mine[32], path[160], moved[160];

	make(id, SMALL);
	daemon_rig_stop(&d, SIGKILL);
	(void)snprintf(path, sizeof(path), "%s/state", d.jail.dir);
	(void)snprintf(moved, sizeof(moved), "%s/state.old", d.jail.dir);
	cr_assert_eq(rename(path, moved), 0);
	daemon_rig_start(&d);
	make(mine, SMALL);
	cr_assert_eq(ask("GET", "/v1/status", NULL), 200);
	cr_assert_not_null(strstr(a.body, "\"jails\":2"), "%s", a.body);
	for (unsigned i = 0; i < 1000; i++, usleep(10000)) {
		cr_assert_eq(ask("GET", "/v1/status", NULL), 200);
		if (strstr(a.body, "\"jails\":1") != NULL)
			break;
	}
	cr_assert_not_null(strstr(a.body, "\"jails\":1"), "%s", a.body);
	cr_assert(alive(mine));
	cr_assert_eq(ask("GET", target_of(id, ""), NULL), 404);
}
