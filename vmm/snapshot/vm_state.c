/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot/vm_state.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/le.h"
#include "base/num.h"
#include "vmm/ioapic.h"
#include "vmm/snapshot/dirty.h"
#include "vmm/snapshot/vcpu_state.h"
#include "vmm/virtio/state.h"
#include "vmm/vm_internal.h"
#include "vmm/vmm_fds.h"

_Static_assert(VCPUS_MAX <= SNAP_INSTANCE_MAX && VM_DEVICES_MAX <= SNAP_INSTANCE_MAX,
	       "an instance for each");

/* ---- Saving ------------------------------------------------------------------------------ */

static int save_clock(struct snap_writer *w, struct err *err)
{
	struct kvm_clock_data clock = { 0 };

	if (ioctl(VMM_FD_VM, KVM_GET_CLOCK, &clock) < 0)
		return err_sys(err, -errno, "KVM_GET_CLOCK");
	snap_put(w, SNAP_CLOCK, 0, true, &clock, sizeof(clock));
	return 0;
}

static void save_device(struct virtio_dev *dev, unsigned index, struct snap_writer *w)
{
	uint8_t bytes[VIRTIO_STATE_BYTES_MAX], private[VIRTIO_PRIVATE_BYTES_MAX];
	size_t len = virtio_state_save(dev, bytes);

	snap_put(w, SNAP_VIRTIO, index, true, bytes, len);
	if (dev->ops->save == NULL)
		return;
	pthread_mutex_lock(&dev->lock);
	len = dev->ops->save(dev, private);
	pthread_mutex_unlock(&dev->lock);
	if (len > 0)
		snap_put(w, SNAP_VIRTIO_PRIVATE, index, true, private, len);
}

/* split: NULL = the memory is in one file. */
static int collect(struct vm *vm, const struct snap_id *id, const uint64_t *split,
		   struct snap_writer *w, struct err *err)
{
	const struct snap_machine m = {
		.vcpus = le32_put(vm->vcpus_count),
		.devices = le32_put(vm->devices_count),
		.memory_bytes = le64_put(vm->gmem.bytes),
		.guest_cid = le32_put(vm->guest_cid),
	};
	uint8_t ioapic[IOAPIC_STATE_BYTES];
	int r;

	snap_put(w, SNAP_MACHINE, 0, true, &m, sizeof(m));
	snap_put(w, SNAP_ID, 0, false, id, sizeof(*id));
	if (split != NULL) {
		const le64_t at = le64_put(*split);
		snap_put(w, SNAP_SPLIT, 0, true, &at, sizeof(at));
	}
	r = save_clock(w, err);
	ioapic_save(&vm->world.ioapic, ioapic);
	snap_put(w, SNAP_IOAPIC, 0, true, ioapic, sizeof(ioapic));
	for (unsigned i = 0; i < vm->vcpus_count && r == 0; i++)
		r = vcpu_state_save(vm->vcpus[i].fd, i, vm->vcpus[i].cpuid, w, err);
	for (unsigned i = 0; i < vm->devices_count && r == 0; i++)
		save_device(vm->devices[i], i, w);
	return r;
}

static int write_file(int fd, const uint8_t *p, size_t len, struct err *err)
{
	off_t size = lseek(fd, 0, SEEK_END);
	int r;

	if (size < 0)
		return err_sys(err, -errno, "state file");
	if (size != 0)
		return err_set(err, -EINVAL, "state file: it isn't empty");
	r = fd_pwrite_full(fd, p, len, 0);
	return r < 0 ? err_sys(err, r, "state file") : 0;
}

static int save_state(struct vm *vm, const struct snap_id *id, const uint64_t *split, int fd,
		      struct err *err)
{
	struct snap_writer w;
	const uint8_t *bytes;
	size_t len;
	int r;

	snap_writer_init(&w);
	r = collect(vm, id, split, &w, err);
	if (r == 0) {
		r = snap_writer_finish(&w, &bytes, &len);
		if (r < 0)
			(void)err_sys(err, r, "state file");
	}
	if (r == 0)
		r = write_file(fd, bytes, len, err);
	snap_writer_done(&w);
	return r;
}

