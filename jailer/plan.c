/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "jailer/slot.h"

static int open_files(struct plan *p, const struct host *h, const struct request *q, uint32_t slot,
		      struct err *err)
{
	int r = 0;

	if (q->state < 0)
		r = store_open_kernel(&h->store, q->kernel, &p->kernel, &p->initrd, err);

	if (r == 0)
		r = store_open_image(&h->store, q->image, &p->image, err);
	if (r < 0 || q->scratch_bytes == 0)
		return r;
	r = label_files_begin(h->label, slot, err);
	if (r < 0)
		return r;
	r = store_open_scratch(&h->store, q->scratch_bytes, &p->scratch, err);
	label_files_end(h->label);
	return r;
}

static int open_ends(struct plan *p, struct err *err)
{
	int pair[2], log[2];

	p->kvm = host_open_kvm(err);
	if (p->kvm < 0)
		return p->kvm;
	if (fd_socketpair(pair, false) < 0)
		return err_sys(err, -errno, "control socket");
	p->control_host = pair[0];
	p->control_vmm = pair[1];
	/* Non-blocking both ways: a reader that sleeps costs log lines, not the VMM's progress. */
	if (pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, -errno, "log pipe");
	p->log_read = log[0];
	p->log_write = log[1];
	return 0;
}

static void add_fd(struct stage_env *e, int from, int to)
{
	if (from < 0)
		return;
	BUG_ON(e->fds_count == STAGE_FDS_MAX);
	e->fds[e->fds_count++] = (struct stage_fd){ from, to };
}

static void fill_env(struct plan *p, const struct host *h, const struct request *q, uint32_t slot)
{
	struct stage_env *e = &p->env;

	add_fd(e, h->null, STDIN_FILENO);
	add_fd(e, h->null, STDOUT_FILENO);
	add_fd(e, p->log_write, STDERR_FILENO);
	add_fd(e, p->control_vmm, VMM_FD_CONTROL);
	add_fd(e, p->kvm, VMM_FD_KVM);
	add_fd(e, p->kernel, VMM_FD_KERNEL);
	add_fd(e, p->initrd, VMM_FD_INITRD);
	add_fd(e, p->image, VMM_FD_DRIVE0);
	add_fd(e, p->scratch, VMM_FD_DRIVE0 + 1);
	add_fd(e, q->memory, VMM_FD_MEMORY);
	add_fd(e, q->state, VMM_FD_STATE);
	e->exec = h->vmm;
	memcpy(e->cgroup, p->cgroup.dir, sizeof(e->cgroup));
	label_of_slot(h->label, slot, e->label);
	e->uid = slot_uid(slot, h->uid_base);
	e->file_bytes_max = q->scratch_bytes;
#ifdef CASEMATE_TEST
	e->off = h->layers_off;
#endif
}

int plan_make(struct plan *p, const struct host *h, const struct request *q, uint32_t slot,
	      struct err *err)
{
	struct cgroup_limits limits = { .memory_bytes = q->memory_bytes * (q->snapshot ? 2 : 1),
					.vcpus = q->vcpus };
	int r;

	*p = (struct plan){ .control_host = -1,
			    .control_vmm = -1,
			    .log_read = -1,
			    .log_write = -1,
			    .kvm = -1,
			    .kernel = -1,
			    .initrd = -1,
			    .image = -1,
			    .scratch = -1,
			    .env = { .report = -1 } };
	cgroup_clear(&p->cgroup);
	r = open_files(p, h, q, slot, err);
	if (r == 0)
		r = open_ends(p, err);
	if (r == 0)
		r = cgroup_create(&h->cgroups, q->id, &limits, &p->cgroup, err);
	if (r < 0) {
		plan_close(p);
		return r;
	}
	fill_env(p, h, q, slot);
	return 0;
}

void plan_close(struct plan *p)
{
	fd_closep(&p->control_host);
	fd_closep(&p->control_vmm);
	fd_closep(&p->log_read);
	fd_closep(&p->log_write);
	fd_closep(&p->kvm);
	fd_closep(&p->kernel);
	fd_closep(&p->initrd);
	fd_closep(&p->image);
	fd_closep(&p->scratch);
}
