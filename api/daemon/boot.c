/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.c - how a sandbox is made. Each step starts the next in its callback:
 *
 *     jailer Create -> 2 descriptors: the VMM's control socket, its log pipe
 *     VMM Configure -> Listen(AGENT_PORT) -> Start -> (Wait stays open until the VM ends)
 *     agent Identify, over the connection that the guest makes to AGENT_PORT -> BOOTED
 *
 * A template's or a fork's way begins with Restore instead, and needs no Listen: its agent is
 * there. A spare stops before Start until it is claimed.
 *
 * A step that fails names the thing and the reason and ends the sandbox. Callbacks of calls that
 * were dropped because the sandbox is stopping find another state than CREATING and do nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <vmm.pb-c.h>

#include "api/daemon/cpu_template.h"
#include "api/daemon/jailer.h"
#include "api/daemon/origin.h"
#include "api/daemon/pool.h"
#include "api/daemon/sandbox_internal.h"
#include "api/daemon/snapshot.h"
#include "api/proto/contract.h"
#include "api/proto/guest_net.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

/*
 * Everything that a guest kernel needs from us. No device is named: ACPI describes them. A guest
 * that panics reboots at once (panic=-1), by the keyboard controller's port or a triple fault
 * (reboot=t), and the VMM turns that into an end with a reason.
 */
#define BOOT_CMDLINE	      "console=hvc0 quiet panic=-1 reboot=t random.trust_cpu=on"
#define BOOT_GUEST_CID	      3U
#define BOOT_CALL_MS	      10000U
#define BOOT_TAIL_MS	      500U /* to fetch the console of a guest that won't boot */
#define BOOT_CONNECT_AGAIN_MS 50U
#define BOOT_END_WAIT_MS      500U /* VMM gone: for the jailer to say why */

static void on_vmm_closed(struct rpc_conn *c, int reason, void *arg);
static void boot_configure(struct sandbox *s);
static void boot_listen(struct sandbox *s);
static void boot_start(struct sandbox *s);
static void boot_restored(struct sandbox *s);
static void on_boot_deadline(void *arg);

/* An answer that counts: the sandbox is still being made. */
static bool booting(const struct sandbox *s)
{
	return s->state == SANDBOX_CREATING;
}

/* ---- The jail ------------------------------------------------------------------------------ */

static unsigned http_status_of(enum rpc_code code)
{
	switch (code) {
	case RPC_NOT_FOUND:
	case RPC_INVALID_ARGUMENT:
	case RPC_OUT_OF_RANGE:
		return 400;
	case RPC_RESOURCE_EXHAUSTED:
	case RPC_UNAVAILABLE:
	case RPC_CANCELLED:
		return 503;
	case RPC_OK:
	case RPC_UNKNOWN:
	case RPC_DEADLINE_EXCEEDED:
	case RPC_ALREADY_EXISTS:
	case RPC_PERMISSION_DENIED:
	case RPC_FAILED_PRECONDITION:
	case RPC_ABORTED:
	case RPC_UNIMPLEMENTED:
	case RPC_INTERNAL:
	case RPC_DATA_LOSS:
	case RPC_UNAUTHENTICATED:
		return 500;
	}
	return 500;
}

static const char *error_code_of(enum rpc_code code)
{
	if (code == RPC_NOT_FOUND)
		return "not_found";
	if (code == RPC_INVALID_ARGUMENT || code == RPC_OUT_OF_RANGE)
		return "invalid_argument";
	return http_status_of(code) == 503 ? "unavailable" : "jail_failed";
}

static void keep_jail_info(struct sandbox *s, const Casemate__Jailer__V1__JailInfo *jail)
{
	if (jail == NULL)
		return;
	s->pid = jail->pid;
	s->uid = jail->uid;
	(void)log_escape(s->cgroup, sizeof(s->cgroup), jail->cgroup, strlen(jail->cgroup));
	(void)log_escape(s->label, sizeof(s->label), jail->label, strlen(jail->label));
	if (jail->image_id.len == sizeof(s->image_id))
		memcpy(s->image_id, jail->image_id.data, sizeof(s->image_id));
}

