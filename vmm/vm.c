/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the order in vm_build is the design. First what reads the hostile files,
 * while there is nothing in the process but memory. Then KVM, memory slots and vCPUs before
 * anything is registered on KVM's I/O buses: since Linux 6.18 a slot change after an ioeventfd
 * waits for an RCU grace period (7 ms instead of 0.05). Then devices, then threads.
 */
#include "vmm/vm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "api/proto/working_set.h"
#include "base/bug.h"
#include "base/fd.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/kvm_limits.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/msr.h"
#include "vmm/arch/x86_64/regs.h"
#include "vmm/footprint.h"
#include "vmm/platform.h"
#include "vmm/seccomp.h"
#include "vmm/snapshot/copier.h"
#include "vmm/snapshot/vcpu_state.h"
#include "vmm/snapshot/vm_state.h"

#define KVM_API 12

static bool is_id(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n <= VM_ID_MAX && s[n] == '\0';
}

static int check_nics(const struct vm_config *cfg, struct err *err)
{
	unsigned pairs = 0;

	if (cfg->nics_count > VM_NICS_MAX)
		return err_set(err, -EINVAL, "nics: more than %u", VM_NICS_MAX);
	for (unsigned i = 0; i < cfg->nics_count; i++) {
		const struct vm_nic *n = &cfg->nics[i];
		static const uint8_t none[VIRTIO_NET_MAC_BYTES];
		if ((n->mac[0] & 1U) != 0 || memcmp(n->mac, none, sizeof(none)) == 0)
			return err_set(err, -EINVAL, "nic %u: mac is not a unicast address", i);
		if (n->mtu != 0 && (n->mtu < VIRTIO_NET_MTU_MIN || n->mtu > VIRTIO_NET_MTU_MAX))
			return err_set(err, -EINVAL, "nic %u: mtu %u is not between %u and %u", i,
				       n->mtu, VIRTIO_NET_MTU_MIN, VIRTIO_NET_MTU_MAX);
		if (n->pairs < 1 || n->pairs > VIRTIO_NET_PAIRS_MAX)
			return err_set(err, -EINVAL,
				       "nic %u: queue_pairs %u is not between 1 and %u", i,
				       n->pairs, VIRTIO_NET_PAIRS_MAX);
		pairs += n->pairs;
	}
	if (pairs > VMM_TAPS_MAX)
		return err_set(err, -EINVAL, "nics: %u queue pairs in all, at most %d", pairs,
			       VMM_TAPS_MAX);
	return 0;
}

static bool has_limits(const struct limits *l)
{
	return l->bytes.rate != 0 || l->operations.rate != 0;
}

static int check_drive(const struct vm_drive *d, unsigned n, struct err *err)
{
	if (strlen(d->serial) > VM_SERIAL_MAX)
		return err_set(err, -EINVAL, "drive %u: id longer than %u bytes", n, VM_SERIAL_MAX);
	if (d->queues > VIRTIO_BLK_QUEUES_MAX)
		return err_set(err, -EINVAL, "drive %u: queues: %u, at most %u", n, d->queues,
			       VIRTIO_BLK_QUEUES_MAX);
	if (d->discard && d->read_only)
		return err_set(err, -EINVAL, "drive %u: discard doesn't go with read_only", n);
	if (d->pmem && (!d->read_only || d->queues > 1 || has_limits(&d->limits)))
		return err_set(err, -EINVAL,
			       "drive %u: pmem is read_only and has neither queues nor limits", n);
	return 0;
}