/* The memory last: what it has is what has changed since the last that succeeded. */
static int save_memory(struct vm *vm, bool incremental, int fd, struct err *err)
{
	int r = gmem_is_marking(&vm->gmem) ? dirty_collect(&vm->gmem, VMM_FD_VM, err) : 0;

	if (r < 0)
		return r;
	r = gmem_learn_zeros(&vm->gmem, VMM_FD_MEMORY, VMM_FD_REST);
	if (r < 0)
		return err_sys(err, r, "memory file that it came from");
	r = incremental ? gmem_save_marked(&vm->gmem, fd) : gmem_save(&vm->gmem, fd);
	if (r < 0)
		return err_sys(err, r, "memory file");
	gmem_unmark(&vm->gmem);
	return 0;
}

int vm_state_save(struct vm *vm, bool incremental, int state_fd, int memory_fd, struct err *err)
{
	static const uint8_t none[sizeof(vm->snapshot)];
	struct snap_id id = { { 0 }, { 0 } };
	int r;

	if (incremental && !gmem_is_marking(&vm->gmem))
		return err_set(err, -EBUSY, "incremental snapshot: the VM keeps no dirty log");
	if (incremental && memcmp(vm->snapshot, none, sizeof(none)) == 0)
		return err_set(err, -EBUSY, "incremental snapshot: there is none before it");
	if (getrandom(id.self, sizeof(id.self), 0) != (ssize_t)sizeof(id.self))
		return err_sys(err, -EIO, "state file");
	memcpy(id.parent, vm->snapshot, sizeof(id.parent));
	r = save_state(vm, &id, NULL, state_fd, err);
	if (r == 0)
		r = save_memory(vm, incremental, memory_fd, err);
	if (r == 0)
		memcpy(vm->snapshot, id.self, sizeof(vm->snapshot));
	return r;
}

int vm_state_save_again(struct vm *vm, const struct vm_state_files *f, struct err *err)
{
	const bool is_split = f->rest >= 0;
	const uint64_t bytes = vm->gmem.bytes, split = is_split ? f->split : bytes;
	struct snap_id id = { { 0 }, { 0 } };
	int r;

	if (getrandom(id.self, sizeof(id.self), 0) != (ssize_t)sizeof(id.self))
		return err_sys(err, -EIO, "state file");
	r = save_state(vm, &id, is_split ? &split : NULL, f->state, err);
	if (r == 0)
		r = dirty_collect(&vm->gmem, VMM_FD_VM, err);
	if (r < 0)
		return r;
	r = gmem_save_again(&vm->gmem, f->memory, 0, split);
	if (r == 0 && is_split)
		r = gmem_save_again(&vm->gmem, f->rest, split, bytes);
	if (r < 0)
		return err_sys(err, r, "memory file");
	gmem_unmark(&vm->gmem);
	memcpy(vm->snapshot, id.self, sizeof(vm->snapshot));
	return 0;
}

/* ---- Loading ----------------------------------------------------------------------------- */

struct vm_state {
	struct snap_reader reader;
	size_t len;
	uint8_t bytes[];
};

static int file_len(int fd, size_t *ret, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "state file");
	if (st.st_size <= 0 || st.st_size > (off_t)SNAP_BYTES_MAX)
		return err_set(err, -EINVAL, "state file: %jd bytes", (intmax_t)st.st_size);
	*ret = (size_t)st.st_size;
	return 0;
}

/* s has room for len bytes. */
static int read_file(struct vm_state *s, int fd, size_t len, struct err *err)
{
	int r = fd_pread_full(fd, s->bytes, len, 0);

	if (r < 0)
		return err_sys(err, r, "state file");
	s->len = len;
	return 0;
}

static int check_machine(const struct vm_state *s, const struct vm_config *cfg, struct err *err)
{
	struct snap_machine m;
	int r = snap_take(&s->reader, SNAP_MACHINE, 0, &m, sizeof(m), err);

	if (r < 0)
		return r;
	if (le32_get(m.vcpus) != cfg->vcpus)
		return err_set(err, -ENOTSUP, "the snapshot has %" PRIu32 " vCPUs, not %u",
			       le32_get(m.vcpus), cfg->vcpus);
	if (le64_get(m.memory_bytes) != cfg->memory_bytes)
		return err_set(err, -ENOTSUP,
			       "the snapshot has %" PRIu64 " MiB of memory, not %" PRIu64,
			       le64_get(m.memory_bytes) / MIB, cfg->memory_bytes / MIB);
	if (le32_get(m.devices) != vm_count_devices(cfg))
		return err_set(err, -ENOTSUP, "the snapshot has %" PRIu32 " devices, not %u",
			       le32_get(m.devices), vm_count_devices(cfg));
	if (le32_get(m.guest_cid) != cfg->guest_cid)
		return err_set(err, -ENOTSUP,
			       "the snapshot has guest CID %" PRIu32 ", not %" PRIu32,
			       le32_get(m.guest_cid), cfg->guest_cid);
	return 0;
}

