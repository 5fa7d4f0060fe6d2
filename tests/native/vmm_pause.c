/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_pause.c - pause and resume, idle and in the middle of traffic; and what GetMetrics counts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/native/harness.h"

#define POWER_OFF CASEMATE__VMM__V1__END_REASON__END_REASON_POWER_OFF

#define DISK_BYTES  (256 * KIB)
#define CYCLES	    1000
#define STILL_US    30000 /* how long a paused VM is watched */
#define GROWTH_MS   10000
#define STREAM_STEP 8192U

typedef Casemate__Vmm__V1__GetMetricsResponse metrics_resp;

static metrics_resp *metrics(struct vmm *v)
{
	const Casemate__Vmm__V1__GetMetricsRequest q = CASEMATE__VMM__V1__GET_METRICS_REQUEST__INIT;
	ProtobufCMessage *out = NULL;

	vmm_must(v, VMM_GET_METRICS, &q, NULL, &out);
	return (metrics_resp *)out;
}

static uint64_t value(const metrics_resp *m, const char *name)
{
	for (size_t i = 0; i < m->n_metrics; i++)
		if (strcmp(m->metrics[i]->name, name) == 0)
			return m->metrics[i]->value;
	cr_assert_fail("there is no metric %s", name);
	return 0;
}

static void done(metrics_resp *m)
{
	casemate__vmm__v1__get_metrics_response__free_unpacked(m, NULL);
}

/* Nothing at all is counted while the VM is paused: no exit, no kick, no interrupt. */
static void expect_still(struct vmm *v)
{
	metrics_resp *a = metrics(v), *b;

	(void)usleep(STILL_US);
	b = metrics(v);
	cr_assert_eq(a->n_metrics, b->n_metrics);
	for (size_t i = 0; i < a->n_metrics; i++)
		cr_expect_eq(a->metrics[i]->value, b->metrics[i]->value,
			     "%s went from %" PRIu64 " to %" PRIu64, a->metrics[i]->name,
			     a->metrics[i]->value, b->metrics[i]->value);
	done(a);
	done(b);
}

static void expect_end(struct vmm *v, const char *text)
{
	wait_resp *w = vmm_wait(v);

	cr_expect_eq(w->reason, POWER_OFF, "%s", w->detail);
	cr_expect(memmem(w->console_tail.data, w->console_tail.len, text, strlen(text)) != NULL,
		  "console: %.*s", (int)w->console_tail.len, (const char *)w->console_tail.data);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(v), 0);
	vmm_done(v);
}

static struct vmm_files guest_files(void)
{
	struct vmm_files f = { .kernel = -1, .initrd = -1 };

	need_kvm();
	f.kernel = open_guest();
	return f;
}

static void start(struct vmm *v, const struct vmm_files *f, const configure_req *q)
{
	vmm_spawn(v, f);
	vmm_must(v, VMM_CONFIGURE, q, NULL, NULL);
	vmm_do(v, VMM_START);
}

/* ---- States ------------------------------------------------------------------------------ */

static void expect_refused(struct vmm *v, unsigned method)
{
	const ProtobufCMessage q = vmm_empty(method);
	struct rpc_status st;

	cr_expect_eq(vmm_call(v, method, &q, NULL, &st, NULL), RPC_FAILED_PRECONDITION, "%s: %s",
		     vmm_methods[method].name, st.msg);
}

Test(vmm_pause, legal_only_where_the_table_says)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=spin");
	struct vmm v;

	vmm_spawn(&v, &f);
	expect_refused(&v, VMM_PAUSE);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	expect_refused(&v, VMM_PAUSE);
	expect_refused(&v, VMM_RESUME);
	vmm_do(&v, VMM_START);
	expect_refused(&v, VMM_RESUME);
	vmm_do(&v, VMM_PAUSE);
	expect_refused(&v, VMM_PAUSE);
	vmm_do(&v, VMM_RESUME);
	vmm_do(&v, VMM_PAUSE);
	vmm_done(&v);
}