int vm_check_config(const struct vm_config *cfg, struct err *err)
{
	int r = 0;

	if (!is_id(cfg->id))
		return err_set(err, -EINVAL, "id: 1 to %u characters of a-z, 0-9 and '-'",
			       VM_ID_MAX);
	if (cfg->vcpus < 1 || cfg->vcpus > VCPUS_MAX)
		return err_set(err, -EINVAL, "vcpus: %u is not between 1 and %u", cfg->vcpus,
			       VCPUS_MAX);
	if (cfg->memory_bytes < VM_MEMORY_MIN || cfg->memory_bytes > VM_MEMORY_MAX ||
	    cfg->memory_bytes % VM_MEMORY_STEP != 0)
		return err_set(err, -EINVAL,
			       "memory_bytes: %" PRIu64
			       " is not a multiple of 2 MiB between 64 MiB "
			       "and 512 GiB",
			       cfg->memory_bytes);
	if (strlen(cfg->cmdline) > LAYOUT_CMDLINE_MAX)
		return err_set(err, -EINVAL, "cmdline: longer than %u bytes", LAYOUT_CMDLINE_MAX);
	if (cfg->drives_count > VMM_DRIVES_MAX)
		return err_set(err, -EINVAL, "drives: more than %d", VMM_DRIVES_MAX);
	for (unsigned i = 0; i < cfg->drives_count && r == 0; i++)
		r = check_drive(&cfg->drives[i], i, err);
	if (r < 0)
		return r;
	if (check_nics(cfg, err) < 0)
		return -EINVAL;
	if (cfg->guest_cid != 0 &&
	    (cfg->guest_cid < VM_GUEST_CID_MIN || cfg->guest_cid == UINT32_MAX))
		return err_set(err, -EINVAL, "guest_cid: %" PRIu32 " is reserved", cfg->guest_cid);
	if (!working_set_valid(cfg->working_set, cfg->working_set_count, cfg->memory_bytes))
		return err_set(err, -EINVAL,
			       "working_set: not ascending runs of pages of the memory");
	if (cfg->restore && cfg->pages == GMEM_PAGES_HUGETLB)
		return err_set(err, -EINVAL, "huge_pages: a restored VM's memory is a file");
	return cpu_template_check(&cfg->cpu, err);
}

/* Before the first write that isn't part of a snapshot that was loaded. */
static int begin_marks(struct vm *vm, const struct vm_config *cfg, struct err *err)
{
	int r = cfg->track_dirty ? gmem_mark_changes(&vm->gmem) : 0;

	return r < 0 ? err_sys(err, r, "dirty log") : 0;
}

/* Memory, and in it everything that the kernel finds when it starts. */
static int load_guest(struct vm *vm, const struct vm_config *cfg, struct boot_entry *entry,
		      struct err *err)
{
	struct boot_config boot = { .cmdline = cfg->cmdline, .protocol = cfg->boot };
	const struct acpi_config acpi = { .vcpus = cfg->vcpus, .devices = vm_count_devices(cfg) };
	struct source initrd;
	int r;

	r = source_from_fd(&boot.kernel, "kernel", VMM_FD_KERNEL, err);
	if (r < 0)
		return r;
	if (cfg->initrd) {
		r = source_from_fd(&initrd, "initrd", VMM_FD_INITRD, err);
		if (r < 0)
			return r;
		boot.initrd = &initrd;
	}
	r = gmem_init_pages(&vm->gmem, cfg->memory_bytes, cfg->pages);
	if (r < 0)
		return err_sys(err, r, "memory: %" PRIu64 " MiB%s", cfg->memory_bytes / MIB,
			       cfg->pages == GMEM_PAGES_HUGETLB ? " of huge pages" : "");
	r = begin_marks(vm, cfg, err);
	if (r < 0)
		return r;
	r = boot_load(&boot, &vm->gmem, entry, err);
	if (r < 0)
		return r;
	r = acpi_write(&vm->gmem, &acpi);
	if (r == 0)
		r = regs_write_tables(&vm->gmem, entry);
	return r < 0 ? err_sys(err, r, "boot tables") : 0;
}

static int load_snapshot(struct vm *vm, const struct vm_config *cfg, struct vm_origin *from,
			 struct err *err)
{
	uint64_t split = 0;
	int r = vm_state_open(VMM_FD_STATE, cfg, &from->state, err);

	if (r == 0)
		r = vm_state_split(from->state, cfg->memory_bytes, &split, err);
	if (r < 0)
		return r;
	r = gmem_init(&vm->gmem, cfg->memory_bytes);
	if (r == 0)
		r = gmem_attach_split(&vm->gmem, VMM_FD_MEMORY, VMM_FD_REST, split);
	for (size_t i = 0; i < cfg->working_set_count && r == 0; i += 2)
		r = gmem_own(&vm->gmem, cfg->working_set[i], cfg->working_set[i + 1]);
	return r < 0 ? err_sys(err, r, "memory file") : begin_marks(vm, cfg, err);
}

/* Closes a descriptor whose work is done, and keeps its number taken (main.c, reserve_numbers). */
static int retire(int fd)
{
	return dup3(0, fd, O_CLOEXEC) < 0 ? -errno : 0;
}