int boot_attach(struct sandbox *s, const Casemate__Jailer__V1__JailInfo *jail, int *fds)
{
	struct rpc_conn_config cfg = { .closed = on_vmm_closed, .arg = s };
	int r;

	keep_jail_info(s, jail);
	s->time_ns[SANDBOX_T_JAILED] = now_ns();
	r = vmlog_new(s->table->cfg.loop, fd_steal(&fds[1]), s->id, &s->log);
	if (r == 0)
		r = rpc_conn_new(s->table->cfg.loop, fd_steal(&fds[0]), &cfg, &s->vmm);
	return r;
}

static void enter_jail(struct sandbox *s, const Casemate__Jailer__V1__CreateResponse *out, int *fds)
{
	int r = boot_attach(s, out->jail, fds);

	s->initrd = out->initrd;
	if (r < 0)
		sandbox_fail(s, 500, "internal", "VMM's connection: %s", strerror(-r));
	else
		boot_configure(s);
	if (booting(s))
		boot_network(s);
	if (booting(s) && s->path == SANDBOX_PATH_FORK)
		sandbox_notify(s); /* it has its disk */
}

/* False: it can't be begun. */
static bool boot_cold_instead(struct sandbox *s)
{
	struct rpc_conn *jailer = jailer_conn(s->table->cfg.jailer);

	loop_timer_del(s->boot_timer);
	s->boot_timer = NULL;
	s->path = SANDBOX_PATH_COLD;
	return jailer != NULL && boot_begin(s, jailer) == 0;
}

static void on_created(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct sandbox *s = arg;

	s->create_call = NULL;
	/* A refusal leaves nothing; a lost connection or an expired deadline leaves a doubt. */
	if (st->code != RPC_OK && st->code != RPC_UNAVAILABLE && st->code != RPC_CANCELLED &&
	    st->code != RPC_DEADLINE_EXCEEDED)
		s->jailed = false;
	/* Stopped meanwhile, or put back; fds are closed by the caller. */
	if (s->state == SANDBOX_STOPPING || s->state == SANDBOX_PARKING) {
		sandbox_destroy_jail(s);
		return;
	}
	BUG_ON(!booting(s));
	/* It won't be taken next time either. */
	if (s->path == SANDBOX_PATH_RESTORE && st->code != RPC_OK &&
	    http_status_of(st->code) != 503) {
		pool_template_refused(s->table->pool, &s->spec, st->msg);
		if (s->kind == SANDBOX_KIND_TENANT && boot_cold_instead(s))
			return;
	}
	if (st->code != RPC_OK) {
		/* Not the client's fault. */
		if (sandbox_from_disk(s) && http_status_of(st->code) != 503)
			sandbox_fail(s, 500, "resume_failed", "%s", st->msg);
		else if (s->path == SANDBOX_PATH_SNAPSHOT && http_status_of(st->code) != 503)
			sandbox_fail(s, 500, "snapshot_lost", "%s", st->msg);
		else
			sandbox_fail(s, http_status_of(st->code), error_code_of(st->code), "%s",
				     st->msg);
		return;
	}
	enter_jail(s,
		   sandbox_boots(s) ? (const Casemate__Jailer__V1__CreateResponse *)out
				    : ((const Casemate__Jailer__V1__RestoreResponse *)out)->created,
		   fds);
}

/* ---- The VM -------------------------------------------------------------------------------- */

static const char *end_reason(Casemate__Vmm__V1__EndReason reason)
{
	switch ((int)reason) {
	case CASEMATE__VMM__V1__END_REASON__END_REASON_POWER_OFF:
		return "power-off";
	case CASEMATE__VMM__V1__END_REASON__END_REASON_REBOOT:
		return "reboot";
	case CASEMATE__VMM__V1__END_REASON__END_REASON_PANIC:
		return "panic";
	case CASEMATE__VMM__V1__END_REASON__END_REASON_TRIPLE_FAULT:
		return "triple-fault";
	case CASEMATE__VMM__V1__END_REASON__END_REASON_GUEST_ERROR:
		return "guest-error";
	case CASEMATE__VMM__V1__END_REASON__END_REASON_STOPPED:
		return "stopped";
	default: /* proto3 enums are open: any number may come */
		return "host-error";
	}
}