/* A paused VM can be stopped, and says so. */
Test(vmm_pause, stop_while_paused)
{
	const Casemate__Vmm__V1__StopRequest stop = CASEMATE__VMM__V1__STOP_REQUEST__INIT;
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=spin");
	struct vmm v;
	wait_resp *w;

	q.vcpus = 2;
	start(&v, &f, &q);
	vmm_do(&v, VMM_PAUSE);
	vmm_must(&v, VMM_STOP, &stop, NULL, NULL);
	w = vmm_wait(&v);
	cr_expect_eq(w->reason, CASEMATE__VMM__V1__END_REASON__END_REASON_STOPPED);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(&v), 14);
	vmm_done(&v);
}

/* ---- Rest -------------------------------------------------------------------------------- */

/* Until the counter is above `above`. */
static void wait_for_growth(struct vmm *v, const char *name, uint64_t above)
{
	uint64_t end = now_ms() + GROWTH_MS, now;
	metrics_resp *m;

	do {
		m = metrics(v);
		now = value(m, name);
		done(m);
		cr_assert(now_ms() < end, "%s stays at %" PRIu64, name, now);
	} while (now <= above);
}

/* The positive control is the counting before and after. */
static void pause_and_watch(const char *cmdline, unsigned vcpus)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request(cmdline);
	metrics_resp *m;
	struct vmm v;

	q.vcpus = vcpus;
	start(&v, &f, &q);
	vmm_console_until(&v, "tick\n");
	vmm_do(&v, VMM_PAUSE);
	expect_still(&v);
	m = metrics(&v);
	cr_expect_eq(value(m, "vm.pauses"), 1);
	vmm_do(&v, VMM_RESUME);
	wait_for_growth(&v, "console.kicks", value(m, "console.kicks"));
	wait_for_growth(&v, "vcpu.exit.mmio", value(m, "vcpu.exit.mmio"));
	done(m);
	vmm_done(&v);
}

Test(vmm_pause, nothing_moves)
{
	pause_and_watch("test=tick", 1);
}

Test(vmm_pause, nothing_moves_with_32_processors)
{
	pause_and_watch("test=tick", 32);
}

/* ---- In the middle of traffic ------------------------------------------------------------ */

Test(vmm_pause, a_thousand_times_during_block_traffic, .timeout = 60)
{
	static char id[] = "d";
	Casemate__Vmm__V1__Drive drive = CASEMATE__VMM__V1__DRIVE__INIT, *drives[1] = { &drive };
	configure_req q = vmm_request("test=blk-loop");
	struct vmm_files f = guest_files();
	metrics_resp *m;
	struct vmm v;

	f.drives[0] = (struct drive_file){ .fd = make_file("x", 1) };
	cr_assert_eq(ftruncate(f.drives[0].fd, (off_t)DISK_BYTES), 0);
	f.drives_count = 1;
	drive.id = id;
	q.drives = drives;
	q.n_drives = 1;
	start(&v, &f, &q);
	vmm_console_until(&v, "looping\n");
	for (unsigned i = 0; i < CYCLES; i++) {
		vmm_do(&v, VMM_PAUSE);
		if (i % 250 != 0) {
			vmm_do(&v, VMM_RESUME);
			continue;
		}
		expect_still(&v);
		m = metrics(&v);
		vmm_do(&v, VMM_RESUME);
		wait_for_growth(&v, "drive0.kicks", value(m, "drive0.kicks"));
		done(m);
	}
	/* The sign to end. */
	cr_assert_eq(pwrite(f.drives[0].fd, "stop", 4, (off_t)(DISK_BYTES - 512)), 4);
	expect_end(&v, "ok blk-loop\n");
}

