/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <jailer.pb-c.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "api/rpc/rpc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/jail_bench.h"

#define CALL_MS	  20000
#define SETTLE_MS 20000U
#define MEMORY	  (64 * MIB)

struct jailer {
	char dir[64];
	pid_t pid;
	unsigned pool;
	struct loop *loop;
	struct rpc_conn *conn;
};

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[160];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wex");
	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0 || chmod(path, 0644) < 0)
		jail_bench_die(path, strerror(errno));
}

static void make_store(const char *dir)
{
	static const char *const dirs[] = { "",
					    "/store",
					    "/store/kernels",
					    "/store/kernels/k",
					    "/store/images",
					    "/store/images/i",
					    "/run" };
	char path[160];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", dir, dirs[i]);
		if (mkdir(path, 0755) < 0)
			jail_bench_die(path, strerror(errno));
	}
	put_file(dir, "store/kernels/k/kernel", "kernel");
	put_file(dir, "store/images/i/root.erofs", "image");
}

static NORETURN void run_jailer(const char *program, const char *hello, const struct jailer *j,
				const char *name)
{
	char socket[96], store[96], pool[12];

	(void)snprintf(socket, sizeof(socket), "%s/run/jailer.sock", j->dir);
	(void)snprintf(store, sizeof(store), "%s/store", j->dir);
	(void)snprintf(pool, sizeof(pool), "%u", j->pool);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0)
		(void)execl(program, program, "--socket", socket, "--store", store, "--vmm", hello,
			    "--daemon-user", "nobody", "--allow-no-selinux", "--cgroup", name,
			    "--pool", pool, "--max", "32", "--log-level", "error", (char *)NULL);
	_exit(127);
}

static void connect_jailer(struct jailer *j)
{
	static const struct rpc_conn_config cfg;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = -1;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/run/jailer.sock", j->dir);
	for (unsigned i = 0; r < 0 && i < 2000; i++) {
		r = connect(fd, (const struct sockaddr *)&a, sizeof(a));
		if (r < 0 && waitpid(j->pid, NULL, WNOHANG) == j->pid)
			jail_bench_die("casemate-jailer", "it has ended; its complaint is above");
		if (r < 0)
			(void)usleep(5000);
	}
	if (r < 0 || loop_new(&j->loop) < 0 || rpc_conn_new(j->loop, fd, &cfg, &j->conn) < 0)
		jail_bench_die("casemate-jailer", "it does not answer");
}

struct jailer *jailer_start(const char *program, const char *hello, const char *dir,
			    const char *name, unsigned pool)
{
	struct jailer *j = calloc(1, sizeof(*j));

	if (j == NULL)
		jail_bench_die("memory", strerror(errno));
	j->pool = pool;
	(void)snprintf(j->dir, sizeof(j->dir), "%s", dir);
	make_store(dir);
	j->pid = fork();
	if (j->pid < 0)
		jail_bench_die("fork", strerror(errno));
	if (j->pid == 0)
		run_jailer(program, hello, j, name);
	connect_jailer(j);
	return j;
}

static ProtobufCMessage *call(struct jailer *j, enum jailer_method m, const ProtobufCMessage *q,
			      int *fds)
{
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	int r = rpc_call_wait(j->loop, j->conn, &jailer_methods[m], q, NULL, CALL_MS, &st, &out,
			      fds);

	if (r < 0 || st.code != RPC_OK)
		jail_bench_die("casemate-jailer", r < 0 ? strerror(-r) : st.msg);
	return out;
}

/* Nothing is going on in the jailer: the pool is full, and what was destroyed is gone. */
static void settle(struct jailer *j)
{
	Casemate__Jailer__V1__StatusRequest q = CASEMATE__JAILER__V1__STATUS_REQUEST__INIT;
	uint64_t deadline = now_ms() + SETTLE_MS;

	for (;;) {
		ProtobufCMessage *out = call(j, JAILER_STATUS, &q.base, NULL);
		unsigned ready = ((const Casemate__Jailer__V1__StatusResponse *)(const void *)out)
					 ->jails_ready;
		protobuf_c_message_free_unpacked(out, NULL);
		if (ready >= j->pool)
			return;
		if (now_ms() > deadline)
			jail_bench_die("casemate-jailer", "its pool doesn't fill");
		(void)usleep(500);
	}
}

uint64_t jailer_measure(struct jailer *j)
{
	static char id[] = "one", kernel[] = "k", image[] = "i";
	Casemate__Jailer__V1__CreateRequest q = CASEMATE__JAILER__V1__CREATE_REQUEST__INIT;
	Casemate__Jailer__V1__DestroyRequest d = CASEMATE__JAILER__V1__DESTROY_REQUEST__INIT;
	ProtobufCMessage *out;
	uint64_t begin, end;
	int fds[2];
	char byte;

	q.id = d.id = id;
	q.kernel = kernel;
	q.image = image;
	q.vcpus = 1;
	q.memory_bytes = MEMORY;
	settle(j);
	begin = now_ns();
	out = call(j, JAILER_CREATE, &q.base, fds);
	if (read(fds[0], &byte, 1) != 1)
		jail_bench_die("casemate-jailer", "the jailed program does not run");
	end = now_ns();
	protobuf_c_message_free_unpacked(out, NULL);
	fd_closep(&fds[0]);
	fd_closep(&fds[1]);
	protobuf_c_message_free_unpacked(call(j, JAILER_DESTROY, &d.base, NULL), NULL);
	return end - begin;
}

void jailer_stop(struct jailer *j)
{
	rpc_conn_free(j->conn);
	loop_free(j->loop);
	(void)kill(j->pid, SIGTERM);
	(void)waitpid(j->pid, NULL, 0);
	free(j);
}