static void on_vm_ended(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	struct sandbox *s = arg;

	(void)fds;
	if (st->code != RPC_OK || !sandbox_lives(s))
		return;
	const Casemate__Vmm__V1__WaitResponse *w = (const Casemate__Vmm__V1__WaitResponse *)out;
	sandbox_keep_tail(s, w->console_tail.data, w->console_tail.len);
	sandbox_exit(s, end_reason(w->reason), w->detail);
}

static void on_end_unexplained(void *arg)
{
	struct sandbox *s = arg;

	s->end_timer = NULL;
	sandbox_exit(s, "vmm-lost", "the VMM closed its control socket");
}

static void on_vmm_closed(struct rpc_conn *c, int reason, void *arg)
{
	struct sandbox *s = arg;

	(void)reason;
	rpc_conn_free(c);
	s->vmm = NULL;
	if (!sandbox_lives(s))
		return;
	if (s->end_timer == NULL && loop_timer_add(s->table->cfg.loop, BOOT_END_WAIT_MS,
						   on_end_unexplained, s, &s->end_timer) < 0)
		on_end_unexplained(s);
}

/* Starts a VMM call of the chain; a failure to start it ends the sandbox. */
void boot_vmm_call(struct sandbox *s, enum vmm_method m, const ProtobufCMessage *in, const int *fds,
		   uint64_t timeout_ms, const struct rpc_pending_ops *ops)
{
	struct rpc_pending *p;
	int r = -EPIPE;

	if (s->vmm != NULL)
		r = rpc_start(s->vmm, &vmm_methods[m], in, fds, timeout_ms, ops, s, &p);
	if (r < 0)
		sandbox_fail(s, 500, "internal", "VMM %s: %s", vmm_methods[m].name, strerror(-r));
}

/* An answer to a VMM call of the chain: true when the chain may go on. */
static bool vmm_ok(struct sandbox *s, enum vmm_method m, const struct rpc_status *st)
{
	if (!booting(s))
		return false;
	if (st->code == RPC_OK)
		return true;
	/* The VMM died in the middle of it: its exit status says more than a lost connection. */
	if (st->code == RPC_UNAVAILABLE || st->code == RPC_CANCELLED)
		return false;
	sandbox_fail(s, http_status_of(st->code), "vm_failed", "VMM %s: %s", vmm_methods[m].name,
		     st->msg);
	return false;
}

static void on_configured(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			  void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	if (!vmm_ok(s, VMM_CONFIGURE, st))
		return;
	s->time_ns[SANDBOX_T_CONFIGURED] = now_ns();
	if (s->kind == SANDBOX_KIND_SPARE)
		sandbox_event(s, SANDBOX_EV_READY);
	else if (sandbox_boots(s))
		boot_listen(s);
	else
		boot_restored(s);
}

static Casemate__Vmm__V1__HugePages huge_pages_of(enum spec_pages pages)
{
	switch (pages) {
	case SPEC_PAGES_TRANSPARENT:
		return CASEMATE__VMM__V1__HUGE_PAGES__HUGE_PAGES_TRANSPARENT;
	case SPEC_PAGES_HUGETLB:
		return CASEMATE__VMM__V1__HUGE_PAGES__HUGE_PAGES_HUGETLB;
	case SPEC_PAGES_NONE:
	case SPEC_PAGES_COUNT:
		break;
	}
	return CASEMATE__VMM__V1__HUGE_PAGES__HUGE_PAGES_NONE;
}

/* A template knows what its clones will write. */
static void put_working_set(const struct sandbox *s, Casemate__Vmm__V1__ConfigureRequest *req)
{
	const struct pool_template *t = NULL;

	if (s->path == SANDBOX_PATH_RESTORE && s->kind != SANDBOX_KIND_SCOUT)
		t = pool_template(s->table->pool, &s->spec);
	if (t == NULL)
		return;
	req->working_set = (uint32_t *)(uintptr_t)t->working_set.pairs;
	req->n_working_set = t->working_set.count;
}

