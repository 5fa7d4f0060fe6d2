/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attacks/world.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "probe/attack.h"
#include "tests/attacks/harness.h"
#include "tests/attacks/leftovers.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define CG_ROOT	   "/sys/fs/cgroup"

static char cgroup[96];
static int cgroup_lock = -1;

int world_run(int (*fn)(void *arg), void *arg)
{
	int status = 0;
	pid_t pid;

	if (unshare(NAMESPACES) < 0)
		harness_die("namespaces");
	pid = fork();
	if (pid < 0)
		harness_die("fork");
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
			harness_die("death signal");
		exit(fn(arg));
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static void set_read_only(const char *path, bool on)
{
	struct mount_attr attr = { 0 };

	attr.attr_set = on ? MOUNT_ATTR_RDONLY : 0;
	attr.attr_clr = on ? 0 : MOUNT_ATTR_RDONLY;
	if (syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		harness_die("mounts below %s", path);
}

static void mount_memory(const char *path, const char *label)
{
	char data[128];

	(void)snprintf(data, sizeof(data), "mode=0755,size=256m%s%s",
		       access("/sys/fs/selinux/enforce", F_OK) == 0 ? ",rootcontext=" : "",
		       access("/sys/fs/selinux/enforce", F_OK) == 0 ? label : "");
	if (mount("tmpfs", path, "tmpfs", 0, data) < 0)
		harness_die("memory file system on %s", path);
}

static void mount_all(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		harness_die("mounts");
	set_read_only("/", true);
	set_read_only("/sys", false);
	if (mount("proc", "/proc", "proc", 0, NULL) < 0)
		harness_die("/proc");
	mount_memory(WORLD_LIB, "system_u:object_r:var_lib_t:s0");
	mount_memory("/run", "system_u:object_r:var_run_t:s0");
	mount_memory("/tmp", "system_u:object_r:tmp_t:s0");
	mount_memory("/dev/shm", "system_u:object_r:tmpfs_t:s0");
}

/* /etc/shadow of this world; the real one is not read. */
static void cover_shadow(void)
{
	harness_write(WORLD_LIB "/shadow", CANARY, strlen(CANARY), 0600);
	harness_label(WORLD_LIB "/shadow", "system_u:object_r:shadow_t:s0");
	if (mount(WORLD_LIB "/shadow", "/etc/shadow", NULL, MS_BIND, NULL) < 0)
		harness_die("/etc/shadow");
}

static void put_store_file(const char *path, const char *text)
{
	harness_write(path, text, strlen(text), 0644);
	harness_label(path, "system_u:object_r:casemate_image_t:s0");
}

static void make_store(void)
{
	static const char *const dirs[] = { WORLD_STORE, WORLD_STORE "/kernels",
					    WORLD_STORE "/kernels/k", WORLD_STORE "/images",
					    WORLD_STORE "/images/i" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		harness_mkdir(dirs[i], 0755);
		harness_label(dirs[i], "system_u:object_r:casemate_image_t:s0");
	}
	put_store_file(WORLD_STORE "/kernels/k/kernel", "kernel");
	put_store_file(WORLD_STORE "/kernels/k/initrd", "initrd");
	put_store_file(WORLD_STORE "/images/i/root.erofs", "image");
}

void world_furnish(const char *jailer, const char *probe)
{
	char path[64];
	/* Paths outside may lie below what is about to be covered. */
	int j = open(jailer, O_RDONLY), p = open(probe, O_RDONLY);

	if (j < 0 || p < 0)
		harness_die("%s", j < 0 ? jailer : probe);
	mount_all();
	cover_shadow();
	harness_mkdir(WORLD_BIN, 0755);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", j);
	harness_copy(path, WORLD_JAILER, 0755);
	harness_label(WORLD_JAILER, "system_u:object_r:casemate_jailer_exec_t:s0");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p);
	harness_copy(path, WORLD_PROBE, 0755);
	harness_label(WORLD_PROBE, "system_u:object_r:casemate_vmm_exec_t:s0");
	fd_closep(&j);
	fd_closep(&p);
	harness_mkdir("/run/casemate", 0755);
	harness_label("/run/casemate", "system_u:object_r:casemate_run_t:s0");
	make_store();
}

void world_make_cgroup(char *path, size_t cap)
{
	const char *root = access(CG_ROOT "/cgroup.procs", F_OK) == 0 ? CG_ROOT : CG_ROOT "/pids";

	leftovers_remove(CG_ROOT);
	/* Not the pid of this world, which is 1. */
	(void)snprintf(cgroup, sizeof(cgroup), "%s/" LEFTOVERS_PREFIX "%llx", root,
		       (unsigned long long)now_ns());
	if (mkdir(cgroup, 0755) < 0)
		harness_die("%s", cgroup);
	/* Until we end: it isn't a leftover. */
	cgroup_lock = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup_lock < 0 || flock(cgroup_lock, LOCK_EX | LOCK_NB) < 0)
		harness_die("%s", cgroup);
	(void)snprintf(path, cap, "%s/cgroup.procs", cgroup);
}

void world_remove_cgroup(void)
{
	for (int i = 0; i < 100 && rmdir(cgroup) < 0 && errno == EBUSY; i++)
		(void)usleep(10000);
}
