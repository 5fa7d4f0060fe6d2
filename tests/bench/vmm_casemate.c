/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ours: the real casemate-vmm, filters on, through its control protocol. The jail around it is not
 * part of this comparison, because the peers have none; cold_start has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <vmm.pb-c.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/vmm_host.h"
#include "tests/bench/vmm_machine.h"
#include "tests/bench/vmm_rows.h"
#include "tests/native/spawn.h"

#define CALL_MS	    30000U
#define POLL_US	    10000U
#define GUEST_CID   5U
#define STREAM_PORT 1024U

const char *vmm_program;

struct casemate {
	struct loop *loop;
	struct rpc_conn *conn; /* NULL once closed */
	uint64_t console_at;
};

static void on_closed(struct rpc_conn *conn, int reason, void *arg)
{
	struct casemate *c = arg;

	(void)reason;
	rpc_conn_free(conn);
	c->conn = NULL;
}

/* NULL: the VMM is gone, or said no (which ends the benchmark when `must`). */
static ProtobufCMessage *call(struct casemate *c, unsigned method, const void *in, const int *fd,
			      bool must)
{
	struct rpc_status st = { 0 };
	ProtobufCMessage *out = NULL;
	int r = -EPIPE;

	if (c->conn != NULL)
		r = rpc_call_wait(c->loop, c->conn, &vmm_methods[method], in, fd, CALL_MS, &st,
				  &out, NULL);
	if (r == 0 && st.code == RPC_OK)
		return out;
	if (must)
		bench_die("casemate-vmm: %s: %s", vmm_methods[method].name,
			  r < 0 ? strerror(-r) : st.msg);
	return NULL;
}

static void configure(struct casemate *c, const struct machine *m)
{
	Casemate__Vmm__V1__ConfigureRequest q = CASEMATE__VMM__V1__CONFIGURE_REQUEST__INIT;
	Casemate__Vmm__V1__Drive drive = CASEMATE__VMM__V1__DRIVE__INIT, *drives[] = { &drive };
	Casemate__Vmm__V1__Nic nic = CASEMATE__VMM__V1__NIC__INIT, *nics[] = { &nic };

	q.id = (char *)(uintptr_t) "bench";
	q.vcpus = m->vcpus;
	q.initrd = m->initrd != NULL;
	q.memory_bytes = m->memory_mib * MIB;
	q.cmdline = (char *)(uintptr_t)m->cmdline;
	q.console = true;
	q.rng = true;
	q.drives = drives;
	q.n_drives = m->drive != NULL ? 1 : 0;
	q.guest_cid = m->stream ? GUEST_CID : 0;
	if (m->tap >= 0) {
		nic.mac = (ProtobufCBinaryData){ .data = (uint8_t *)(uintptr_t)m->mac, .len = 6 };
		q.nics = nics;
		q.n_nics = 1;
	}
	protobuf_c_message_free_unpacked(call(c, VMM_CONFIGURE, &q, NULL, true), NULL);
}

/* Lends the guest our end of a stream. */
static void lend_stream(struct instance *in)
{
	Casemate__Vmm__V1__ListenRequest q = CASEMATE__VMM__V1__LISTEN_REQUEST__INIT;
	int sv[2];

	if (fd_socketpair(sv, false) < 0)
		bench_die("socketpair");
	q.port = STREAM_PORT;
	in->host = host_stream(sv[0], false);
	protobuf_c_message_free_unpacked(call(in->own, VMM_LISTEN, &q, &sv[1], true), NULL);
	fd_closep(&sv[1]);
}

static void casemate_start(struct instance *in, const struct machine *m)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	struct vmm_files files = { .kernel = open(m->kernel, O_RDONLY | O_CLOEXEC), .initrd = -1 };
	struct casemate *c = calloc(1, sizeof(*c));
	const struct rpc_conn_config cfg = { .closed = on_closed, .arg = c };
	int control = -1;

	files.log = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (c == NULL || files.kernel < 0 || files.log < 0)
		bench_die("%s: %s", m->kernel, strerror(errno));
	if (m->drive != NULL) {
		files.drives[0].fd = open(m->drive, O_RDWR | O_CLOEXEC);
		if (files.drives[0].fd < 0)
			bench_die("%s: %s", m->drive, strerror(errno));
		files.drives_count = 1;
	}
	if (m->initrd != NULL) {
		files.initrd = open(m->initrd, O_RDONLY | O_CLOEXEC);
		if (files.initrd < 0)
			bench_die("%s: %s", m->initrd, strerror(errno));
	}
	if (m->tap >= 0) {
		files.taps[0] = m->tap;
		files.taps_count = 1;
	}
	in->own = c;
	in->begun_ns = clock_ns(CLOCK_REALTIME);
	in->pid = vmm_fork(vmm_program, &files, &control);
	if (in->pid < 0 || loop_new(&c->loop) < 0 ||
	    rpc_conn_new(c->loop, control, &cfg, &c->conn) < 0)
		bench_die("%s: can't be started", vmm_program);
	configure(c, m);
	if (m->stream)
		lend_stream(in);
	protobuf_c_message_free_unpacked(call(c, VMM_START, &start, NULL, true), NULL);
	fd_closep(&files.kernel);
	fd_closep(&files.log);
	fd_closep(&files.initrd);
	if (m->drive != NULL)
		fd_closep(&files.drives[0].fd);
}

static bool casemate_read(struct instance *in)
{
	Casemate__Vmm__V1__ReadConsoleRequest q = CASEMATE__VMM__V1__READ_CONSOLE_REQUEST__INIT;
	struct casemate *c = in->own;
	Casemate__Vmm__V1__ReadConsoleResponse *out;

	(void)usleep(POLL_US);
	q.from = c->console_at;
	out = (Casemate__Vmm__V1__ReadConsoleResponse *)call(c, VMM_READ_CONSOLE, &q, NULL, false);
	if (out == NULL)
		return false;
	if (out->from != c->console_at)
		bench_die("the guest wrote faster than its console was read");
	instance_append(in, (const char *)out->data.data, out->data.len);
	c->console_at = out->from + out->data.len;
	protobuf_c_message_free_unpacked(&out->base, NULL);
	return true;
}

static void casemate_stop(struct instance *in)
{
	struct casemate *c = in->own;

	process_kill(in);
	rpc_conn_free(c->conn);
	loop_free(c->loop);
	free(c);
}

const struct vmm_type vmm_casemate = { "casemate", ~0U, casemate_start, casemate_read,
				       casemate_stop };
