/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_lab - from a request to an answer of the same Linux guest, ours beside QEMU microvm, in one
 * run. Both go on from a snapshot of a guest that has booted and whose agent answers.
 *
 * Ours: POST /v1/sandboxes to casemated, from the pool and, when that is empty, by a restore; it
 * answers when the agent has been identified. The peer: a QEMU started with -incoming from the file
 * that its own migration wrote, until the agent has answered the same Identify over vhost-vsock.
 * What it lacks (a jail, filters, a daemon, a copy-on-write memory) is to its advantage. The file
 * lies in memory for both. The runs alternate.
 */
#include <agent.pb-c.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/cli/http_client.h"
#include "api/proto/contract.h"
#include "api/rpc/rpc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/stat.h"

#define PEER_CID   77U
#define WAIT_MS	   60000U
#define CALL_MS	   20000U
#define RETRY_MS   20
#define TRIES_MAX  256U
#define REST_US	   500000U /* what a template of ours is given, too */
#define FILE_PATH  "/dev/shm/casemate-bench.migration"
#define QMP_PATH   "/tmp/casemate-bench.qmp"
#define TEMPLATE_S 90U

static struct {
	const char *kernel, *initrd, *root, *qemu, *machine, *socket, *where;
	uint64_t runs, memory_mib;
} opt = {
	.kernel = "/var/lib/casemate/kernels/default/kernel",
	.initrd = "/var/lib/casemate/kernels/default/initrd",
	.root = "/var/lib/casemate/images/default/root.erofs",
	.qemu = "qemu-system-x86_64",
	.machine = "microvm,pit=off,pic=off,rtc=off,isa-serial=off",
	.socket = "/run/casemate/casemated.sock",
	.where = "lab",
	.runs = 10,
	.memory_mib = 256,
};

static NORETURN void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: start: %s: %s\n", what, why);
	exit(1);
}

/* ---- The peer ------------------------------------------------------------------------------ */

static const char file_uri[] = "file:" FILE_PATH;
static pid_t peer_pid;

static void peer_kill(void)
{
	if (peer_pid <= 0)
		return;
	(void)kill(peer_pid, SIGKILL);
	(void)waitpid(peer_pid, NULL, 0);
	peer_pid = 0;
}

static void clean_up(void)
{
	peer_kill();
	(void)unlink(FILE_PATH);
	(void)unlink(QMP_PATH);
}

/* incoming: from the file; else it boots. */
static void peer_start(bool incoming)
{
	char memory[32], drive[512], monitor[96];
	const char *argv[] = {
		opt.qemu,      "-M",
		opt.machine,   "-enable-kvm",
		"-cpu",	       "host,pmu=off",
		"-smp",	       "1",
		"-m",	       memory,
		"-nodefaults", "-no-user-config",
		"-nographic",  "-no-reboot",
		"-bios",       "qboot.rom",
		"-kernel",     opt.kernel,
		"-initrd",     opt.initrd,
		"-append",     "console=hvc0 quiet panic=-1",
		"-drive",      drive,
		"-device",     "virtio-blk-device,drive=root",
		"-device",     "virtio-rng-device",
		"-device",     "vhost-vsock-device,guest-cid=77",
		"-device",     "virtio-serial-device",
		"-qmp",	       monitor,
		"-incoming",   file_uri,
		NULL,
	};

	(void)snprintf(monitor, sizeof(monitor), "unix:%s,server=on,wait=off", QMP_PATH);
	if (!incoming) /* without the last option */
		argv[ARRAY_SIZE(argv) - 3] = NULL;
	(void)snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)opt.memory_mib);
	(void)snprintf(drive, sizeof(drive), "id=root,if=none,format=raw,readonly=on,file=%s",
		       opt.root);
	peer_pid = fork();
	if (peer_pid < 0)
		die("fork", strerror(errno));
	if (peer_pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		/* execvp takes char *const[] for history's sake and writes to none of it. */
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
}

static int vsock_socket(void)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("vsock", strerror(errno));
	return fd;
}

/* Its agent connects when it has booted; whoever takes that for the first time would be its only
 * client for good, so the connection is closed at once. */
static void peer_wait_booted(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int fd;

	if (poll(&p, 1, (int)WAIT_MS) != 1)
		die("peer", "its agent doesn't connect");
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	fd_closep(&fd);
	(void)usleep(REST_US);
}

static int qmp_open(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = QMP_PATH };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("QEMU's monitor", strerror(errno));
	return fd;
}

