/* SPDX-License-Identifier: Apache-2.0 */
/* siege_file.c - descriptors and binaries of the jailer's. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "probe/tiny.h"
#include "tests/attacks/harness.h"
#include "tests/attacks/siege.h"
#include "tests/attacks/world.h"

#define KEPT   WORLD_BIN "/kept"
#define EVIL   WORLD_BIN "/evil"
#define COPY   WORLD_BIN "/copy"
#define LEAK   90
#define LABEL  "system_u:object_r:casemate_vmm_exec_t:s0"
#define FILES  0644
#define BINARY 0755

/* ---- Descriptors that whoever starts the jailer forgets to close --------------------------- */

static int leaky_start(struct ground *g)
{
	int root = open("/", O_RDONLY | O_DIRECTORY);
	int secret = open(g->scene->secret, O_RDONLY);
	struct stand s;
	int r;

	if (dup2(root, LEAK) < 0 || dup2(secret, LEAK + 1) < 0)
		harness_die("descriptors");
	stand_open(&s, 0);
	(void)close(LEAK);
	(void)close(LEAK + 1);
	fd_closep(&root);
	fd_closep(&secret);
	r = stand_look(&s, g->scene);
	stand_close(&s);
	return r;
}

/* Outside, nobody has closed the directory. */
static int careless_start(struct ground *g)
{
	struct stand s;
	int r;

	stand_open_outside(&s);
	r = stand_look(&s, g->scene);
	stand_close(&s);
	return r;
}

/* ---- The binary, by a process that runs it ------------------------------------------------- */

/* As root, who may open any file. run: the process; stop: it has ended. */
static int overwrite(pid_t pid, void (*stop)(void *arg), void *arg)
{
	CLEANUP(fd_closep) int fd = -1;
	CLEANUP(fd_closep) int again = -1;
	char path[48];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	stop(arg);
	if (fd < 0)
		return -errno;
	/* While it ran, ETXTBSY was in the way; others may still run it. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_WRONLY | O_CLOEXEC);
	if (again < 0)
		return -errno;
	return pwrite(again, "#", 1, 0) == 1 ? 0 : -errno;
}

static void stop_stand(void *arg)
{
	stand_close(arg);
}

/* A jailer of its own, so that none of its processes is in the way. */
static int overwrite_vmm(struct ground *g)
{
	struct stand s;

	stand_open(&s, 0);
	(void)!stand_look(&s, g->scene); /* now it runs */
	return overwrite(s.probe, stop_stand, &s);
}

static void stop_process(void *arg)
{
	const pid_t *pid = arg;

	harness_end(*pid, SIGKILL);
}

static int overwrite_file(struct ground *g)
{
	int ready[2], r;
	char byte;
	pid_t pid;

	(void)g;
	harness_copy(WORLD_PROBE, COPY, BINARY);
	if (pipe2(ready, O_CLOEXEC) < 0)
		harness_die("pipe");
	pid = fork();
	if (pid == 0) { /* it waits for its control socket: descriptor 3 */
		static char name[] = "x";
		char *argv[] = { name, NULL }, *envp[] = { NULL };
		int sv[2];
		if (fd_socketpair(sv, false) < 0)
			_exit(126);
		/* The other end stays open with it, or it would end at once. */
		if (dup2(sv[0], 60) < 0 || dup2(sv[1], 3) < 0)
			_exit(126);
		(void)execve(COPY, argv, envp);
		_exit(127);
	}
	(void)close(ready[1]);
	(void)!read(ready[0], &byte, 1); /* the exec has closed it */
	(void)close(ready[0]);
	r = overwrite(pid, stop_process, &pid);
	(void)unlink(COPY);
	return r;
}

/* ---- The binary's file, under a jailer that runs ------------------------------------------- */

static void plant(void)
{
	harness_copy(WORLD_PROBE, KEPT, BINARY);
	harness_write(EVIL, tiny_exit, sizeof(tiny_exit), BINARY);
	harness_label(EVIL, LABEL);
	if (rename(EVIL, WORLD_PROBE) < 0)
		harness_die("%s", WORLD_PROBE);
}

static void unplant(void)
{
	harness_label(KEPT, LABEL);
	if (rename(KEPT, WORLD_PROBE) < 0)
		harness_die("%s", WORLD_PROBE);
}

/* Wins when what runs in a jail is not the probe: that would answer, and find nothing. */
static int replace_vmm(struct ground *g)
{
	int r;

	plant();
	stand_stop(&g->stand);
	r = stand_look(&g->stand, g->scene);
	stand_stop(&g->stand);
	unplant();
	return r == -ECHILD ? 0 : r;
}

/* Somebody who executes the path. */
static int careless_exec(struct ground *g)
{
	int status = 0;
	pid_t pid;

	(void)g;
	plant();
	pid = fork();
	if (pid == 0) {
		static char name[] = "x";
		char *argv[] = { name, NULL }, *envp[] = { NULL };
		(void)execve(WORLD_PROBE, argv, envp);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		harness_die("fork");
	unplant();
	return WIFEXITED(status) && WEXITSTATUS(status) == ATTACK_EXEC_OK ? 0 : -EACCES;
}

const struct siege sieges_file[] = {
	{ "H02", "descriptors that the jailer's parent left open", leaky_start, careless_start },
	{ "H03", "the VMM overwritten by /proc/PID/exe", overwrite_vmm, overwrite_file },
	{ "H05", "the VMM's file replaced under the jailer", replace_vmm, careless_exec },
	{ NULL, NULL, NULL, NULL },
};
