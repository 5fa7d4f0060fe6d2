/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_run.c - vmm-run: boots a kernel in a casemate-vmm without a jail, shows its console and exits
 * with the VMM's status. A developer's tool, for looking at guests and for comparing kernels.
 *
 *   vmm-run --vmm PROGRAM --kernel FILE [--initrd FILE] [--drive FILE[:ro|:wide|:pmem]]...
 *           [--tap NAME[:QUEUES]]... [--memory SIZE] [--boot auto|pvh|linux64|bzimage]
 *           [--cpus N] [--timeout SECONDS] [--pause SECONDS] [--metrics] [--balloon]
 * [--track-dirty]
 *           [--huge-pages none|transparent|hugetlb] [CMDLINE]
 *
 * --drive: wide is with as many queues as there can be, and with discard; pmem is as memory.
 * --pause: whenever the guest has written a line that ends in "pause", it is paused for so long.
 * --metrics: what the VMM has counted is shown at each pause.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmm.pb-c.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/native/spawn.h"
#include "tests/native/tap.h"

#define CALL_MS	 120000U
#define POLL_MS	 20
#define NICS_MAX 4U

struct options {
	const char *vmm;
	struct vmm_files files;
	Casemate__Vmm__V1__ConfigureRequest q;
	Casemate__Vmm__V1__Drive drives[VMM_DRIVES_MAX], *drive_list[VMM_DRIVES_MAX];
	Casemate__Vmm__V1__Nic nics[NICS_MAX], *nic_list[NICS_MAX];
	uint8_t macs[NICS_MAX][6];
	uint64_t timeout_ms, pause_ms;
	bool metrics;
};

struct run {
	struct loop *loop;
	struct rpc_conn *conn;
	uint64_t console_at;
	bool ended;
	bool wants_pause;
	size_t pause_seen; /* so many letters of the word that asks for one */
};

NORETURN static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "vmm-run: %s: %s\n", what, why);
	exit(125);
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		die(path, strerror(errno));
	return fd;
}

static void add_drive(struct options *o, char *arg)
{
	unsigned n = o->files.drives_count;
	char *ro = strstr(arg, ":ro"), *wide = strstr(arg, ":wide"), *pmem = strstr(arg, ":pmem");
	static char empty[] = "";

	if (n >= VMM_DRIVES_MAX)
		die(arg, "too many drives");
	if (ro != NULL)
		*ro = '\0';
	if (wide != NULL)
		*wide = '\0';
	if (pmem != NULL)
		*pmem = '\0';
	o->files.drives[n].fd = open_or_die(arg, ro != NULL || pmem != NULL ? O_RDONLY : O_RDWR);
	casemate__vmm__v1__drive__init(&o->drives[n]);
	o->drives[n].id = empty;
	o->drives[n].read_only = ro != NULL || pmem != NULL;
	o->drives[n].pmem = pmem != NULL;
	o->drives[n].queues = wide != NULL ? 4 : 1;
	o->drives[n].discard = wide != NULL;
	o->drive_list[n] = &o->drives[n];
	o->files.drives_count++;
}

/* The nth nic has the address 02:ca:5e:00:00:NN, from 01 on. */
static void add_tap(struct options *o, char *arg)
{
	size_t n = o->q.n_nics;
	const uint8_t mac[6] = { 0x02, 0xca, 0x5e, 0, 0, (uint8_t)(n + 1) };
	char *colon = strchr(arg, ':');
	uint64_t queues = 1;

	if (n >= NICS_MAX)
		die(arg, "too many nics");
	if (colon != NULL && parse_u64(colon + 1, 1, VMM_TAPS_MAX, &queues) < 0)
		die(arg, "not a number of queues");
	if (colon != NULL)
		*colon = '\0';
	memcpy(o->macs[n], mac, sizeof(mac));
	casemate__vmm__v1__nic__init(&o->nics[n]);
	o->nics[n].mac = (ProtobufCBinaryData){ .data = o->macs[n], .len = sizeof(mac) };
	o->nics[n].mtu = 1500;
	o->nics[n].queue_pairs = (uint32_t)queues;
	o->nic_list[n] = &o->nics[n];
	o->q.nics = o->nic_list;
	o->q.n_nics++;
	for (uint64_t i = 0; i < queues; i++) {
		int fd = tap_queue(arg);
		if (fd < 0 || o->files.taps_count == VMM_TAPS_MAX)
			die(arg, fd < 0 ? strerror(-fd) : "too many queues");
		o->files.taps[o->files.taps_count++] = fd;
	}
}

static Casemate__Vmm__V1__BootProtocol boot_protocol(const char *name)
{
	if (strcmp(name, "auto") == 0)
		return CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_AUTO;
	if (strcmp(name, "pvh") == 0)
		return CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_PVH;
	if (strcmp(name, "linux64") == 0)
		return CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_LINUX64;
	if (strcmp(name, "bzimage") == 0)
		return CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_BZIMAGE;
	die("--boot", "unknown protocol");
}

