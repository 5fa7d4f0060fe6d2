/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail as it is, layer by layer, seen from inside by jail_probe and from outside by the test;
 * and that nothing is left of it however it ends.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "jailer/cell.h"
#include "jailer/cgroup.h"
#include "jailer/slot.h"
#include "tests/native/jail_rig.h"
#include "tests/native/proc.h"
#include "vmm/vmm_fds.h"

#define SECUREBITS_WANTED                                                                        \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                         \
	 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | \
	 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static struct rig g;

static void setup(void)
{
	rig_require();
	rig_open(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail, .init = setup, .fini = teardown, .timeout = 60);

Test(jail, inside_there_is_nothing)
{
	const long long table = 1LL << 0 | 1LL << 1 | 1LL << 2 | 1LL << VMM_FD_CONTROL |
				1LL << VMM_FD_KVM | 1LL << VMM_FD_KERNEL | 1LL << VMM_FD_INITRD |
				1LL << VMM_FD_DRIVE0 | 1LL << VMM_FD_HANDOVER |
				1LL << (VMM_FD_DRIVE0 + 1) | 1LL << VMM_FD_CPUID;
	const struct {
		const char *key;
		long long want;
	} facts[] = {
		{ "ids.same", 1 },
		{ "groups", 0 },
		{ "pid", 1 },
		{ "sid.own", 1 },
		{ "argc", 1 },
		{ "environ", 0 },
		{ "setuid0", EINVAL }, /* there is no such id in its user namespace */
		{ "cap.bounding", 0 },
		{ "cap.ambient", 0 },
		{ "cap.sets", 0 },
		{ "securebits", SECUREBITS_WANTED },
		{ "nnp", 1 },
		{ "fds.table", table },
		{ "fds.beyond", 0 },
		{ "fd.kernel.mode", O_RDONLY },
		{ "fd.image.mode", O_RDONLY },
		{ "fd.scratch.mode", O_RDWR },
		{ "fd.cpuid.mode", O_RDONLY },
		{ "fd.cpuid.rest", 0 },
		{ "fd.scratch.write", 0 },
		{ "fd.scratch.beyond", EFBIG },
		{ "open.root", EACCES },
		{ "open.shadow", EACCES },
		{ "open.dotdot", EACCES },
		{ "open.proc", EACCES },
		{ "create", EACCES },
		{ "mount", EPERM },
		{ "net.interfaces", 1 }, /* lo, which is down */
		{ "net.lo.up", 0 },
		{ "net.raw", EPERM },
		{ "mlock", EPERM },
		{ "rlimit.core", 0 },
		{ "rlimit.nofile", 256 },
		{ "rlimit.nproc", CGROUP_PIDS_MAX },
		{ "rlimit.memlock", 0 },
		{ "rlimit.fsize", MAX(RIG_SCRATCH, RIG_MEMORY + RIG_MEMORY / 4096 / 8) },
		{ "rlimit.as", RIG_MEMORY + CELL_ADDRESS_ALLOWANCE },
		{ "unshare.user", EPERM },
		{ "unshare.mount", EPERM },
		{ "hostname.ours", 1 },
	};
	struct rig_report r;
	struct rig_jail j;

	rig_create_ok(&g, "one", &j);
	rig_report(&j, &r);
	for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
		long long got = rig_value(&r, facts[i].key);
		cr_expect_eq(got, facts[i].want, "%s is %lld instead of %lld", facts[i].key, got,
			     facts[i].want);
	}
	/* The kernel forgets the death signal when the SELinux domain changes: there the VMM sets
	 * it. */
	if (!rig_has_selinux())
		cr_expect_eq(rig_value(&r, "pdeathsig"), SIGKILL);
	cr_expect_eq(rig_value(&r, "uid"), (long long)j.uid);
	cr_expect_geq(j.uid, SLOT_UID_BASE);
	/* Where the kernel has the second fence against code in data. */
	if (access("/proc/sys/vm/memfd_noexec", F_OK) == 0) {
		cr_expect_eq(rig_value(&r, "memfd.exec"), 0);
		cr_expect_eq(rig_value(&r, "mmap.rwx"), 1);
	}
}