/* One command, and lines until one has `want` in it. */
static void qmp(int fd, const char *command, const char *want)
{
	char text[8192];
	size_t len = 0;

	if (fd_write_full(fd, command, strlen(command)) < 0)
		die("QEMU's monitor", command);
	while (len < sizeof(text) - 1) {
		ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
		if (strstr(text, want) != NULL)
			return;
		if (strstr(text, "\"error\"") != NULL)
			break;
	}
	die("QEMU's monitor", len > 0 ? text : command);
}

/* A guest that has booted, to the file. */
static void peer_save(void)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK,
				 .svm_port = AGENT_PORT,
				 .svm_cid = VMADDR_CID_ANY };
	int listener = vsock_socket(), fd;

	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 4) < 0)
		die("vsock", strerror(errno));
	peer_start(false);
	peer_wait_booted(listener);
	fd = qmp_open();
	qmp(fd, "{\"execute\":\"qmp_capabilities\"}", "\"return\"");
	/* Completion comes as an event. */
	qmp(fd,
	    "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":["
	    "{\"capability\":\"events\",\"state\":true}]}}",
	    "\"return\"");
	/* Not stopped before: what is restored would be stopped, too. And it need not be gentle to
	 * a disk, since the file is in memory. */
	qmp(fd,
	    "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"max-bandwidth\":"
	    "17179869184}}",
	    "\"return\"");
	qmp(fd, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:" FILE_PATH "\"}}",
	    "\"completed\"");
	fd_closep(&fd);
	fd_closep(&listener);
	peer_kill();
}

/* The agent's answer to Identify, if it gives one. */
static bool peer_identify(int fd)
{
	uint8_t entropy[32] = { 1 };
	Casemate__Agent__V1__IdentifyRequest q = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	const struct rpc_conn_config cfg = { .handlers = NULL };
	struct rpc_conn *conn = NULL;
	struct loop *loop = NULL;
	ProtobufCMessage *out = NULL;
	struct rpc_status st = { .code = RPC_UNKNOWN };
	int r;

	if (loop_new(&loop) < 0 || rpc_conn_new(loop, fd, &cfg, &conn) < 0)
		die("rpc", "out of memory");
	q.hostname = (char *)(uintptr_t) "bench";
	q.entropy = (ProtobufCBinaryData){ .len = sizeof(entropy), .data = entropy };
	r = rpc_call_wait(loop, conn, &agent_methods[AGENT_IDENTIFY], &q.base, NULL, CALL_MS, &st,
			  &out, NULL);
	if (out != NULL)
		protobuf_c_message_free_unpacked(out, NULL);
	rpc_conn_free(conn);
	loop_free(loop);
	return r == 0 && st.code == RPC_OK;
}

/* A connection to the guest's agent. A request that the guest never saw costs two seconds until it
 * is given up, so a new one is made every RETRY_MS while the others are still waited for. */