static void boot_configure(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_configured };
	Casemate__Vmm__V1__ConfigureRequest req = CASEMATE__VMM__V1__CONFIGURE_REQUEST__INIT;
	Casemate__Vmm__V1__Drive root = CASEMATE__VMM__V1__DRIVE__INIT;
	Casemate__Vmm__V1__Drive scratch = CASEMATE__VMM__V1__DRIVE__INIT;
	Casemate__Vmm__V1__Drive *drives[] = { &root, &scratch };
	Casemate__Vmm__V1__Balloon balloon = CASEMATE__VMM__V1__BALLOON__INIT;
	Casemate__Vmm__V1__Nic nic = CASEMATE__VMM__V1__NIC__INIT;
	Casemate__Vmm__V1__Nic *nics[] = { &nic };
	static uint8_t mac[] = GUEST_NET_MAC;
	struct cpu_template_message cpu;
	char cmdline[] = BOOT_CMDLINE, cmdline_pmem[] = BOOT_CMDLINE " root=/dev/pmem0";
	char root_id[] = "root", scratch_id[] = "scratch";

	root.id = root_id;
	root.read_only = true;
	root.pmem = s->spec.root == SPEC_ROOT_PMEM;
	scratch.id = scratch_id;
	req.id = s->id;
	req.vcpus = s->spec.vcpus;
	req.memory_bytes = s->spec.memory_bytes;
	req.restore = !sandbox_boots(s);
	if (!req.restore) {
		req.cmdline = root.pmem ? cmdline_pmem : cmdline;
		req.initrd = s->initrd;
	}
	req.drives = drives;
	req.n_drives = s->spec.scratch_bytes > 0 ? 2 : 1;
	nic.mac = (ProtobufCBinaryData){ .len = sizeof(mac), .data = mac };
	req.nics = nics;
	req.n_nics = s->spec.nic ? 1 : 0;
	req.guest_cid = BOOT_GUEST_CID;
	/* For forks. On small pages it costs nothing until one is made; it would keep KVM from
	 * using large ones. */
	req.track_dirty = s->spec.huge_pages == SPEC_PAGES_NONE;
	req.rng = true;
	req.console = true;
	/* A sandbox costs the host what it uses now, not what it has ever used. */
	balloon.free_page_reporting = true;
	balloon.deflate_on_oom = true;
	balloon.statistics = true;
	req.balloon = &balloon;
	req.huge_pages = huge_pages_of(s->spec.huge_pages);
	put_working_set(s, &req);
	if (s->spec.cpu != NULL) {
		cpu_template_encode(s->spec.cpu, &cpu);
		req.cpu = &cpu.msg;
	}
	boot_vmm_call(s, VMM_CONFIGURE, &req.base, NULL, BOOT_CALL_MS, &ops);
}

static void on_listening(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			 void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	if (vmm_ok(s, VMM_LISTEN, st))
		boot_start(s);
}

static void boot_listen(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_listening };
	Casemate__Vmm__V1__ListenRequest req = CASEMATE__VMM__V1__LISTEN_REQUEST__INIT;
	CLEANUP(fd_closep) int theirs = -1;
	int sv[2], r = fd_socketpair(sv, true);

	if (r < 0) {
		sandbox_fail(s, 500, "internal", "socketpair: %s", strerror(-r));
		return;
	}
	s->agent_fd = sv[0];
	theirs = sv[1];
	req.port = AGENT_PORT;
	boot_vmm_call(s, VMM_LISTEN, &req.base, &theirs, BOOT_CALL_MS, &ops);
}

void boot_watch_vm(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_vm_ended };
	Casemate__Vmm__V1__WaitRequest req = CASEMATE__VMM__V1__WAIT_REQUEST__INIT;

	boot_vmm_call(s, VMM_WAIT, &req.base, NULL, 0, &ops);
}

static void on_started(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	if (!vmm_ok(s, VMM_START, st))
		return;
	s->time_ns[SANDBOX_T_STARTED] = now_ns();
	boot_watch_vm(s);
	if (booting(s) && sandbox_boots(s))
		boot_identify(s);
}