/* As by a debugger or a shell: whatever a thread waits in, it goes on, and its filter lets it. */
static void stop_and_continue(const struct vmm *v)
{
	int status = 0;

	cr_assert_eq(kill(v->pid, SIGSTOP), 0);
	cr_assert_eq(waitpid(v->pid, &status, WUNTRACED), v->pid);
	cr_assert(WIFSTOPPED(status), "status %#x", (unsigned)status);
	cr_assert_eq(kill(v->pid, SIGCONT), 0);
}

Test(vmm_pause, stopped_and_continued, .timeout = 60)
{
	static char id[] = "d";
	Casemate__Vmm__V1__Drive drive = CASEMATE__VMM__V1__DRIVE__INIT, *drives[1] = { &drive };
	configure_req q = vmm_request("test=blk-loop");
	struct vmm_files f = guest_files();
	struct vmm v;

	f.drives[0] = (struct drive_file){ .fd = make_file("x", 1) };
	cr_assert_eq(ftruncate(f.drives[0].fd, (off_t)DISK_BYTES), 0);
	f.drives_count = 1;
	drive.id = id;
	q.drives = drives;
	q.n_drives = 1;
	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	stop_and_continue(&v);
	vmm_do(&v, VMM_START);
	vmm_console_until(&v, "looping\n");
	for (unsigned i = 0; i < 20; i++) {
		stop_and_continue(&v);
		vmm_do(&v, VMM_PAUSE);
		stop_and_continue(&v);
		vmm_do(&v, VMM_RESUME);
	}
	cr_assert_eq(pwrite(f.drives[0].fd, "stop", 4, (off_t)(DISK_BYTES - 512)), 4);
	expect_end(&v, "ok blk-loop\n");
}

/* An echo that is paused after every few KiB loses and changes nothing. */
Test(vmm_pause, during_vsock_traffic, .timeout = 60)
{
	Casemate__Vmm__V1__ListenRequest listen_q = CASEMATE__VMM__V1__LISTEN_REQUEST__INIT;
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=vsock mode=connect");
	static uint8_t out[STREAM_STEP], in[STREAM_STEP];
	struct vmm v;
	int sv[2];

	q.guest_cid = 5;
	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	listen_q.port = 1024;
	vmm_must(&v, VMM_LISTEN, &listen_q, &sv[1], NULL);
	(void)close(sv[1]);
	vmm_do(&v, VMM_START);
	for (unsigned i = 0; i < 200; i++) {
		memset(out, (int)i + 1, sizeof(out));
		cr_assert_eq(fd_write_full(sv[0], out, sizeof(out)), 0);
		vmm_do(&v, VMM_PAUSE);
		if (i % 50 == 0)
			expect_still(&v);
		vmm_do(&v, VMM_RESUME);
		cr_assert_eq(fd_read_full(sv[0], in, sizeof(in)), 0);
		cr_assert_eq(memcmp(in, out, sizeof(in)), 0, "step %u differs", i);
	}
	cr_assert_eq(shutdown(sv[0], SHUT_WR), 0);
	expect_end(&v, "ok vsock\n");
}

/* ---- Metrics ----------------------------------------------------------------------------- */

Test(vmm_metrics, count_what_the_guest_did)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=rng");
	metrics_resp *m;
	struct vmm v;

	q.rng = true;
	start(&v, &f, &q);
	vmm_console_until(&v, "ok rng\n");
	m = metrics(&v);
	cr_expect_eq(value(m, "vm.vcpus"), 1);
	cr_expect_eq(value(m, "vm.memory_bytes"), 64 * MIB);
	cr_expect_gt(value(m, "vcpu.exit.mmio"), 10);
	cr_expect_gt(value(m, "ioapic.writes"), 0);
	cr_expect_gt(value(m, "rng.kicks"), 0);
	cr_expect_gt(value(m, "rng.interrupts"), 0);
	cr_expect_gt(value(m, "console.kicks"), 0);
	cr_expect_eq(value(m, "console.errors"), 0);
	cr_expect_eq(value(m, "log.dropped"), 0);
	done(m);
	vmm_done(&v);
}