static int peer_connect(uint64_t deadline_ns)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK,
				 .svm_port = AGENT_PORT,
				 .svm_cid = PEER_CID };
	struct pollfd p[TRIES_MAX];
	nfds_t n = 0;
	int won = -1;

	while (won < 0 && now_ns() < deadline_ns) {
		int fd = n < TRIES_MAX ? vsock_socket() : -1;
		if (fd >= 0 &&
		    (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == EINPROGRESS))
			p[n++] = (struct pollfd){ .fd = fd, .events = POLLOUT };
		else
			fd_closep(&fd);
		(void)poll(p, n, RETRY_MS);
		for (nfds_t i = 0; i < n && won < 0; i++) {
			int error = 0;
			socklen_t len = sizeof(error);
			if (p[i].revents == 0)
				continue;
			(void)getsockopt(p[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
			if (error == 0)
				won = fd_steal(&p[i].fd);
			else
				fd_closep(&p[i].fd);
			p[i--] = p[--n];
		}
	}
	for (nfds_t i = 0; i < n; i++)
		fd_closep(&p[i].fd);
	return won;
}

static double peer_restore(void)
{
	uint64_t begin = now_ns(), deadline = begin + WAIT_MS * UINT64_C(1000000);
	double ms;
	int fd;

	peer_start(true);
	do {
		fd = peer_connect(deadline);
		if (fd < 0)
			die("peer", "it doesn't answer after a restore");
	} while (!peer_identify(fd));
	ms = (double)(now_ns() - begin) / 1e6;
	peer_kill();
	return ms;
}

/* ---- Ours ---------------------------------------------------------------------------------- */

static struct cli cli;
static struct http_client *http;

static json_t *call(const char *method, const char *path, const json_t *body)
{
	struct err err = { 0 };
	json_t *out = NULL;

	if (http_client_call(http, method, path, body, WAIT_MS, &out, NULL, &err) < 0)
		die(path, err.msg);
	return out;
}

/* The daemon's word for what a start is made of, as in start.c; less than the whole by HTTP and the
 * client. */
static const struct stage {
	const char *name, *key;
} stages[] = {
	{ "_jail", "jail_ms" },
	{ "_configure", "configure_ms" },
	{ "_start", "start_ms" },
	{ "_agent", "boot_ms" },
};

struct way {
	const char *name;
	struct samples all, stages[ARRAY_SIZE(stages)];
};

/* "pool", "restore" or "cold"; *ret_out: what was said of it, to be released. */
static const char *create(char id[64], double *ret_ms, json_t **ret_out)
{
	static char path[16];
	json_t *body =
		json_pack("{s:I}", "memory_bytes", (json_int_t)opt.memory_mib * (json_int_t)MIB);
	uint64_t begin = now_ns();
	json_t *out = call("POST", "/v1/sandboxes", body);

	*ret_ms = (double)(now_ns() - begin) / 1e6;
	(void)snprintf(id, 64, "%s", json_string_value(json_object_get(out, "id")));
	(void)snprintf(path, sizeof(path), "%s", json_string_value(json_object_get(out, "path")));
	json_decref(body);
	*ret_out = out;
	return path;
}

/* Kept if it came about in this way. */
static void create_by(struct way *w, char id[64])
{
	json_t *out, *timings;
	double ms;

	if (strcmp(create(id, &ms, &out), w->name) == 0) {
		samples_add(&w->all, ms);
		timings = json_object_get(out, "timings");
		for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
			samples_add(&w->stages[i],
				    json_number_value(json_object_get(timings, stages[i].key)));
	}
	json_decref(out);
}

static void print_way(struct way *w, struct samples *peer)
{
	char name[48];

	(void)snprintf(name, sizeof(name), "%s_linux", w->name);
	bench_print("start", name, "ms", &w->all, "qemu-microvm", peer, opt.where);
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		/* What lay ready has its first two stages behind it. */
		if (samples_percentile(&w->stages[i], 100) <= 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s_linux%s", w->name, stages[i].name);
		bench_print("start", name, "ms", &w->stages[i], NULL, NULL, opt.where);
	}
}

static void destroy(const char *id)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", id);
	json_decref(call("DELETE", path, NULL));
}

static void wait_for_spare(void)
{
	uint64_t end = now_ms() + (uint64_t)TEMPLATE_S * 1000;

	for (;;) {
		json_t *o = call("GET", "/v1/status", NULL), *shape;
		json_int_t n = 0;
		size_t i;
		json_array_foreach(json_object_get(o, "pool"), i, shape) n +=
			json_integer_value(json_object_get(shape, "spares"));
		json_decref(o);
		if (n > 0)
			return;
		if (now_ms() > end)
			die("pool", "it doesn't fill");
		(void)usleep(20000);
	}
}

/* One from the pool and, with one spare, one that has to be restored. */
static void run_ours(struct way *pool, struct way *restore)
{
	char first[64], second[64];

	wait_for_spare();
	create_by(pool, first);
	create_by(restore, second);
	destroy(first);
	destroy(second);
}

static void open_daemon(void)
{
	struct err err = { 0 };

	cli.socket = opt.socket;
	if (loop_new(&cli.loop) < 0 || http_client_open(&cli, &http, &err) < 0)
		die("casemated", err.msg);
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = { { "runs", required_argument, NULL, 'n' },
					       { "memory", required_argument, NULL, 'm' },
					       { "socket", required_argument, NULL, 's' },
					       { "where", required_argument, NULL, 'w' },
					       { NULL, 0, NULL, 0 } };
	int bad = 0, c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'n')
			bad |= parse_u64(optarg, 1, SAMPLES_MAX, &opt.runs);
		else if (c == 'm')
			bad |= parse_u64(optarg, 64, 65536, &opt.memory_mib);
		else if (c == 's')
			opt.socket = optarg;
		else if (c == 'w')
			opt.where = optarg;
		else
			bad = -EINVAL;
	}
	if (bad != 0)
		die("usage", "--runs N, --memory MIB, --socket PATH, --where TEXT");
}

int main(int argc, char **argv)
{
	static struct way pool = { .name = "pool" }, restore = { .name = "restore" };
	static struct samples peer;
	json_t *out;
	char id[64];
	double ms;

	parse_options(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)atexit(clean_up);
	open_daemon();
	(void)create(id, &ms, &out); /* teaches the shape */
	json_decref(out);
	destroy(id);
	peer_save();
	/* One of each, unmeasured: the page cache. */
	wait_for_spare();
	(void)peer_restore();
	for (uint64_t i = 0; i < opt.runs; i++) {
		run_ours(&pool, &restore);
		samples_add(&peer, peer_restore());
	}
	print_way(&pool, &peer);
	print_way(&restore, &peer);
	return 0;
}