static void add_balloon(struct options *o)
{
	static Casemate__Vmm__V1__Balloon balloon;

	casemate__vmm__v1__balloon__init(&balloon);
	balloon.free_page_reporting = balloon.deflate_on_oom = balloon.statistics = true;
	o->q.balloon = &balloon;
}

static Casemate__Vmm__V1__HugePages huge_pages(const char *name)
{
	if (strcmp(name, "none") == 0)
		return CASEMATE__VMM__V1__HUGE_PAGES__HUGE_PAGES_NONE;
	if (strcmp(name, "transparent") == 0)
		return CASEMATE__VMM__V1__HUGE_PAGES__HUGE_PAGES_TRANSPARENT;
	if (strcmp(name, "hugetlb") == 0)
		return CASEMATE__VMM__V1__HUGE_PAGES__HUGE_PAGES_HUGETLB;
	die("--huge-pages", "unknown kind");
}

static void parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "vmm", required_argument, NULL, 'v' },
		{ "kernel", required_argument, NULL, 'k' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "drive", required_argument, NULL, 'd' },
		{ "tap", required_argument, NULL, 'n' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "memory", required_argument, NULL, 'm' },
		{ "boot", required_argument, NULL, 'b' },
		{ "timeout", required_argument, NULL, 't' },
		{ "pause", required_argument, NULL, 'p' },
		{ "huge-pages", required_argument, NULL, 'H' },
		{ "metrics", no_argument, NULL, 'M' },
		{ "balloon", no_argument, NULL, 'B' },
		{ "track-dirty", no_argument, NULL, 'D' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t n = 1;
	int c, r = 0;

	while (r == 0 && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'v')
			o->vmm = optarg;
		else if (c == 'k')
			o->files.kernel = open_or_die(optarg, O_RDONLY);
		else if (c == 'i')
			o->files.initrd = open_or_die(optarg, O_RDONLY);
		else if (c == 'd')
			add_drive(o, optarg);
		else if (c == 'n')
			add_tap(o, optarg);
		else if (c == 'c')
			r = parse_u64(optarg, 1, UINT32_MAX, &n);
		else if (c == 'm')
			r = parse_size(optarg, 1, UINT64_MAX, &o->q.memory_bytes);
		else if (c == 'b')
			o->q.boot = boot_protocol(optarg);
		else if (c == 't')
			r = parse_duration_ms(optarg, UINT32_MAX, &o->timeout_ms);
		else if (c == 'p')
			r = parse_duration_ms(optarg, UINT32_MAX, &o->pause_ms);
		else if (c == 'H')
			o->q.huge_pages = huge_pages(optarg);
		else if (c == 'M')
			o->metrics = true;
		else if (c == 'B')
			add_balloon(o);
		else if (c == 'D')
			o->q.track_dirty = true;
		else
			r = -EINVAL;
	}
	if (r < 0)
		die("usage", "see the head of tests/native/vmm_run.c");
	o->q.vcpus = (uint32_t)n;
	if (optind < argc)
		o->q.cmdline = argv[optind];
	if (o->vmm == NULL || o->files.kernel < 0)
		die("usage", "--vmm and --kernel are needed");
	o->q.initrd = o->files.initrd >= 0;
	o->q.n_drives = o->files.drives_count;
	o->q.drives = o->drive_list;
}

static void call(struct run *r, unsigned method, const void *in, ProtobufCMessage **ret)
{
	struct rpc_status st = { 0 };
	int rc = rpc_call_wait(r->loop, r->conn, &vmm_methods[method], in, NULL, CALL_MS, &st, ret,
			       NULL);

	if (rc < 0)
		die(vmm_methods[method].name, strerror(-rc));
	if (st.code != RPC_OK)
		die(vmm_methods[method].name, st.msg);
}

/* A line that ends in "pause", in however many pieces it comes. */
static void look_for_pause(struct run *r, char c)
{
	static const char word[] = "pause";

	if (c == '\n' && r->pause_seen == sizeof(word) - 1)
		r->wants_pause = true;
	if (c == '\r')
		return;
	if (c == word[0])
		r->pause_seen = 1;
	else if (r->pause_seen < sizeof(word) - 1 && c == word[r->pause_seen])
		r->pause_seen++;
	else
		r->pause_seen = 0;
}