static void boot_start(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_started };
	Casemate__Vmm__V1__StartRequest req = CASEMATE__VMM__V1__START_REQUEST__INIT;

	boot_vmm_call(s, VMM_START, &req.base, NULL, BOOT_CALL_MS, &ops);
}

static void boot_connect(struct sandbox *s);

static void on_connect_again(void *arg)
{
	struct sandbox *s = arg;

	s->rest_timer = NULL;
	if (!booting(s) || s->vmm == NULL)
		return;
	rpc_conn_free(s->agent);
	s->agent = NULL;
	fd_closep(&s->agent_fd);
	boot_connect(s);
}

static void on_connected(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			 void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	/* The VMM gives the guest a moment to accept, and a busy host may take longer to let it.
	 * Nothing was delivered, so all of it is done again, until the deadline. Not at once: a VMM
	 * that is gone looks the same, and by then it is known to be. */
	if (booting(s) && st->code == RPC_UNAVAILABLE) {
		if (s->rest_timer == NULL &&
		    loop_timer_add(s->table->cfg.loop, BOOT_CONNECT_AGAIN_MS, on_connect_again, s,
				   &s->rest_timer) < 0)
			sandbox_fail(s, 500, "internal", "out of memory");
		return;
	}
	(void)vmm_ok(s, VMM_CONNECT, st); /* Identify is on its way already */
}

/* Nothing is waited for: what is sent early lies in the socket until its reader has come. */
static void boot_connect(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_connected };
	Casemate__Vmm__V1__ConnectRequest req = CASEMATE__VMM__V1__CONNECT_REQUEST__INIT;
	CLEANUP(fd_closep) int theirs = -1;
	int sv[2], r = fd_socketpair(sv, true);

	if (r < 0) {
		sandbox_fail(s, 500, "internal", "socketpair: %s", strerror(-r));
		return;
	}
	s->agent_fd = sv[0];
	theirs = sv[1];
	req.port = AGENT_PORT;
	boot_vmm_call(s, VMM_CONNECT, &req.base, &theirs, BOOT_CALL_MS, &ops);
	if (booting(s))
		boot_identify(s);
}

/* From a template: the agent is there and takes connections. */
static void boot_restored(struct sandbox *s)
{
	boot_start(s);
	if (booting(s))
		boot_connect(s);
}

void boot_claimed(struct sandbox *s)
{
	s->time_ns[SANDBOX_T_BEGIN] = now_ns();
	s->time_ns[SANDBOX_T_JAILED] = s->time_ns[SANDBOX_T_CONFIGURED] =
		s->time_ns[SANDBOX_T_BEGIN];
	if (loop_timer_add(s->table->cfg.loop, s->table->cfg.boot_timeout_ms, on_boot_deadline, s,
			   &s->boot_timer) < 0)
		sandbox_fail(s, 500, "internal", "out of memory");
	else
		boot_restored(s);
	if (booting(s))
		network_begin(s);
}

/* ---- Begin, and the deadline --------------------------------------------------------------- */

static void too_slow(struct sandbox *s)
{
	sandbox_fail(s, 504, "boot_timeout", "guest: did not come up within %" PRIu64 " ms",
		     s->table->cfg.boot_timeout_ms);
}

static void on_last_words(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			  void *arg)
{
	struct sandbox *s = arg;

	(void)fds;
	if (!booting(s))
		return;
	if (st->code == RPC_OK) {
		const Casemate__Vmm__V1__ReadConsoleResponse *c =
			(const Casemate__Vmm__V1__ReadConsoleResponse *)out;
		sandbox_keep_tail(s, c->data.data, c->data.len);
	}
	too_slow(s);
}

static void on_boot_deadline(void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_last_words };
	struct sandbox *s = arg;
	Casemate__Vmm__V1__ReadConsoleRequest req = CASEMATE__VMM__V1__READ_CONSOLE_REQUEST__INIT;

	s->boot_timer = NULL;
	if (s->vmm == NULL || s->time_ns[SANDBOX_T_CONFIGURED] == 0) {
		too_slow(s);
		return;
	}
	boot_vmm_call(s, VMM_READ_CONSOLE, &req.base, NULL, BOOT_TAIL_MS, &ops);
}

/* State and memory that it goes on from, with what the jailer wants to know of them and of the
 * image that they belong to; NULL: it boots. */
