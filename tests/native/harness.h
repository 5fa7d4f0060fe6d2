/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness.h - runs the real casemate-vmm with descriptors at their fixed numbers and speaks
 * vmm.proto with it. Every helper fails the running test (Criterion) when it can't do its part, so
 * that tests contain only what they are about.
 */
#ifndef TESTS_NATIVE_HARNESS_H
#define TESTS_NATIVE_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <vmm.pb-c.h>

#include "api/rpc/rpc.h"
#include "base/loop.h"
#include "tests/native/spawn.h"
#include "vmm/vmm_fds.h"

typedef Casemate__Vmm__V1__ConfigureRequest configure_req;
typedef Casemate__Vmm__V1__WaitResponse wait_resp;

struct vmm {
	struct loop *loop;
	struct rpc_conn *conn; /* NULL once closed */
	pid_t pid;
};

/* Skips the test, with the reason, when there is no usable /dev/kvm. */
void need_kvm(void);
/* The same when it is a KVM without VMX or SVM beneath, which lacks some exits. */
void need_hardware_kvm(void);

/* The test guest's ELF; an anonymous file with the given bytes. */
int open_guest(void);
int make_file(const void *data, size_t len);

/* Starts the process; the descriptors of `files` are borrowed. */
void vmm_spawn(struct vmm *v, const struct vmm_files *files);
/* One call; the answer's code, and the message in *ret when it is OK (may be NULL: dropped). */
enum rpc_code vmm_call(struct vmm *v, unsigned method, const void *in, const int *fds,
		       struct rpc_status *st, ProtobufCMessage **ret);
/* The same, and anything but OK fails the test. */
void vmm_must(struct vmm *v, unsigned method, const void *in, const int *fds,
	      ProtobufCMessage **ret);
/* The same for a method whose request has no fields: Start, Pause, Resume. */
void vmm_do(struct vmm *v, unsigned method);
/* Such a request. */
ProtobufCMessage vmm_empty(unsigned method);
/* A request with 64 MiB, one vCPU, console; cmdline is borrowed. */
configure_req vmm_request(const char *cmdline);
/* Waits for the VM's end; free with vmm_free_wait. One that doesn't end in 60 s fails the test,
 * which logs the VM's metrics and its console. */
wait_resp *vmm_wait(struct vmm *v);
void vmm_free_wait(wait_resp *w);
/* Waits for the process: its exit status, or -signal. */
int vmm_reap(struct vmm *v);
void vmm_done(struct vmm *v);

/* Spawn, Configure, Start, Wait, reap: checks reason and exit status; the console must hold
 * `text` (NULL = anything). */
void vmm_expect(const struct vmm_files *files, const configure_req *q,
		Casemate__Vmm__V1__EndReason reason, int status, const char *text);

/* The console so far, as a string (up to cap - 1 bytes). */
size_t vmm_console(struct vmm *v, char *text, size_t cap);
/* Until the console holds `text`; fails after 20 s. */
void vmm_console_until(struct vmm *v, const char *text);

#endif