/* Drives that are memory: their files lie behind it, in their order. */
static int map_drives(struct vm *vm, const struct vm_config *cfg, struct err *err)
{
	for (unsigned i = 0; i < cfg->drives_count; i++) {
		const struct gmem_region *file;
		int fd = VMM_FD_DRIVE0 + (int)i, r;
		if (!cfg->drives[i].pmem)
			continue;
		r = gmem_add_file(&vm->gmem, fd, &file);
		if (r == -EBADF)
			return err_set(err, r,
				       "drive %u: descriptor %d is not a file that is open for "
				       "reading only",
				       i, fd);
		if (r == 0)
			r = retire(fd);
		if (r < 0)
			return err_sys(err, r, "drive %u: mapping it", i);
	}
	return 0;
}

static int create_vm(struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	int version = ioctl(VMM_FD_KVM, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return err_sys(err, -errno, "kvm: descriptor %d", VMM_FD_KVM);
	if (version != KVM_API)
		return err_set(err, -ENOTSUP, "kvm: API version %d, %d is needed", version,
			       KVM_API);
	fd = ioctl(VMM_FD_KVM, KVM_CREATE_VM, 0);
	if (fd < 0)
		return err_sys(err, -errno, "KVM_CREATE_VM");
	if (dup3(fd, VMM_FD_VM, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "pinning the VM's descriptor");
	return 0;
}

static int add_slot(const struct gmem_region *r, unsigned number, unsigned flags, struct err *err)
{
	const struct kvm_userspace_memory_region slot = {
		.slot = number,
		.flags = flags,
		.guest_phys_addr = r->gpa,
		.memory_size = r->size,
		.userspace_addr = (uintptr_t)r->hva,
	};

	if (ioctl(VMM_FD_VM, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return err_sys(err, -errno, "KVM_SET_USER_MEMORY_REGION %u", number);
	return 0;
}

static int add_memory(const struct gmem *m, struct err *err)
{
	const uint32_t flags = gmem_is_marking(m) ? KVM_MEM_LOG_DIRTY_PAGES : 0;
	int r = 0;

	if (m->files_count > 0 && ioctl(VMM_FD_VM, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) <= 0)
		return err_set(err, -ENOTSUP, "pmem: this KVM has no read-only memory");
	for (unsigned i = 0; i < m->count && r == 0; i++)
		r = add_slot(&m->regions[i], i, flags, err);
	/* A store to one of these is an exit to the bus, where nothing answers. */
	for (unsigned i = 0; i < m->files_count && r == 0; i++)
		r = add_slot(&m->files[i], GMEM_REGIONS_MAX + i, KVM_MEM_READONLY, err);
	return r;
}

/* The local APICs in the kernel, the IOAPIC here, no PIC and no PIT. KVM wants it before vCPUs. */
static int split_irqchip(struct err *err)
{
	const struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { IOAPIC_PINS } };
	uint64_t identity = LAYOUT_IDENTITY;

	if (ioctl(VMM_FD_VM, KVM_SET_TSS_ADDR, (unsigned long)LAYOUT_TSS) < 0)
		return err_sys(err, -errno, "KVM_SET_TSS_ADDR");
	if (ioctl(VMM_FD_VM, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return err_sys(err, -errno, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(VMM_FD_VM, KVM_ENABLE_CAP, &cap) < 0)
		return err_sys(err, -errno, "KVM_CAP_SPLIT_IRQCHIP");
	return 0;
}

/* ---- The whole --------------------------------------------------------------------------- */

static void init_world(struct vm *vm, struct result *result)
{
	struct vcpu_world *w = &vm->world;

	w->result = result;
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->changed, NULL);
	bus_init(&w->mmio);
	bus_init(&w->pio);
	ioapic_init(&w->ioapic, &vm_ioapic_ops, vm);
	bus_add(&w->mmio, &(struct bus_range){ LAYOUT_IOAPIC, IOAPIC_BYTES, ioapic_read,
					       ioapic_write, &w->ioapic });
	platform_add(&w->pio, result);
}

static int device_thread_filter(const char *role)
{
	if (strcmp(role, "copy") == 0)
		return vmm_seccomp_install(SECCOMP_COPY);
	return vmm_seccomp_install(strcmp(role, "net") == 0 ? SECCOMP_NET : SECCOMP_BLK);
}

/* In memory that is loaded already: a snapshot's id is its parent's. */
static int add_genid(struct vm *vm, const struct vm_config *cfg, struct err *err)
{
	int r = genid_write(&vm->gmem, cfg->generation);

	return r < 0 ? err_sys(err, r, "generation id") : 0;
}

static int build_steps(struct vm *vm, const struct vm_config *cfg, struct loop *loop,
		       struct err *err)
{
	struct vm_origin from = { .state = NULL };
	int r;

	r = cfg->restore ? load_snapshot(vm, cfg, &from, err)
			 : load_guest(vm, cfg, &from.entry, err);
	if (r == 0)
		r = map_drives(vm, cfg, err);
	if (r == 0)
		r = create_vm(err);
	if (r == 0)
		r = kvm_limits_set(VMM_FD_VM, err);
	if (r == 0)
		r = msr_filter_install(VMM_FD_VM, err);
	if (r == 0)
		r = add_memory(&vm->gmem, err);
	if (r == 0)
		r = split_irqchip(err);
	if (r == 0)
		r = vm_add_vcpus(vm, cfg, &from, err);
	if (r == 0)
		r = vm_add_devices(vm, cfg, loop, err);
	if (r == 0)
		r = add_genid(vm, cfg, err);
	if (r == 0 && cfg->restore)
		r = vm_state_load(from.state, vm, err);
	vm_state_close(from.state);
	return r;
}

/* Those that don't belong to a device. */
static int start_threads(struct vm *vm, struct loop *loop, struct err *err)
{
	int r = 0, ready = 0;

	/* Who can't be snapshot while it runs without standing still has no use for it. */
	if (gmem_is_marking(&vm->gmem))
		r = copier_new(&vm->gmem, loop, &vm->copier);
	if (r < 0)
		return err_sys(err, r, "snapshots' thread");
	r = vcpus_start_threads(vm->vcpus, vm->vcpus_count, err);
	if (vm->copier != NULL)
		ready = copier_ready(vm->copier);
	return r == 0 && ready < 0 ? err_sys(err, ready, "snapshots' thread") : r;
}

int vm_build(struct vm *vm, const struct vm_config *cfg, struct loop *loop, struct result *result,
	     struct err *err)
{
	int r = vm_check_config(cfg, err);

	if (r < 0)
		return r;
	vm->guest_cid = cfg->guest_cid;
	vm->restored = cfg->restore;
	init_world(vm, result);
	virtio_set_thread_hook(device_thread_filter);
	r = build_steps(vm, cfg, loop, err);
	if (r < 0)
		return r;
	r = retire(VMM_FD_KVM);
	if (r == 0)
		r = retire(VMM_FD_KERNEL);
	if (r == 0)
		r = retire(VMM_FD_INITRD);
	if (r == 0)
		r = retire(VMM_FD_STATE);
	if (r == 0)
		r = retire(VMM_FD_CPUID);
	if (r < 0)
		return err_sys(err, r, "closing descriptors");
	r = start_threads(vm, loop, err);
	if (r == 0 && vm->restored)
		footprint_shrink();
	return r;
}

/* A restored VM has done its shrinking while it lay ready (vm_build). */
static int start_restored(struct vm *vm, struct err *err)
{
	int r = vm_state_set_clock(vm->clock_ns, err);

	if (r < 0)
		return r;
	vm_raise_pending(vm);
	genid_tell(&vm->genid, &vm->world.ioapic);
	vm_resume(vm);
	return 0;
}

int vm_start(struct vm *vm, struct err *err)
{
	if (vm->restored)
		return start_restored(vm, err);
	vcpus_run(&vm->world);
	/* The guest runs already: it needn't wait for this. */
	footprint_shrink();
	return 0;
}

void vm_pause(struct vm *vm)
{
	vm->pauses++;
	/* The devices last: a vCPU may wait for one until it has its answer. */
	vcpus_pause(vm->vcpus, vm->vcpus_count);
	for (unsigned i = 0; i < vm->devices_count; i++)
		virtio_dev_pause(vm->devices[i]);
}

void vm_resume(struct vm *vm)
{
	for (unsigned i = 0; i < vm->devices_count; i++)
		virtio_dev_resume(vm->devices[i]);
	vcpus_run(&vm->world);
}

void vm_halt(struct vm *vm)
{
	vcpus_kick(vm->vcpus, vm->vcpus_count);
}
