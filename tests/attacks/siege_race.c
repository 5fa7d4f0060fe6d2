/* SPDX-License-Identifier: Apache-2.0 */
/*
 * siege_race.c - names and mounts that change while the jailer makes jails. What is behind the
 * links belongs to root and could be read by the jailer: only the way it takes there protects it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jailer.pb-c.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/attacks/harness.h"
#include "tests/attacks/siege.h"
#include "tests/attacks/world.h"

#define DIR_H	    WORLD_STORE "/images/h" /* what the jailer is asked for */
#define DIR_LINK    WORLD_STORE "/images/hlink"
#define FILE_H	    DIR_H "/root.erofs"
#define FILE_LINK   DIR_H "/link"
#define ELSEWHERE   WORLD_LIB "/elsewhere"
#define IMAGE_LABEL "system_u:object_r:casemate_image_t:s0"
#define REFUSALS    100	   /* for each jail, at most: they cost little */
#define LOOKS	    200000 /* of the careless reader, who needs some two */

static void furnish(void)
{
	harness_mkdir(ELSEWHERE, 0755);
	harness_write(ELSEWHERE "/root.erofs", CANARY, strlen(CANARY), 0600);
	harness_label(ELSEWHERE "/root.erofs", IMAGE_LABEL);
	harness_mkdir(DIR_H, 0755);
	harness_label(DIR_H, IMAGE_LABEL);
	harness_write(FILE_H, "image", 5, 0644);
	harness_label(FILE_H, IMAGE_LABEL);
	if (symlink(ELSEWHERE "/root.erofs", FILE_LINK) < 0 || symlink(ELSEWHERE, DIR_LINK) < 0)
		harness_die("links in the store");
}

/* Whichever of the two is the link at the moment. */
static void unfurnish(void)
{
	static const char *const files[] = { FILE_H, FILE_LINK, DIR_LINK "/root.erofs",
					     DIR_LINK "/link" };

	/* A directory link leads to files that are not ours to remove here. */
	if (unlink(DIR_LINK) < 0)
		(void)unlink(DIR_H);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)unlink(files[i]);
	(void)rmdir(DIR_H);
	(void)rmdir(DIR_LINK);
}

static void swap_files(void)
{
	(void)renameat2(AT_FDCWD, FILE_H, AT_FDCWD, FILE_LINK, RENAME_EXCHANGE);
}

static void swap_directories(void)
{
	(void)renameat2(AT_FDCWD, DIR_H, AT_FDCWD, DIR_LINK, RENAME_EXCHANGE);
}

/* Over the store, which is the jailer's working directory and the place of a new root. */
static void mount_over(void)
{
	(void)mount("none", WORLD_STORE, "tmpfs", 0, NULL);
	(void)mount("/", WORLD_STORE, NULL, MS_BIND, NULL);
	(void)umount2(WORLD_STORE, MNT_DETACH);
	(void)umount2(WORLD_STORE, MNT_DETACH);
}

static pid_t start_racer(void (*step)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		harness_die("fork");
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
			_exit(1);
		for (;;) {
			step();
			(void)sched_yield();
		}
	}
	return pid;
}

/* A root with nothing in it, and no other mount. */
static bool root_is_empty(pid_t pid)
{
	char path[64], text[4096];
	const struct dirent *e;
	unsigned entries = 0;
	ssize_t n;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	n = fd_read_file(AT_FDCWD, path, text, sizeof(text));
	if (n < 0 || strchr(text, '\n') != strrchr(text, '\n'))
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	d = opendir(path);
	while (d != NULL && (e = readdir(d)) != NULL)
		entries += e->d_name[0] != '.';
	if (d == NULL)
		return false;
	(void)closedir(d);
	return entries == 0;
}

/* 0 = the attacker has won; -EACCES: refused; -ENOENT: a jail that is as it should be. */
static int make_one(struct ground *g, char *image)
{
	Casemate__Jailer__V1__CreateRequest q;
	int r = -ENOENT;

	stand_request(&g->stand, &q);
	q.image = image;
	if (stand_ask(&g->stand, &q) != RPC_OK)
		return -EACCES;
	if (!root_is_empty(g->stand.probe) || stand_look(&g->stand, g->scene) == 0)
		r = 0;
	stand_stop(&g->stand);
	return r;
}

static int race(struct ground *g, void (*step)(void), const char *image)
{
	unsigned made = 0, refused = 0;
	char name[16];
	pid_t racer;
	int r = -ENOENT;

	(void)snprintf(name, sizeof(name), "%s", image);
	furnish();
	racer = start_racer(step);
	while (r != 0 && made < g->rounds && refused < g->rounds * REFUSALS) {
		r = make_one(g, name);
		made += r == -ENOENT;
		refused += r == -EACCES;
	}
	harness_end(racer, SIGKILL);
	while (umount2(WORLD_STORE, MNT_DETACH) == 0)
		;
	unfurnish();
	(void)fprintf(stderr, "attacks: raced for %u jails and %u refusals\n", made, refused);
	/* Only refusals: then nothing was raced for. */
	return r != 0 && made == 0 ? -EDEADLK : r;
}

static int race_file(struct ground *g)
{
	return race(g, swap_files, "h");
}

static int race_directory(struct ground *g)
{
	return race(g, swap_directories, "h");
}

static int race_mount(struct ground *g)
{
	return race(g, mount_over, "i");
}

/* Somebody who opens by name, as often as it takes. */
static int careless(void (*step)(void), int (*look)(void))
{
	pid_t racer;
	int r = -ENOENT;

	furnish();
	racer = start_racer(step);
	for (unsigned i = 0; r != 0 && i < LOOKS; i++)
		r = look();
	harness_end(racer, SIGKILL);
	while (umount2(WORLD_STORE, MNT_DETACH) == 0)
		;
	unfurnish();
	return r;
}

/* Closes what it opens: where the racer waits for the only CPU, this looks a thousand times. */
static int opens_image(void)
{
	int fd = open(FILE_H, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = attack_reads_canary(fd);
	fd_closep(&fd);
	return r;
}

/* The store that he finds by its name is another one. */
static int misses_store(void)
{
	return access(WORLD_STORE "/images/i/root.erofs", F_OK) < 0 ? 0 : -ENOENT;
}

static int careless_file(struct ground *g)
{
	(void)g;
	return careless(swap_files, opens_image);
}

static int careless_directory(struct ground *g)
{
	(void)g;
	return careless(swap_directories, opens_image);
}

static int careless_mount(struct ground *g)
{
	(void)g;
	return careless(mount_over, misses_store);
}

const struct siege sieges_race[] = {
	{ "H01", "an image and a link change places", race_file, careless_file },
	{ "H13", "an image's directory and a link change places", race_directory,
	  careless_directory },
	{ "H14", "mounts come and go where a new root is made", race_mount, careless_mount },
	{ NULL, NULL, NULL, NULL },
};
