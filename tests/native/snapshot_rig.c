/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/snapshot_rig.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/fd.h"

struct snapshot snapshot_new(void)
{
	struct snapshot s = { .state = memfd_create("state", MFD_CLOEXEC),
			      .memory = memfd_create("memory", MFD_CLOEXEC) };

	cr_assert(s.state >= 0 && s.memory >= 0);
	cr_assert_eq(ftruncate(s.memory, SNAPSHOT_MEMORY), 0);
	return s;
}

struct snapshot snapshot_new_split(void)
{
	struct snapshot s = snapshot_new();

	s.rest = memfd_create("rest", MFD_CLOEXEC);
	cr_assert_gt(s.rest, 0);
	cr_assert_eq(ftruncate(s.rest, SNAPSHOT_MEMORY), 0);
	return s;
}

void snapshot_close(struct snapshot *s)
{
	if (s->rest > 0)
		fd_closep(&s->rest);
	fd_closep(&s->state);
	fd_closep(&s->memory);
}

struct snapshot snapshot_take(struct vmm *v)
{
	const Casemate__Vmm__V1__SnapshotRequest q = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	struct snapshot s = snapshot_new();
	const int fds[2] = { s.state, s.memory };

	vmm_do(v, VMM_PAUSE);
	vmm_must(v, VMM_SNAPSHOT, &q, fds, NULL);
	return s;
}

configure_req snapshot_request(const char *cmdline, unsigned vcpus, bool restore)
{
	configure_req q = vmm_request(cmdline);

	q.vcpus = vcpus;
	q.restore = restore;
	return q;
}

void snapshot_boot(struct vmm *v, const char *cmdline, unsigned vcpus)
{
	configure_req q = snapshot_request(cmdline, vcpus, false);
	struct vmm_files f = { .initrd = -1 };

	need_kvm();
	f.kernel = open_guest();
	vmm_spawn(v, &f);
	vmm_must(v, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_do(v, VMM_START);
	fd_closep(&f.kernel);
}

enum rpc_code snapshot_restore(struct vmm *v, const struct snapshot *s, const configure_req *q,
			       struct rpc_status *st)
{
	const struct vmm_files f = { .kernel = -1,
				     .initrd = -1,
				     .restore = true,
				     .state = s->state,
				     .memory = s->memory,
				     .rest = s->rest };

	vmm_spawn(v, &f);
	return vmm_call(v, VMM_CONFIGURE, q, NULL, st, NULL);
}

void snapshot_must_restore(struct vmm *v, const struct snapshot *s, unsigned vcpus)
{
	configure_req q = snapshot_request("", vcpus, true);
	struct rpc_status st;

	cr_assert_eq(snapshot_restore(v, s, &q, &st), RPC_OK, "%s", st.msg);
}