Test(jail, the_log_pipe_and_the_control_socket_work)
{
	struct pollfd p = { .events = POLLIN };
	struct rig_jail j;
	char text[64] = "";

	rig_create_ok(&g, "one", &j);
	p.fd = j.log;
	cr_assert_eq(poll(&p, 1, 10000), 1);
	cr_assert_gt(read(j.log, text, sizeof(text) - 1), 0);
	cr_expect_str_eq(text, "probe: log\n");
}

/* From outside, as root: what the VMM would see if it could. */
Test(jail, the_root_is_empty)
{
	const unsigned long want = ST_RDONLY | ST_NOEXEC | ST_NOSUID | ST_NODEV;
	struct rig_report r;
	struct rig_jail j;
	struct statvfs vfs;
	struct dirent *e;
	char path[64], mounts[4096];
	int entries = 0;
	DIR *d;

	rig_create_ok(&g, "one", &j);
	rig_report(&j, &r);
	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)j.pid);
	d = opendir(path);
	cr_assert_not_null(d);
	while ((e = readdir(d)) != NULL)
		entries += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	cr_expect_eq(entries, 0);
	cr_assert_eq(statvfs(path, &vfs), 0);
	cr_expect_eq(vfs.f_flag & want, want);
	/* Its root is not the root of its namespace, so no mount is even visible. */
	(void)snprintf(path, sizeof(path), "/proc/%d/mounts", (int)j.pid);
	cr_assert_geq(fd_read_file(AT_FDCWD, path, mounts, sizeof(mounts)), 0);
	cr_expect_str_empty(mounts);
}

static ino_t ns_of(pid_t pid, const char *kind)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	cr_assert_eq(stat(path, &st), 0, "%s: %s", path, strerror(errno));
	return st.st_ino;
}

Test(jail, two_jails_share_nothing)
{
	static const char *const kinds[] = { "mnt", "pid",    "net",  "ipc",
					     "uts", "cgroup", "user", "time" };
	struct rig_jail a, b;

	rig_create_ok(&g, "a", &a);
	rig_create_ok(&g, "b", &b);
	cr_expect_neq(a.uid, b.uid);
	cr_expect_str_neq(a.cgroup, b.cgroup);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		ino_t host = ns_of(getpid(), kinds[i]), na = ns_of(a.pid, kinds[i]);
		cr_expect_neq(na, host, "%s namespace of the host", kinds[i]);
		cr_expect_neq(na, ns_of(b.pid, kinds[i]), "%s namespace shared", kinds[i]);
	}
}

static bool has_pid(const struct rig_jail *j, pid_t pid)
{
	char text[256], want[16];

	(void)snprintf(want, sizeof(want), "%d\n", (int)pid);
	return rig_group_file(j, "cgroup.procs", text, sizeof(text)) && strcmp(text, want) == 0;
}

static void expect_number(const struct rig_jail *j, const char *v2, const char *v1,
			  unsigned long long want)
{
	char text[64] = "";

	cr_assert(rig_group_file(j, v2, text, sizeof(text)) ||
			  rig_group_file(j, v1, text, sizeof(text)),
		  "neither %s nor %s", v2, v1);
	cr_expect_eq(number_at(text, 10), want, "%s is %s", v2, text);
}

Test(jail, the_cgroup_limits)
{
	struct rig_jail j;

	rig_create_ok(&g, "one", &j);
	cr_expect(has_pid(&j, j.pid));
	expect_number(&j, "memory.max", "memory.limit_in_bytes",
		      RIG_MEMORY + CGROUP_MEMORY_ALLOWANCE);
	expect_number(&j, "pids.max", "pids.max", CGROUP_PIDS_MAX);
	expect_number(&j, "cpu.max", "cpu.cfs_quota_us", 150000);
}

/* When the host itself runs out of memory, a tenant goes before the host's own processes. */
Test(jail, the_oom_killer_takes_a_jail_first)
{
	char path[64], text[16] = "";
	struct rig_jail j;

	rig_create_ok(&g, "one", &j);
	(void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)j.pid);
	cr_assert_geq(fd_read_file(AT_FDCWD, path, text, sizeof(text)), 0);
	cr_expect_eq(number_at(text, 10), 500);
}

Test(jail, too_much_memory_is_an_oom_kill)
{
	struct rig_jail j;
	bool exited, oom;
	int status;

	rig_create_ok(&g, "one", &j);
	cr_assert_eq(write(j.control, "m", 1), 1);
	cr_assert_eq(rig_wait(&g, "one", &exited, &status, &oom), RPC_OK);
	cr_expect_not(exited);
	cr_expect_eq(status, SIGKILL);
	cr_expect(oom);
	cr_expect_eq(rig_groups(&g), 0);
}

