/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"

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
	/* We never read there, so nobody shall be able to write to us. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(err, -errno, "handover socket");
	p->handover_host = pair[0];
	p->handover_vmm = pair[1];
	if (shutdown(p->handover_host, SHUT_RD) < 0)
		return err_sys(err, -errno, "handover socket");
	/* Non-blocking both ways: a reader that sleeps costs log lines, not the VMM's progress. */
	if (pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, -errno, "log pipe");
	p->log_read = log[0];
	p->log_write = log[1];
	return 0;
}

static void clear(struct plan *p)
{
	*p = (struct plan){ .control_host = -1,
			    .control_vmm = -1,
			    .log_read = -1,
			    .log_write = -1,
			    .handover_host = -1,
			    .handover_vmm = -1,
			    .kvm = -1,
			    .kernel = -1,
			    .initrd = -1,
			    .image = -1,
			    .scratch = -1,
			    .memory = -1,
			    .rest = -1,
			    .state = -1 };
}

/* They are the request's, which is over before the jail runs. */
static int open_snapshot(struct plan *p, const struct request *q, struct err *err)
{
	p->memory = fd_dup(q->memory, STDERR_FILENO + 1);
	p->state = fd_dup(q->state, STDERR_FILENO + 1);
	if (p->memory < 0 || p->state < 0)
		return err_sys(err, p->memory < 0 ? p->memory : p->state, "snapshot");
	if (q->rest >= 0)
		p->rest = fd_dup(q->rest, STDERR_FILENO + 1);
	return q->rest >= 0 && p->rest < 0 ? err_sys(err, p->rest, "snapshot") : 0;
}

/* Which file, and when it was written to last. A memory has read from one image, and would go on
 * over another's blocks. */
static void identify_image(uint8_t ret[REQUEST_IMAGE_ID_BYTES], const struct stat *st)
{
	const uint64_t facts[] = { st->st_dev, st->st_ino, (uint64_t)st->st_size,
				   (uint64_t)st->st_mtim.tv_sec * UINT64_C(1000000000) +
					   (uint64_t)st->st_mtim.tv_nsec };

	_Static_assert(sizeof(facts) == REQUEST_IMAGE_ID_BYTES, "an id");
	memcpy(ret, facts, sizeof(facts));
}

static int open_image(struct plan *p, const struct host *h, const struct request *q,
		      struct err *err)
{
	int r = store_open_image(&h->store, q->image, &p->image, err);
	struct stat st;

	if (r < 0)
		return r;
	if (fstat(p->image, &st) < 0)
		return err_sys(err, -errno, "image");
	p->image_bytes = (uint64_t)st.st_size;
	identify_image(p->image_id, &st);
	if (q->image_known && memcmp(q->image_id, p->image_id, sizeof(p->image_id)) != 0)
		return err_set(err, -ESTALE, "image %s isn't the one that the snapshot is of",
			       q->image);
	return 0;
}

int plan_open(struct plan *p, const struct host *h, const struct request *q, struct err *err)
{
	int r;

	clear(p);
	r = q->state < 0 ? store_open_kernel(&h->store, q->kernel, &p->kernel, &p->initrd, err)
			 : open_snapshot(p, q, err);
	if (r == 0)
		r = open_image(p, h, q, err);
	if (r == 0)
		r = open_ends(p, err);
	if (r < 0)
		plan_close(p);
	return r;
}

static void add_fd(struct plan *p, int from, int to)
{
	if (from < 0)
		return;
	BUG_ON(p->fds_count == STAGE_FDS_MAX);
	p->fds[p->fds_count++] = (struct stage_fd){ from, to };
}

static int open_scratch(struct plan *p, const struct host *h, const struct request *q,
			uint32_t slot, struct err *err)
{
	int r;

	if (q->scratch_bytes == 0)
		return 0;
	r = label_files_begin(h->label, slot, err);
	if (r < 0)
		return r;
	r = store_open_scratch(&h->store, q->scratch_bytes, &p->scratch, err);
	label_files_end(h->label);
	return r;
}

int plan_finish(struct plan *p, const struct host *h, const struct request *q, uint32_t slot,
		struct err *err)
{
	int r = open_scratch(p, h, q, slot, err);

	if (r < 0)
		return r;
	add_fd(p, p->log_write, STDERR_FILENO);
	add_fd(p, p->control_vmm, VMM_FD_CONTROL);
	add_fd(p, p->kvm, VMM_FD_KVM);
	add_fd(p, p->kernel, VMM_FD_KERNEL);
	add_fd(p, p->initrd, VMM_FD_INITRD);
	add_fd(p, p->image, VMM_FD_DRIVE0);
	add_fd(p, p->scratch, VMM_FD_DRIVE0 + 1);
	add_fd(p, p->memory, VMM_FD_MEMORY);
	add_fd(p, p->rest, VMM_FD_REST);
	add_fd(p, p->state, VMM_FD_STATE);
	add_fd(p, p->handover_vmm, VMM_FD_HANDOVER);
	add_fd(p, h->cpuid, VMM_FD_CPUID);
	return 0;
}

void plan_close(struct plan *p)
{
	fd_closep(&p->control_host);
	fd_closep(&p->control_vmm);
	fd_closep(&p->log_read);
	fd_closep(&p->log_write);
	fd_closep(&p->handover_host);
	fd_closep(&p->handover_vmm);
	fd_closep(&p->kvm);
	fd_closep(&p->kernel);
	fd_closep(&p->initrd);
	fd_closep(&p->image);
	fd_closep(&p->scratch);
	fd_closep(&p->memory);
	fd_closep(&p->rest);
	fd_closep(&p->state);
}
