/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/jail_rig.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/kvm.h>
#include <mntent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "jailer/spawner.h"
#include "tests/native/proc.h"

#define CALL_MS 20000

void rig_require(void)
{
	int fd;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		cr_skip_test("needs /dev/kvm");
	close(fd);
	if (access("/sys/fs/cgroup", W_OK) < 0)
		cr_skip_test("needs a writable cgroup file system");
}

static void put_file(const struct rig *g, const char *name, const void *data, size_t len,
		     mode_t mode)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", g->dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_EXCL | O_CLOEXEC, mode);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(fd_write_full(fd, data, len), 0);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

static void put_dir(const struct rig *g, const char *name)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", g->dir, name);
	cr_assert_eq(mkdir(path, 0755), 0);
}

/* The binaries of this build, or those that the environment names (for an installed tree). */
static const char *binary(const char *variable, const char *built)
{
	const char *s = getenv(variable);

	return s != NULL && s[0] != '\0' ? s : built;
}

static void put_probe(const struct rig *g)
{
	static char data[8U << 20];
	const char *path = g->vmm == NULL ? binary("JAIL_TEST_PROBE", PROBE_BIN) : g->vmm;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, data, sizeof(data));

	cr_assert(n > 0 && n < (ssize_t)sizeof(data));
	close(fd);
	put_file(g, "probe", data, (size_t)n, 0755);
}

static void make_store(struct rig *g)
{
	static const char *const dirs[] = { "store",
					    "store/kernels",
					    "store/kernels/k",
					    "store/kernels/bare",
					    "store/kernels/link",
					    "store/images",
					    "store/images/i",
					    "store/images/empty",
					    "store/images/fifo" };
	char path[160];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		put_dir(g, dirs[i]);
	put_file(g, "store/kernels/k/kernel", "kernel", 6, 0644);
	put_file(g, "store/kernels/k/initrd", "initrd", 6, 0644);
	put_file(g, "store/kernels/bare/kernel", "kernel", 6, 0644);
	put_file(g, "store/images/i/root.erofs", "image", 5, 0644);
	put_file(g, "store/images/empty/root.erofs", "", 0, 0644);
	(void)snprintf(path, sizeof(path), "%s/store/kernels/link/kernel", g->dir);
	cr_assert_eq(symlink("/etc/shadow", path), 0);
	(void)snprintf(path, sizeof(path), "%s/store/images/fifo/root.erofs", g->dir);
	cr_assert_eq(mkfifo(path, 0600), 0);
}

void rig_start_jailer(struct rig *g)
{
	char socket[96], store[96], vmm[96], pool[12], max[12];
	int log = memfd_create("jailer.log", MFD_CLOEXEC);

	cr_assert_geq(log, 0);
	(void)snprintf(socket, sizeof(socket), "%s/run/jailer.sock", g->dir);
	(void)snprintf(store, sizeof(store), "%s/store", g->dir);
	(void)snprintf(vmm, sizeof(vmm), "%s/probe", g->dir);
	(void)snprintf(pool, sizeof(pool), "%u", g->pool);
	(void)snprintf(max, sizeof(max), "%u", g->max == 0 ? 4 : g->max);
	g->jailer = fork();
	cr_assert_geq(g->jailer, 0);
	if (g->jailer == 0) {
		/* The product's own filter would end a probe that tries everything. */
		const char *jailer =
			g->vmm == NULL ? JAILER_TEST_BIN : binary("JAIL_TEST_JAILER", JAILER_BIN);
		(void)dup2(log, STDERR_FILENO);
		if (g->before_exec != NULL)
			g->before_exec();
		execl(jailer, jailer, "--socket", socket, "--store", store, "--vmm", vmm,
		      "--daemon-user", "nobody", "--allow-no-selinux", "--cgroup", g->cgroup,
		      "--max", max, "--pool", pool, g->test_option, g->test_value, (char *)NULL);
		_exit(127);
	}
	fd_closep(&g->errors);
	g->errors = log;
}