int vm_state_open(int fd, const struct vm_config *cfg, struct vm_state **ret, struct err *err)
{
	struct vm_state *s;
	size_t len = 0;
	int r = file_len(fd, &len, err);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s) + len);
	if (s == NULL)
		return err_sys(err, -ENOMEM, "state file");
	r = read_file(s, fd, len, err);
	if (r == 0)
		r = snap_open(&s->reader, s->bytes, s->len, err);
	if (r == 0)
		r = check_machine(s, cfg, err);
	if (r < 0) {
		vm_state_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void vm_state_close(struct vm_state *s)
{
	free(s);
}

const struct snap_reader *vm_state_reader(const struct vm_state *s)
{
	return &s->reader;
}

int vm_state_split(const struct vm_state *s, uint64_t bytes, uint64_t *ret, struct err *err)
{
	le64_t at;
	int r;

	if (snap_find(&s->reader, SNAP_SPLIT, 0) == NULL) {
		*ret = bytes;
		return 0;
	}
	r = snap_take(&s->reader, SNAP_SPLIT, 0, &at, sizeof(at), err);
	if (r < 0)
		return r;
	if (le64_get(at) > bytes || le64_get(at) % 4096 != 0)
		return err_set(err, -EINVAL, "state file: the memory can't be split at %" PRIu64,
			       le64_get(at));
	*ret = le64_get(at);
	return 0;
}

static int load_clock(const struct snap_reader *r, uint64_t *ret_ns, struct err *err)
{
	struct kvm_clock_data saved;
	int rc = snap_take(r, SNAP_CLOCK, 0, &saved, sizeof(saved), err);

	*ret_ns = rc == 0 ? saved.clock : 0;
	return rc;
}

int vm_state_set_clock(uint64_t clock_ns, struct err *err)
{
	struct kvm_clock_data clock = { .clock = clock_ns };

	if (ioctl(VMM_FD_VM, KVM_SET_CLOCK, &clock) < 0)
		return err_sys(err, -errno, "KVM_SET_CLOCK");
	return 0;
}

static int load_device(const struct snap_reader *r, struct virtio_dev *dev, unsigned index,
		       struct err *err)
{
	const struct snap_section *s = snap_find(r, SNAP_VIRTIO, index);
	const struct snap_section *own = snap_find(r, SNAP_VIRTIO_PRIVATE, index);
	int rc;

	if (s == NULL || (own != NULL && dev->ops->load == NULL))
		return err_set(err, -EINVAL, "state file: device %u", index);
	rc = virtio_state_load(dev, s->data, s->len, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&dev->lock);
	if (dev->ops->load != NULL)
		rc = dev->ops->load(dev, own != NULL ? own->data : NULL,
				    own != NULL ? own->len : 0);
	if (rc == 0 && dev->active && dev->ops->restored != NULL)
		dev->ops->restored(dev);
	pthread_mutex_unlock(&dev->lock);
	return rc < 0 ? err_set(err, -EINVAL, "%s: damaged state", dev->ops->name) : 0;
}

/* Files of an earlier version have none: nothing incremental can come after them. */
static int load_id(const struct snap_reader *r, struct vm *vm, struct err *err)
{
	struct snap_id id;
	int rc;

	if (snap_find(r, SNAP_ID, 0) == NULL)
		return 0;
	rc = snap_take(r, SNAP_ID, 0, &id, sizeof(id), err);
	if (rc == 0)
		memcpy(vm->snapshot, id.self, sizeof(vm->snapshot));
	return rc;
}

int vm_state_load(const struct vm_state *s, struct vm *vm, struct err *err)
{
	uint8_t ioapic[IOAPIC_STATE_BYTES];
	int r = load_clock(&s->reader, &vm->clock_ns, err);

	if (r == 0)
		r = load_id(&s->reader, vm, err);
	if (r == 0)
		r = snap_take(&s->reader, SNAP_IOAPIC, 0, ioapic, sizeof(ioapic), err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < vm->devices_count && r == 0; i++)
		r = load_device(&s->reader, vm->devices[i], i, err);
	/* Last: a route that KVM refuses ends the VM, by result. */
	if (r == 0)
		ioapic_load(&vm->world.ioapic, ioapic);
	return r;
}
