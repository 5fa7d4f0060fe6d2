/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_handover.c - a VM whose control connection goes, and gets another one over VMM_FD_HANDOVER.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/fd.h"
#include "tests/native/harness.h"

#define STOPPED	       CASEMATE__VMM__V1__END_REASON__END_REASON_STOPPED
#define STILL_US       200000
#define STOPPED_STATUS 14

struct stage {
	struct vmm vmm;
	int handover; /* the jailer's end */
};

static void spawn(struct stage *s, bool with)
{
	struct vmm_files f = { .kernel = -1, .initrd = -1 };
	int sv[2];

	need_kvm();
	f.kernel = open_guest();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	f.handover = with ? sv[1] : 0;
	s->handover = sv[0];
	vmm_spawn(&s->vmm, &f);
	fd_closep(&sv[1]);
	fd_closep(&f.kernel);
}

static void run(struct stage *s, bool with)
{
	configure_req q = vmm_request("test=spin");
	const Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;

	spawn(s, with);
	vmm_must(&s->vmm, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_must(&s->vmm, VMM_START, &start, NULL, NULL);
}

static void on_closed(struct rpc_conn *conn, int reason, void *arg)
{
	struct vmm *v = arg;

	(void)reason;
	rpc_conn_free(conn);
	v->conn = NULL;
}

/* The test's end of the new connection. */
static int hand_over(struct stage *s)
{
	int sv[2];

	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(fd_send(s->handover, "c", 1, &sv[1], 1), 1);
	fd_closep(&sv[1]);
	return sv[0];
}

static void connect_again(struct stage *s)
{
	const struct rpc_conn_config cfg = { .closed = on_closed, .arg = &s->vmm };

	cr_assert_eq(rpc_conn_new(s->vmm.loop, hand_over(s), &cfg, &s->vmm.conn), 0);
}

static void hang_up(struct stage *s)
{
	rpc_conn_free(s->vmm.conn);
	s->vmm.conn = NULL;
}

static uint64_t exits(struct stage *s)
{
	const Casemate__Vmm__V1__GetMetricsRequest q = CASEMATE__VMM__V1__GET_METRICS_REQUEST__INIT;
	Casemate__Vmm__V1__GetMetricsResponse *m;
	ProtobufCMessage *out = NULL;
	uint64_t sum = 0;

	vmm_must(&s->vmm, VMM_GET_METRICS, &q, NULL, &out);
	m = (Casemate__Vmm__V1__GetMetricsResponse *)out;
	for (size_t i = 0; i < m->n_metrics; i++)
		sum += m->metrics[i]->value;
	casemate__vmm__v1__get_metrics_response__free_unpacked(m, NULL);
	return sum;
}

static void stop(struct stage *s)
{
	const Casemate__Vmm__V1__StopRequest q = CASEMATE__VMM__V1__STOP_REQUEST__INIT;
	wait_resp *w;

	vmm_must(&s->vmm, VMM_STOP, &q, NULL, NULL);
	w = vmm_wait(&s->vmm);
	cr_expect_eq(w->reason, STOPPED, "%s", w->detail);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(&s->vmm), STOPPED_STATUS);
	vmm_done(&s->vmm);
	fd_closep(&s->handover);
}

static void expect_ends(struct stage *s)
{
	cr_expect_eq(vmm_reap(&s->vmm), STOPPED_STATUS);
	vmm_done(&s->vmm);
	fd_closep(&s->handover);
}

/* As often as it likes; each has all methods, and none knows of the calls of the one before. */
Test(vmm_handover, another_peer, .timeout = 60)
{
	const Casemate__Vmm__V1__PauseRequest pause_q = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	const Casemate__Vmm__V1__ResumeRequest resume_q = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	struct stage s;

	run(&s, true);
	for (int i = 0; i < 20; i++) {
		hang_up(&s);
		connect_again(&s);
		(void)exits(&s);
		if (i % 2 == 0)
			vmm_must(&s.vmm, VMM_PAUSE, &pause_q, NULL, NULL);
		else
			vmm_must(&s.vmm, VMM_RESUME, &resume_q, NULL, NULL);
	}
	stop(&s);
}

/* It isn't the connection that keeps it: nobody there, and it runs. */
Test(vmm_handover, runs_without, .timeout = 60)
{
	struct stage s;
	int status;

	run(&s, true);
	hang_up(&s);
	(void)usleep(STILL_US);
	cr_assert_eq(waitpid(s.vmm.pid, &status, WNOHANG), 0, "it has ended");
	connect_again(&s);
	stop(&s);
}

/* The newest counts, and the one before is over, calls and all. */
Test(vmm_handover, replaces, .timeout = 60)
{
	struct stage s;
	struct rpc_conn *newer;

	run(&s, true);
	(void)exits(&s);
	connect_again(&s);
	newer = s.vmm.conn;
	(void)exits(&s);
	cr_assert_null(s.vmm.conn, "the one before is still open"); /* the harness saw its end */
	s.vmm.conn = newer;
	stop(&s);
}

/* What comes beside the socket is no connection, and a VM without one ends. */
Test(vmm_handover, malformed, .timeout = 60)
{
	struct stage s;

	run(&s, true);
	cr_assert_eq(fd_send(s.handover, "c", 1, NULL, 0), 1);
	expect_ends(&s);
}

Test(vmm_handover, none_any_more, .timeout = 60)
{
	struct stage s;

	run(&s, true);
	hang_up(&s);
	fd_closep(&s.handover);
	expect_ends(&s);
}

/* As long as it has its connection it needs no other. */
Test(vmm_handover, none_needed, .timeout = 60)
{
	struct stage s;

	run(&s, true);
	fd_closep(&s.handover);
	(void)exits(&s);
	hang_up(&s);
	expect_ends(&s);
}

/* One that hasn't run ends with its connection, as does any that was started without a handover. */
Test(vmm_handover, not_yet_or_never, .timeout = 60)
{
	configure_req q = vmm_request("test=spin");
	struct stage s;

	spawn(&s, true);
	vmm_must(&s.vmm, VMM_CONFIGURE, &q, NULL, NULL);
	hang_up(&s);
	expect_ends(&s);
	spawn(&s, true);
	hang_up(&s);
	expect_ends(&s);
	run(&s, false);
	hang_up(&s);
	expect_ends(&s);
}