/* The last that the jailer has said. */
static const char *rig_log(const struct rig *g)
{
	static char text[2048];
	struct stat st = { 0 };
	off_t at;
	ssize_t n;

	(void)fstat(g->errors, &st);
	at = st.st_size > (off_t)sizeof(text) - 1 ? st.st_size - (off_t)sizeof(text) + 1 : 0;
	n = pread(g->errors, text, sizeof(text) - 1, at);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

void rig_connect(struct rig *g)
{
	static const struct rpc_conn_config cfg;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = -1;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/run/jailer.sock", g->dir);
	for (int i = 0; r < 0 && i < 1000; i++) {
		r = connect(fd, (const struct sockaddr *)&a, sizeof(a));
		if (r < 0)
			usleep(5000);
	}
	cr_assert_eq(r, 0, "the jailer doesn't answer: %s", rig_log(g));
	cr_assert_eq(rpc_conn_new(g->loop, fd, &cfg, &g->conn), 0);
}

void rig_prepare(struct rig *g)
{
	g->errors = -1;
	(void)snprintf(g->dir, sizeof(g->dir), "/tmp/casemate-jail.XXXXXX");
	cr_assert_not_null(mkdtemp(g->dir));
	cr_assert_eq(chmod(g->dir, 0755), 0);
	(void)snprintf(g->cgroup, sizeof(g->cgroup), "casemate-test-%d", (int)getpid());
	make_store(g);
	put_probe(g);
	cr_assert_eq(loop_new(&g->loop), 0);
}

void rig_open(struct rig *g)
{
	*g = (struct rig){ 0 };
	rig_prepare(g);
	rig_start_jailer(g);
	rig_connect(g);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void rig_kill_jailer(struct rig *g)
{
	int status;

	cr_assert_eq(kill(g->jailer, SIGKILL), 0);
	cr_assert_eq(waitpid(g->jailer, &status, 0), g->jailer);
	g->jailer = 0;
	rpc_conn_free(g->conn);
	g->conn = NULL;
}

void rig_stop_jailer(struct rig *g)
{
	int status = 0;

	rpc_conn_free(g->conn);
	g->conn = NULL;
	if (g->jailer <= 0)
		return;
	cr_assert_eq(kill(g->jailer, SIGTERM), 0);
	cr_assert_eq(waitpid(g->jailer, &status, 0), g->jailer);
	g->jailer = 0;
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "jailer: status %#x", status);
	cr_expect_eq(rig_groups(g), -1, "the jailer left its cgroup behind");
}

void rig_close(struct rig *g)
{
	rig_stop_jailer(g);
	loop_free(g->loop);
	fd_closep(&g->errors);
	cr_expect_eq(nftw(g->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

enum rpc_code rig_create(struct rig *g, const char *id, const char *kernel, const char *image,
			 uint64_t memory, struct rig_jail *ret, struct rpc_status *st)
{
	Casemate__Jailer__V1__CreateRequest q = CASEMATE__JAILER__V1__CREATE_REQUEST__INIT;
	Casemate__Jailer__V1__CreateResponse *a;
	ProtobufCMessage *out = NULL;
	int fds[2] = { -1, -1 };

	q.id = (char *)(uintptr_t)id;
	q.kernel = (char *)(uintptr_t)kernel;
	q.image = (char *)(uintptr_t)image;
	q.vcpus = 1;
	q.memory_bytes = memory;
	q.scratch_bytes = RIG_SCRATCH;
	q.nic_queues = g->nic_queues;
	cr_assert_eq(rpc_call_wait(g->loop, g->conn, &jailer_methods[JAILER_CREATE], &q.base, NULL,
				   CALL_MS, st, &out, fds),
		     0);
	if (st->code != RPC_OK)
		return st->code;
	a = (Casemate__Jailer__V1__CreateResponse *)(void *)out;
	*ret = (struct rig_jail){
		.control = fds[0], .log = fds[1], .pid = a->jail->pid, .uid = a->jail->uid
	};
	(void)snprintf(ret->cgroup, sizeof(ret->cgroup), "%s", a->jail->cgroup);
	protobuf_c_message_free_unpacked(out, NULL);
	return RPC_OK;
}

void rig_create_ok(struct rig *g, const char *id, struct rig_jail *ret)
{
	struct rpc_status st;

	cr_assert_eq(rig_create(g, id, "k", "i", RIG_MEMORY, ret, &st), RPC_OK, "%s", st.msg);
}

enum rpc_code rig_destroy(struct rig *g, const char *id)
{
	Casemate__Jailer__V1__DestroyRequest q = CASEMATE__JAILER__V1__DESTROY_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;

	q.id = (char *)(uintptr_t)id;
	cr_assert_eq(rpc_call_wait(g->loop, g->conn, &jailer_methods[JAILER_DESTROY], &q.base, NULL,
				   CALL_MS, &st, &out, NULL),
		     0);
	if (out != NULL)
		protobuf_c_message_free_unpacked(out, NULL);
	return st.code;
}

enum rpc_code rig_wait(struct rig *g, const char *id, bool *exited, int *status, bool *oom)
{
	Casemate__Jailer__V1__WaitRequest q = CASEMATE__JAILER__V1__WAIT_REQUEST__INIT;
	Casemate__Jailer__V1__WaitResponse *a;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;

	q.id = (char *)(uintptr_t)id;
	cr_assert_eq(rpc_call_wait(g->loop, g->conn, &jailer_methods[JAILER_WAIT], &q.base, NULL,
				   CALL_MS, &st, &out, NULL),
		     0);
	if (st.code != RPC_OK)
		return st.code;
	a = (Casemate__Jailer__V1__WaitResponse *)(void *)out;
	*exited = a->exited;
	*status = a->status;
	*oom = a->oom;
	protobuf_c_message_free_unpacked(out, NULL);
	return RPC_OK;
}

void rig_report(const struct rig_jail *j, struct rig_report *ret)
{
	size_t n = 0;

	*ret = (struct rig_report){ 0 };
	cr_assert_eq(write(j->control, "r", 1), 1);
	while (strstr(ret->text, "end 0\n") == NULL) {
		struct pollfd p = { .fd = j->control, .events = POLLIN };
		ssize_t got;
		cr_assert_eq(poll(&p, 1, CALL_MS), 1, "the probe is silent after: %s", ret->text);
		got = read(j->control, ret->text + n, sizeof(ret->text) - 1 - n);
		cr_assert_gt(got, 0, "the probe ended after: %s", ret->text);
		n += (size_t)got;
	}
}

long long rig_value(const struct rig_report *r, const char *key)
{
	size_t n = strlen(key);

	for (const char *at = r->text; at != NULL && *at != '\0';) {
		if (strncmp(at, key, n) == 0 && at[n] == ' ')
			return at[n + 1] == '-' ? -(long long)number_at(at + n + 2, 10)
						: (long long)number_at(at + n, 10);
		at = strchr(at, '\n');
		at = at == NULL ? NULL : at + 1;
	}
	cr_assert_fail("the probe's report has no %s", key);
	return -1;
}

/* Calls fn with the mount point of each cgroup hierarchy. */
static void each_tree(void (*fn)(const char *mount, void *arg), void *arg)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent *m;

	cr_assert_not_null(f);
	while ((m = getmntent(f)) != NULL) {
		if (strcmp(m->mnt_type, "cgroup") == 0 || strcmp(m->mnt_type, "cgroup2") == 0)
			fn(m->mnt_dir, arg);
	}
	endmntent(f);
}

int rig_kept(const struct rig *g, const char *directory)
{
	char path[256];
	struct dirent *e;
	int n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/store/%s", g->dir, directory);
	d = opendir(path);
	cr_assert_not_null(d, "%s", path);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

struct group_count {
	const struct rig *rig;
	int found; /* parents */
	int groups;
};

static void count_groups(const char *mount, void *arg)
{
	struct group_count *c = arg;
	char path[256];
	struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/%s", mount, c->rig->cgroup);
	d = opendir(path);
	if (d == NULL)
		return;
	c->found++;
	while ((e = readdir(d)) != NULL)
		c->groups += e->d_type == DT_DIR && e->d_name[0] != '.';
	closedir(d);
}

int rig_groups(const struct rig *g)
{
	struct group_count c = { .rig = g };

	each_tree(count_groups, &c);
	return c.found == 0 ? -1 : c.groups;
}

int rig_trees(const struct rig *g)
{
	struct group_count c = { .rig = g };

	each_tree(count_groups, &c);
	return c.found;
}

unsigned rig_ready(struct rig *g)
{
	Casemate__Jailer__V1__StatusRequest q = CASEMATE__JAILER__V1__STATUS_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	unsigned n;

	cr_assert_eq(rpc_call_wait(g->loop, g->conn, &jailer_methods[JAILER_STATUS], &q.base, NULL,
				   CALL_MS, &st, &out, NULL),
		     0);
	cr_assert_eq(st.code, RPC_OK, "%s", st.msg);
	n = ((Casemate__Jailer__V1__StatusResponse *)(void *)out)->jails_ready;
	protobuf_c_message_free_unpacked(out, NULL);
	return n;
}

bool rig_settle(struct rig *g)
{
	for (int i = 0; i < 1000; i++) {
		if (rig_ready(g) == g->pool && rig_groups(g) == (int)g->pool * rig_trees(g))
			return true;
		usleep(5000);
	}
	return false;
}

static bool is_spawner(pid_t pid)
{
	char path[48], text[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	return fd_read_file(AT_FDCWD, path, text, sizeof(text)) > 0 &&
	       strcmp(text, SPAWNER_NAME "\n") == 0;
}

static void read_children(const struct rig *g, char *ret, size_t cap)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)g->jailer,
		       (int)g->jailer);
	if (fd_read_file(AT_FDCWD, path, ret, cap) < 0)
		cr_skip_test("needs /proc/PID/task/TID/children");
}

/* The next pid of the list; 0 = there is none. */
static pid_t take_pid(const char **at)
{
	uint64_t pid;

	*at += strspn(*at, " ");
	if (**at == '\0')
		return 0;
	cr_assert_eq(parse_u64_at(at, 10, INT32_MAX, &pid), 0, "no pid: %s", *at);
	return (pid_t)pid;
}

pid_t rig_spawner(const struct rig *g)
{
	char text[1024];
	const char *at = text;
	pid_t pid;

	read_children(g, text, sizeof(text));
	do
		pid = take_pid(&at);
	while (pid != 0 && !is_spawner(pid));
	return pid;
}

int rig_children(const struct rig *g, pid_t *ret, size_t cap)
{
	char text[1024];
	const char *at = text;
	size_t n = 0;
	pid_t pid;

	read_children(g, text, sizeof(text));
	while ((pid = take_pid(&at)) != 0) {
		cr_assert_lt(n, cap);
		if (!is_spawner(pid))
			ret[n++] = pid;
	}
	return (int)n;
}

struct group_file {
	char path[200]; /* below the mount */
	char *ret;
	size_t cap;
	bool found;
};

static void read_group_file(const char *mount, void *arg)
{
	struct group_file *q = arg;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", mount, q->path);
	if (!q->found && fd_read_file(AT_FDCWD, path, q->ret, q->cap) >= 0)
		q->found = true;
}

bool rig_group_file(const struct rig_jail *j, const char *file, char *ret, size_t cap)
{
	struct group_file q = { .ret = ret, .cap = cap };

	(void)snprintf(q.path, sizeof(q.path), "%s/%s", j->cgroup, file);
	each_tree(read_group_file, &q);
	return q.found;
}

/* When its parent is dead, init reaps it at some time. */
static bool is_zombie(pid_t pid)
{
	char path[48], text[512];
	const char *at;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fd_read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
		return false;
	at = strrchr(text, ')');
	return at != NULL && at[1] == ' ' && at[2] == 'Z';
}

bool rig_pid_gone(pid_t pid)
{
	for (int i = 0; i < 400; i++) {
		if ((kill(pid, 0) < 0 && errno == ESRCH) || is_zombie(pid))
			return true;
		usleep(5000);
	}
	return false;
}

bool rig_has_selinux(void)
{
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}
