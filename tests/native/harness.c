/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"

#define CALL_MS	     60000
#define CONSOLE_MS   20000
#define CONSOLE_TAIL 2048U

void need_kvm(void)
{
	CLEANUP(fd_closep) int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		cr_skip_test("no usable /dev/kvm: %s", strerror(errno));
}

void need_hardware_kvm(void)
{
	need_kvm();
	if (access("/sys/module/kvm_intel", F_OK) != 0 && access("/sys/module/kvm_amd", F_OK) != 0)
		cr_skip_test("this machine's KVM is software-only (no kvm_intel, no kvm_amd)");
}

int open_guest(void)
{
	int fd = open(GUEST_ELF, O_RDONLY | O_CLOEXEC);

	cr_assert(fd >= 0, "%s: %s", GUEST_ELF, strerror(errno));
	return fd;
}

int make_file(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	cr_assert(fd >= 0);
	cr_assert_eq(fd_write_full(fd, data, len), 0);
	return fd;
}

static void on_closed(struct rpc_conn *conn, int reason, void *arg)
{
	struct vmm *v = arg;

	(void)reason;
	rpc_conn_free(conn);
	v->conn = NULL;
}

void vmm_spawn(struct vmm *v, const struct vmm_files *files)
{
	const struct rpc_conn_config cfg = { .closed = on_closed, .arg = v };
	int control = -1;

	v->pid = vmm_fork(CASEMATE_VMM, files, &control);
	cr_assert(v->pid >= 0, "fork: %s", strerror(-v->pid));
	cr_assert_eq(loop_new(&v->loop), 0);
	cr_assert_eq(rpc_conn_new(v->loop, control, &cfg, &v->conn), 0);
}

enum rpc_code vmm_call(struct vmm *v, unsigned method, const void *in, const int *fds,
		       struct rpc_status *st, ProtobufCMessage **ret)
{
	ProtobufCMessage *out = NULL;
	int r;

	cr_assert(v->conn != NULL, "the VMM has closed the connection");
	r = rpc_call_wait(v->loop, v->conn, &vmm_methods[method], in, fds, CALL_MS, st, &out, NULL);
	cr_assert_eq(r, 0, "%s: %s", vmm_methods[method].name, strerror(-r));
	if (ret != NULL)
		*ret = out;
	else if (st->code == RPC_OK)
		protobuf_c_message_free_unpacked(out, NULL);
	return st->code;
}

void vmm_must(struct vmm *v, unsigned method, const void *in, const int *fds,
	      ProtobufCMessage **ret)
{
	struct rpc_status st;
	enum rpc_code code = vmm_call(v, method, in, fds, &st, ret);

	cr_assert_eq(code, RPC_OK, "%s: %s: %s", vmm_methods[method].name, rpc_code_name(code),
		     st.msg);
}

ProtobufCMessage vmm_empty(unsigned method)
{
	const ProtobufCMessageDescriptor *d = vmm_methods[method].in;

	cr_assert_eq(d->n_fields, 0, "%s", vmm_methods[method].name);
	return (ProtobufCMessage)PROTOBUF_C_MESSAGE_INIT(d);
}

void vmm_do(struct vmm *v, unsigned method)
{
	const ProtobufCMessage q = vmm_empty(method);

	vmm_must(v, method, &q, NULL, NULL);
}

configure_req vmm_request(const char *cmdline)
{
	configure_req q = CASEMATE__VMM__V1__CONFIGURE_REQUEST__INIT;

	q.id = (char *)"test";
	q.vcpus = 1;
	q.memory_bytes = UINT64_C(64) << 20;
	q.cmdline = (char *)cmdline;
	q.console = true;
	return q;
}