static const int *begin_from(struct sandbox *s, Casemate__Jailer__V1__RestoreRequest *restore)
{
	const struct pool_template *t;

	if (s->path == SANDBOX_PATH_REBOOT)
		return NULL;
	if (s->path == SANDBOX_PATH_DISK) {
		restore->disk_id = s->id;
		restore->seal.data = (uint8_t *)(uintptr_t)s->disk_seal;
		restore->seal.len = s->disk_seal_len;
		return s->template_fds;
	}
	if (s->path == SANDBOX_PATH_SNAPSHOT) {
		restore->disk_snapshot = (char *)(uintptr_t)snapshot_id(s->snapshot);
		return snapshot_files(s->snapshot, &restore->seal);
	}
	if (s->origin != NULL) {
		s->path = SANDBOX_PATH_FORK;
		memcpy(s->image_id, origin_image_id(s->origin), sizeof(s->image_id));
		restore->unsealed = true;      /* ours from the beginning */
		if (s->spec.scratch_bytes > 0) /* fork.c has it paused */
			restore->disk_jail = (char *)(uintptr_t)origin_parent(s->origin);
		return origin_fds(s->origin);
	}
	if (s->table->pool == NULL || s->kind == SANDBOX_KIND_MOULD)
		return NULL;
	t = pool_template(s->table->pool, &s->spec);
	if (t == NULL)
		return NULL;
	s->path = SANDBOX_PATH_RESTORE;
	memcpy(s->image_id, t->image_id, sizeof(s->image_id));
	restore->seal.data = (uint8_t *)(uintptr_t)t->seal;
	restore->seal.len = t->seal_len;
	return t->fds;
}

static enum jailer_method method_of(const struct sandbox *s, const int *files)
{
	if (files == NULL)
		return JAILER_CREATE;
	return s->path == SANDBOX_PATH_FORK ? JAILER_RESTORE_SPLIT : JAILER_RESTORE;
}

int boot_begin(struct sandbox *s, struct rpc_conn *jailer)
{
	static const struct rpc_pending_ops ops = { .done = on_created };
	Casemate__Jailer__V1__CreateRequest req = CASEMATE__JAILER__V1__CREATE_REQUEST__INIT;
	Casemate__Jailer__V1__RestoreRequest restore = CASEMATE__JAILER__V1__RESTORE_REQUEST__INIT;
	const int *files = begin_from(s, &restore);
	int r = loop_timer_add(s->table->cfg.loop, s->table->cfg.boot_timeout_ms, on_boot_deadline,
			       s, &s->boot_timer);

	if (r < 0)
		return r;
	req.id = s->id;
	req.kernel = s->spec.kernel;
	req.image = s->spec.digest[0] != '\0' ? s->spec.digest : s->spec.image;
	req.vcpus = s->spec.vcpus;
	req.memory_bytes = s->spec.memory_bytes;
	req.scratch_bytes = s->spec.scratch_bytes;
	req.cpuset_cpus = s->spec.cpuset_cpus;
	req.cpuset_mems = s->spec.cpuset_mems;
	req.map_image = s->spec.root == SPEC_ROOT_PMEM;
	req.nic_queues = s->spec.nic ? 1 : 0;
	s->time_ns[SANDBOX_T_BEGIN] = now_ns();
	req.snapshot = s->kind == SANDBOX_KIND_MOULD || s->kind == SANDBOX_KIND_SCOUT;
	if (s->path == SANDBOX_PATH_REBOOT)
		req.disk_id = s->id;
	if (files != NULL || s->path == SANDBOX_PATH_REBOOT) {
		/* What was written over one image means nothing over another. */
		req.image_id.data = s->image_id;
		req.image_id.len = sizeof(s->image_id);
	}
	if (files != NULL) {
		restore.create = &req;
		req.kernel = (char *)(uintptr_t) "";
	}
	r = rpc_start(jailer, &jailer_methods[method_of(s, files)],
		      files != NULL ? &restore.base : &req.base, files, 0, &ops, s,
		      &s->create_call);
	if (r == 0)
		s->jailed = true;
	return r;
}