Test(jail, its_own_exit_is_told)
{
	struct rig_jail j;
	bool exited, oom;
	int status;

	rig_create_ok(&g, "one", &j);
	cr_assert_eq(write(j.control, "x", 1), 1);
	cr_assert_eq(rig_wait(&g, "one", &exited, &status, &oom), RPC_OK);
	cr_expect(exited);
	cr_expect_eq(status, 7);
	cr_expect_not(oom);
	cr_expect_eq(rig_groups(&g), 0);
	/* The answer has been given: the id is free again. */
	cr_expect_eq(rig_wait(&g, "one", &exited, &status, &oom), RPC_NOT_FOUND);
	rig_create_ok(&g, "one", &j);
}

Test(jail, kill_9_is_cleaned_up)
{
	struct rig_jail j;
	bool exited, oom;
	int status;

	rig_create_ok(&g, "one", &j);
	cr_assert_eq(kill(j.pid, SIGKILL), 0);
	cr_assert_eq(rig_wait(&g, "one", &exited, &status, &oom), RPC_OK);
	cr_expect_not(exited);
	cr_expect_eq(status, SIGKILL);
	cr_expect_eq(rig_groups(&g), 0);
	cr_expect(rig_pid_gone(j.pid));
}

Test(jail, destroy_leaves_nothing)
{
	struct rig_jail j;

	rig_create_ok(&g, "one", &j);
	cr_assert_eq(rig_destroy(&g, "one"), RPC_OK);
	cr_expect(rig_pid_gone(j.pid));
	cr_expect_eq(rig_groups(&g), 0);
	cr_expect_eq(rig_destroy(&g, "one"), RPC_OK);
	cr_expect_eq(rig_destroy(&g, "../one"), RPC_INVALID_ARGUMENT);
}

Test(jail, a_client_that_leaves_takes_its_jails_along)
{
	struct rig_jail j;

	rig_create_ok(&g, "one", &j);
	rpc_conn_free(g.conn);
	g.conn = NULL;
	cr_expect(rig_pid_gone(j.pid));
	for (int i = 0; i < 400 && rig_groups(&g) != 0; i++)
		usleep(5000);
	cr_expect_eq(rig_groups(&g), 0);
}

Test(jail, a_killed_jailer_takes_its_jails_along_and_the_next_one_sweeps)
{
	struct rig_jail j, k;
	struct rig_report r;

	rig_create_ok(&g, "one", &j);
	rig_kill_jailer(&g);
	if (!rig_has_selinux())
		cr_expect(rig_pid_gone(j.pid));
	/* Gone with its parent only when a test beside this one has taken the identities over. */
	for (int i = 0; i < 400 && rig_groups(&g) == 0; i++)
		usleep(5000);
	cr_expect_neq(rig_groups(&g), 0, "nothing to sweep: the test is pointless");
	rig_start_jailer(&g);
	rig_connect(&g);
	cr_expect(rig_pid_gone(j.pid));
	cr_expect_eq(rig_groups(&g), 0);
	rig_create_ok(&g, "one", &k);
	rig_report(&k, &r);
}