static void show_console(struct run *r)
{
	Casemate__Vmm__V1__ReadConsoleRequest q = CASEMATE__VMM__V1__READ_CONSOLE_REQUEST__INIT;
	Casemate__Vmm__V1__ReadConsoleResponse *out;
	ProtobufCMessage *msg = NULL;

	struct rpc_status st = { 0 };

	q.from = r->console_at;
	/* The end of the VM, and of the connection, may come at any moment. */
	if (rpc_call_wait(r->loop, r->conn, &vmm_methods[VMM_READ_CONSOLE], &q.base, NULL, CALL_MS,
			  &st, &msg, NULL) < 0 ||
	    st.code != RPC_OK)
		return;
	out = (Casemate__Vmm__V1__ReadConsoleResponse *)msg;
	for (size_t i = 0; i < out->data.len; i++)
		look_for_pause(r, (char)out->data.data[i]);
	(void)fwrite(out->data.data, 1, out->data.len, stdout);
	(void)fflush(stdout);
	r->console_at = out->from + out->data.len;
	protobuf_c_message_free_unpacked(msg, NULL);
}

static void show_metrics(struct run *r)
{
	const Casemate__Vmm__V1__GetMetricsRequest q = CASEMATE__VMM__V1__GET_METRICS_REQUEST__INIT;
	const Casemate__Vmm__V1__GetMetricsResponse *out;
	ProtobufCMessage *msg = NULL;

	call(r, VMM_GET_METRICS, &q, &msg);
	out = (const void *)msg;
	for (size_t i = 0; i < out->n_metrics; i++)
		(void)fprintf(stderr, "vmm-run: %s %llu\n", out->metrics[i]->name,
			      (unsigned long long)out->metrics[i]->value);
	protobuf_c_message_free_unpacked(msg, NULL);
}

static void take_a_break(struct run *r, const struct options *o)
{
	const Casemate__Vmm__V1__PauseRequest pause_q = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	const Casemate__Vmm__V1__ResumeRequest resume_q = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	ProtobufCMessage *msg = NULL;

	call(r, VMM_PAUSE, &pause_q, &msg);
	protobuf_c_message_free_unpacked(msg, NULL);
	if (o->metrics)
		show_metrics(r);
	(void)usleep((useconds_t)o->pause_ms * 1000);
	call(r, VMM_RESUME, &resume_q, &msg);
	protobuf_c_message_free_unpacked(msg, NULL);
}

static void on_waited(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	const Casemate__Vmm__V1__WaitResponse *w = (const void *)out;
	struct run *r = arg;

	(void)fds;
	r->ended = true;
	if (st->code != RPC_OK) {
		(void)fprintf(stderr, "vmm-run: %s\n", st->msg);
		return;
	}
	(void)fprintf(stderr, "vmm-run: ended: reason %d, %s; the console's last bytes:\n%.*s\n",
		      (int)w->reason, w->detail, (int)w->console_tail.len,
		      (const char *)w->console_tail.data);
}

int main(int argc, char **argv)
{
	static const struct rpc_pending_ops wait_ops = { .done = on_waited };
	const struct rpc_conn_config cfg = { .handlers = NULL };
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__WaitRequest wait = CASEMATE__VMM__V1__WAIT_REQUEST__INIT;
	struct options o = { .files = { .kernel = -1, .initrd = -1 }, .timeout_ms = UINT32_MAX };
	static char id[] = "vmm-run";
	struct run r = { 0 };
	uint64_t began;
	int control = -1, status;
	pid_t pid;

	casemate__vmm__v1__configure_request__init(&o.q);
	o.q.id = id;
	o.q.vcpus = 1;
	o.q.memory_bytes = 128 * MIB;
	o.q.console = true;
	o.q.rng = true;
	o.q.guest_cid = 3;
	parse_options(&o, argc, argv);
	began = now_ns();
	pid = vmm_fork(o.vmm, &o.files, &control);
	if (pid < 0 || loop_new(&r.loop) < 0 || rpc_conn_new(r.loop, control, &cfg, &r.conn) < 0)
		die(o.vmm, "can't be started");
	call(&r, VMM_CONFIGURE, &o.q, NULL);
	call(&r, VMM_START, &start, NULL);
	(void)fprintf(stderr, "vmm-run: running after %llu us\n",
		      (unsigned long long)(now_ns() - began) / 1000);
	began = now_ms();
	if (rpc_start(r.conn, &vmm_methods[VMM_WAIT], &wait.base, NULL, 0, &wait_ops, &r, NULL) < 0)
		die("Wait", "can't be called");
	while (!r.ended && now_ms() - began < o.timeout_ms) {
		show_console(&r);
		if (r.wants_pause && o.pause_ms > 0)
			take_a_break(&r, &o);
		r.wants_pause = false;
		if (!r.ended && loop_step(r.loop, POLL_MS) < 0)
			die("loop", "failed");
	}
	if (!r.ended) {
		(void)fprintf(stderr, "vmm-run: timeout\n");
		(void)kill(pid, SIGKILL);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid", strerror(errno));
	(void)fprintf(stderr, "vmm-run: %llu ms\n", (unsigned long long)(now_ms() - began));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 124;
}