/* What a VM that should have ended was doing: its counters, and the end of its console. */
static void tell(struct vmm *v)
{
	Casemate__Vmm__V1__GetMetricsRequest q = CASEMATE__VMM__V1__GET_METRICS_REQUEST__INIT;
	const Casemate__Vmm__V1__GetMetricsResponse *out;
	ProtobufCMessage *msg = NULL;
	static char text[80 * 1024];
	size_t n;

	vmm_must(v, VMM_GET_METRICS, &q, NULL, &msg);
	out = (const void *)msg;
	for (size_t i = 0; i < out->n_metrics; i++)
		if (out->metrics[i]->value != 0)
			cr_log_warn("%s %" PRIu64, out->metrics[i]->name, out->metrics[i]->value);
	protobuf_c_message_free_unpacked(msg, NULL);
	n = vmm_console(v, text, sizeof(text));
	cr_log_warn("console: %s", text + (n > CONSOLE_TAIL ? n - CONSOLE_TAIL : 0));
}

wait_resp *vmm_wait(struct vmm *v)
{
	Casemate__Vmm__V1__WaitRequest q = CASEMATE__VMM__V1__WAIT_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	struct rpc_status st;
	enum rpc_code code = vmm_call(v, VMM_WAIT, &q, NULL, &st, &out);

	if (code == RPC_DEADLINE_EXCEEDED)
		tell(v);
	cr_assert_eq(code, RPC_OK, "Wait: %s: %s", rpc_code_name(code), st.msg);
	return (wait_resp *)out;
}

void vmm_free_wait(wait_resp *w)
{
	casemate__vmm__v1__wait_response__free_unpacked(w, NULL);
}

int vmm_reap(struct vmm *v)
{
	int status;
	pid_t pid;

	do {
		pid = waitpid(v->pid, &status, 0);
	} while (pid < 0 && errno == EINTR);
	cr_assert_eq(pid, v->pid);
	v->pid = -1;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void vmm_done(struct vmm *v)
{
	rpc_conn_free(v->conn);
	v->conn = NULL;
	if (v->pid > 0) {
		(void)kill(v->pid, SIGKILL);
		(void)vmm_reap(v);
	}
	loop_free(v->loop);
}

static bool holds(const uint8_t *data, size_t len, const char *text)
{
	return memmem(data, len, text, strlen(text)) != NULL;
}

void vmm_expect(const struct vmm_files *files, const configure_req *q,
		Casemate__Vmm__V1__EndReason reason, int status, const char *text)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	struct vmm v;
	wait_resp *w;

	vmm_spawn(&v, files);
	vmm_must(&v, VMM_CONFIGURE, q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	w = vmm_wait(&v);
	cr_expect_eq(w->reason, reason, "ended with reason %d (%s), expected %d; console: %.*s",
		     (int)w->reason, w->detail, (int)reason, (int)w->console_tail.len,
		     (const char *)w->console_tail.data);
	if (text != NULL)
		cr_expect(holds(w->console_tail.data, w->console_tail.len, text),
			  "\"%s\" is not in the console: %.*s", text, (int)w->console_tail.len,
			  (const char *)w->console_tail.data);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(&v), status);
	vmm_done(&v);
}

size_t vmm_console(struct vmm *v, char *text, size_t cap)
{
	Casemate__Vmm__V1__ReadConsoleRequest q = CASEMATE__VMM__V1__READ_CONSOLE_REQUEST__INIT;
	Casemate__Vmm__V1__ReadConsoleResponse *out;
	ProtobufCMessage *msg = NULL;
	size_t n;

	vmm_must(v, VMM_READ_CONSOLE, &q, NULL, &msg);
	out = (Casemate__Vmm__V1__ReadConsoleResponse *)msg;
	n = out->data.len < cap ? out->data.len : cap - 1;
	if (n > 0)
		memcpy(text, out->data.data, n);
	text[n] = '\0';
	protobuf_c_message_free_unpacked(msg, NULL);
	return n;
}

void vmm_console_until(struct vmm *v, const char *text)
{
	uint64_t end = now_ms() + CONSOLE_MS;
	static char seen[80 * 1024];

	while (vmm_console(v, seen, sizeof(seen)), strstr(seen, text) == NULL) {
		cr_assert(now_ms() < end, "\"%s\" did not come; console: %s", text, seen);
		(void)usleep(5000);
	}
}