/* A leftover that lives: as after a kernel that forgot the death signal. */
Test(jail, the_sweep_kills)
{
	struct cgroup_config cfg = { .parent = g.cgroup };
	struct cgroup_host h;
	struct cgroup c;
	struct err err;
	unsigned swept = 0;
	int status;
	size_t len = strlen(g.cgroup);
	struct rig_jail old;
	int ready[2];
	char byte;
	pid_t pid;

	(void)snprintf(g.cgroup + len, sizeof(g.cgroup) - len, "-sweep");
	cr_assert_eq(cgroup_host_open(&h, &cfg, &err), 0, "%s", err.msg);
	cr_assert_eq(cgroup_create(&h, 77, &c, &err), 0, "%s", err.msg);
	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (cgroup_join_v1(c.dir) < 0)
			_exit(1);
		if (c.dir[CGROUP_V2] >= 0) {
			int fd = openat(c.dir[CGROUP_V2], "cgroup.procs", O_WRONLY);
			if (fd < 0 || write(fd, "0", 1) != 1)
				_exit(1);
		}
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	(void)snprintf(old.cgroup, sizeof(old.cgroup), "%s/slot-77", g.cgroup);
	cr_assert(has_pid(&old, pid));
	/* Reaped by another process: a zombie that is our child would stay in the group. */
	if (fork() == 0) {
		_exit(cgroup_sweep(&h, &swept, &err) == 0 ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	cr_assert_gt(wait(&status), 0);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	cr_expect_eq(rig_groups(&g), 0);
	cgroup_host_close(&h);
	cr_expect_eq(rig_groups(&g), -1);
	g.cgroup[len] = '\0';
}

/* --cgroup system.slice would be a way to kill all services of the host. */
Test(jail, the_sweep_leaves_strangers_alone)
{
	struct cgroup_config cfg = { .parent = g.cgroup };
	size_t len = strlen(g.cgroup);
	struct cgroup_host h;
	struct err err;
	unsigned swept = 0;

	(void)snprintf(g.cgroup + len, sizeof(g.cgroup) - len, "-sweep");
	cr_assert_eq(cgroup_host_open(&h, &cfg, &err), 0, "%s", err.msg);
	for (int t = 0; t < CGROUP_TREE_COUNT; t++) {
		if (h.dir[t] < 0)
			continue;
		cr_assert_eq(mkdirat(h.dir[t], "slot-5", 0755), 0);
		cr_assert_eq(mkdirat(h.dir[t], "ssh.service", 0755), 0);
	}
	cr_expect_eq(cgroup_sweep(&h, &swept, &err), -EEXIST);
	cr_expect_not_null(strstr(err.msg, "ssh.service"), "%s", err.msg);
	for (int t = 0; t < CGROUP_TREE_COUNT; t++) {
		if (h.dir[t] < 0)
			continue;
		cr_expect_eq(unlinkat(h.dir[t], "slot-5", AT_REMOVEDIR), 0);
		cr_expect_eq(unlinkat(h.dir[t], "ssh.service", AT_REMOVEDIR), 0);
	}
	cgroup_host_close(&h);
	cr_expect_eq(rig_groups(&g), -1);
	g.cgroup[len] = '\0';
}

Test(jail, a_group_that_can_not_be_opened_is_not_left_behind)
{
	struct cgroup_config cfg = { .parent = g.cgroup };
	size_t len = strlen(g.cgroup);
	struct rlimit old, few;
	struct cgroup_host h;
	struct cgroup c;
	struct err err;
	int r, next;

	(void)snprintf(g.cgroup + len, sizeof(g.cgroup) - len, "-sweep");
	cr_assert_eq(cgroup_host_open(&h, &cfg, &err), 0, "%s", err.msg);
	next = fd_dup(STDERR_FILENO, 0);
	cr_assert_geq(next, 0);
	close(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ (rlim_t)next, old.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = cgroup_create(&h, 1, &c, &err);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	cr_expect_eq(r, -EMFILE);
	cr_expect_eq(rig_groups(&g), 0);
	cgroup_host_close(&h);
	cr_expect_eq(rig_groups(&g), -1);
	g.cgroup[len] = '\0';
}

Test(jail, bad_requests_get_a_reason_and_leave_nothing)
{
	static const struct {
		const char *id, *kernel, *image;
		uint64_t memory;
		enum rpc_code code;
		const char *says;
	} bad[] = {
		{ "", "k", "i", RIG_MEMORY, RPC_INVALID_ARGUMENT, "id" },
		{ "../x", "k", "i", RIG_MEMORY, RPC_INVALID_ARGUMENT, "id" },
		{ "one", "../k", "i", RIG_MEMORY, RPC_INVALID_ARGUMENT, "kernel" },
		{ "one", "none", "i", RIG_MEMORY, RPC_NOT_FOUND, "kernel none doesn't exist" },
		{ "one", "link", "i", RIG_MEMORY, RPC_UNKNOWN, "symbolic link" },
		{ "one", "k", "none", RIG_MEMORY, RPC_NOT_FOUND, "image none doesn't exist" },
		{ "one", "k", "empty", RIG_MEMORY, RPC_UNKNOWN, "image empty is empty (0 bytes)" },
		{ "one", "k", "fifo", RIG_MEMORY, RPC_UNKNOWN, "neither a file" },
		{ "one", "k", "i", 0, RPC_UNKNOWN, "0 bytes of memory" },
		{ "one", "k", "i", RIG_MEMORY + 4096, RPC_INVALID_ARGUMENT, "2 MiB" },
		{ "one", "k", "i", UINT64_C(1) << 60, RPC_UNKNOWN, "this host has" },
	};
	struct rig_jail j;
	struct rpc_status st;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		enum rpc_code code = rig_create(&g, bad[i].id, bad[i].kernel, bad[i].image,
						bad[i].memory, &j, &st);
		cr_expect_neq(code, RPC_OK);
		/* RPC_UNKNOWN: the code is not part of the promise, the text is. */
		if (bad[i].code != RPC_UNKNOWN)
			cr_expect_eq(code, bad[i].code, "%s", st.msg);
		cr_expect_not_null(strstr(st.msg, bad[i].says), "'%s' lacks '%s'", st.msg,
				   bad[i].says);
	}
	cr_expect_eq(rig_groups(&g), 0);
	rig_create_ok(&g, "one", &j);
	cr_expect_eq(rig_create(&g, "one", "k", "i", RIG_MEMORY, &j, &st), RPC_ALREADY_EXISTS);
}

Test(jail, the_maximum_holds)
{
	struct rig_jail j;
	struct rpc_status st;
	char id[8];

	for (int i = 0; i < 4; i++) {
		(void)snprintf(id, sizeof(id), "j%d", i);
		rig_create_ok(&g, id, &j);
	}
	cr_expect_eq(rig_create(&g, "more", "k", "i", RIG_MEMORY, &j, &st), RPC_RESOURCE_EXHAUSTED,
		     "%s", st.msg);
	cr_assert_eq(rig_destroy(&g, "j0"), RPC_OK);
	rig_create_ok(&g, "more", &j);
}

/* The defaults that a careless parent can spoil. */
static void inherit_a_mess(void)
{
	(void)signal(SIGCHLD, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)personality(ADDR_NO_RANDOMIZE);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
}

Test(jail, what_the_jailer_inherits_does_not_matter)
{
	char path[64], text[64] = "";
	struct rig_jail j;
	bool exited, oom;
	int status;

	rig_kill_jailer(&g);
	g.before_exec = inherit_a_mess;
	rig_start_jailer(&g);
	rig_connect(&g);
	rig_create_ok(&g, "one", &j);
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)g.jailer, fd);
		memset(text, 0, sizeof(text));
		cr_expect_gt(readlink(path, text, sizeof(text) - 1), 0);
		cr_expect_str_eq(text, "/dev/null");
	}
	/* The probe itself ignores one. */
	cr_expect_eq(status_number(j.pid, "SigIgn", 16) & ~(1ULL << (SIGXFSZ - 1)), 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/personality", (int)j.pid);
	cr_assert_geq(fd_read_file(AT_FDCWD, path, text, sizeof(text)), 0);
	cr_expect_eq(number_at(text, 16), 0);
	cr_assert_eq(kill(j.pid, SIGKILL), 0);
	cr_assert_eq(rig_wait(&g, "one", &exited, &status, &oom), RPC_OK);
	cr_expect_not(exited);
	cr_expect_eq(status, SIGKILL);
}

/* Its owner could put a link to any file where the socket was, before the jailer gives it away. */
Test(jail, a_socket_directory_of_somebody_else_is_refused)
{
	char run[96];
	int status;

	rig_kill_jailer(&g);
	(void)snprintf(run, sizeof(run), "%s/run", g.dir);
	cr_assert_eq(chown(run, 65534, 65534), 0);
	rig_start_jailer(&g);
	for (int i = 0; i < 400 && waitpid(g.jailer, &status, WNOHANG) == 0; i++)
		usleep(5000);
	cr_assert_eq(waitpid(g.jailer, &status, WNOHANG), -1, "it runs");
	g.jailer = 0;
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

/* A second jailer with the same cgroup would sweep the first one's jails. */
Test(jail, a_second_jailer_is_refused)
{
	struct cgroup_config cfg = { .parent = g.cgroup };
	struct cgroup_host h;
	struct rig_report r;
	struct rig_jail j;
	struct err err;

	rig_create_ok(&g, "one", &j);
	cr_expect_eq(cgroup_host_open(&h, &cfg, &err), -EBUSY);
	rig_report(&j, &r);
}
