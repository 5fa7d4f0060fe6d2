/* SPDX-License-Identifier: Apache-2.0 */
/* vm_devices.c - the VM's devices: made, put on the bus, and joined to KVM's interrupts. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/tap.h"
#include "vmm/vm_internal.h"

_Static_assert(VM_DEVICES_MAX <= LAYOUT_GSI_GED - LAYOUT_GSI_VIRTIO, "a pin for each device");
_Static_assert(VM_DEVICES_MAX + 1 <= BUS_RANGES_MAX, "a range for each device and the IOAPIC");

/* ---- Interrupts -------------------------------------------------------------------------- */

static struct virtio_dev *device_at(const struct vm *vm, unsigned pin)
{
	if (pin < LAYOUT_GSI_VIRTIO || pin - LAYOUT_GSI_VIRTIO >= vm->devices_count)
		return NULL;
	return vm->devices[pin - LAYOUT_GSI_VIRTIO];
}

static bool pin_asserted(void *arg, unsigned pin)
{
	const struct virtio_dev *dev = device_at(arg, pin);
	struct vm *vm = arg;

	if (pin == LAYOUT_GSI_GED)
		return genid_asserted(&vm->genid);
	return dev != NULL && __atomic_load_n(&dev->interrupt_status, __ATOMIC_SEQ_CST) != 0;
}

/* A device's thread, or a vCPU's that has unmasked a pin. */
static void send_msi(void *arg, struct ioapic_msi msi)
{
	const struct kvm_msi m = { .address_lo = msi.address, .data = msi.data };
	struct vm *vm = arg;

	/* EPERM: no processor is there or takes it. The guest has written where it goes, and gets
	 * what it would get from a bus: nothing. */
	if (ioctl(VMM_FD_VM, KVM_SIGNAL_MSI, &m) < 0 && errno != EPERM)
		result_end(vm->world.result, END_HOST_ERROR, "KVM_SIGNAL_MSI: %s",
			   strerrorname_np(errno));
}

static void device_raise(void *arg, unsigned pin)
{
	struct vm *vm = arg;

	ioapic_raise(&vm->world.ioapic, pin);
}

static void set_routes(void *arg, uint32_t pins, const struct ioapic_msi msi[IOAPIC_PINS])
{
	struct vm *vm = arg;
	union {
		struct kvm_irq_routing h;
		uint8_t room[sizeof(struct kvm_irq_routing) +
			     IOAPIC_PINS * sizeof(struct kvm_irq_routing_entry)];
	} u;

	memset(&u, 0, sizeof(u));
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((pins >> pin & 1U) == 0)
			continue;
		u.h.entries[u.h.nr++] = (struct kvm_irq_routing_entry){
			.gsi = pin,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = msi[pin].address, .data = msi[pin].data },
		};
	}
	if (ioctl(VMM_FD_VM, KVM_SET_GSI_ROUTING, &u.h) == 0)
		return;
	/* KVM checks what a route says, and the guest says it. */
	if (errno == EINVAL)
		result_end(vm->world.result, END_GUEST_ERROR,
			   "the guest programmed an IOAPIC route that KVM refuses");
	else
		result_end(vm->world.result, END_HOST_ERROR, "KVM_SET_GSI_ROUTING: %s",
			   strerrorname_np(errno));
}

void vm_raise_pending(struct vm *vm)
{
	for (unsigned i = 0; i < vm->devices_count; i++)
		if (pin_asserted(vm, LAYOUT_GSI_VIRTIO + i))
			ioapic_raise(&vm->world.ioapic, LAYOUT_GSI_VIRTIO + i);
}

const struct ioapic_ops vm_ioapic_ops = { pin_asserted, send_msi, set_routes };

/* ---- Devices ----------------------------------------------------------------------------- */

static void device_read(void *arg, uint64_t off, void *data, size_t len)
{
	virtio_mmio_read(arg, off, data, len);
}

static void device_write(void *arg, uint64_t off, const void *data, size_t len)
{
	virtio_mmio_write(arg, off, data, len);
}

static int make_nics(struct vm *vm, const struct vm_config *cfg, struct err *err)
{
	int tap = VMM_FD_TAP0, r;

	for (unsigned i = 0; i < cfg->nics_count; i++) {
		const struct vm_nic *nic = &cfg->nics[i];
		struct virtio_net_spec spec = { .mtu = nic->mtu,
						.pairs = nic->pairs,
						.receive = nic->receive,
						.send = nic->send,
						.set_offload = tap_set_offload };
		int taps[VIRTIO_NET_PAIRS_MAX];
		memcpy(spec.mac, nic->mac, sizeof(spec.mac));
		for (unsigned p = 0; p < nic->pairs; p++) {
			taps[p] = tap++;
			r = tap_prepare(taps[p], err);
			if (r < 0)
				return err_wrap(err, "nic %u", i);
		}
		r = virtio_net_new(&vm->gmem, &spec, taps, &vm->nics[i]);
		if (r < 0)
			return err_sys(err, r, "nic %u", i);
		vm->devices[vm->devices_count++] = vm->nics[i];
		vm->nics_count++;
	}
	return 0;
}

static int make_disk(struct vm *vm, const struct vm_drive *d, unsigned n, struct err *err)
{
	const struct virtio_blk_spec blk = {
		.fd = VMM_FD_DRIVE0 + (int)n,
		.read_only = d->read_only,
		.discard = d->discard,
		.queues = MAX(d->queues, 1U),
		.serial = d->serial,
		.limits = d->limits,
	};
	int r = virtio_blk_new(&vm->gmem, &blk, &vm->drives[n]);

	if (r == -EBADF)
		return err_set(err, r,
			       "drive %u: descriptor %d is not a file or block device that is "
			       "open for %s",
			       n, blk.fd, d->read_only ? "reading only" : "reading and writing");
	return r < 0 ? err_sys(err, r, "drive %u", n) : 0;
}

static int make_drives(struct vm *vm, const struct vm_config *cfg, struct err *err)
{
	unsigned files = 0;
	int r;

	for (unsigned i = 0; i < cfg->drives_count; i++) {
		if (!cfg->drives[i].pmem) {
			r = make_disk(vm, &cfg->drives[i], i, err);
		} else {
			r = virtio_pmem_new(&vm->gmem, &vm->gmem.files[files++], &vm->drives[i]);
			if (r < 0)
				(void)err_sys(err, r, "drive %u", i);
		}
		if (r < 0)
			return r;
		vm->devices[vm->devices_count++] = vm->drives[i];
		vm->drives_count++;
	}
	return 0;
}

/* Makes the devices in the order in which a kernel shall number them. */
static int make_devices(struct vm *vm, const struct vm_config *cfg, struct err *err)
{
	int r = make_drives(vm, cfg, err);

	if (r == 0)
		r = make_nics(vm, cfg, err);
	if (r < 0)
		return r;
	if (cfg->console) {
		r = virtio_console_new(&vm->gmem, &vm->console);
		if (r < 0)
			return err_sys(err, r, "console");
		vm->devices[vm->devices_count++] = vm->console;
	}
	if (cfg->rng) {
		r = virtio_rng_new(&vm->gmem, &vm->devices[vm->devices_count]);
		if (r < 0)
			return err_sys(err, r, "rng");
		vm->devices_count++;
	}
	if (cfg->guest_cid != 0) {
		r = virtio_vsock_new(&vm->gmem, cfg->guest_cid, &vm->vsock);
		if (r < 0)
			return err_sys(err, r, "vsock");
		vm->devices[vm->devices_count++] = vm->vsock;
	}
	if (cfg->balloon) {
		r = virtio_balloon_new(&vm->gmem, &cfg->balloon_options, &vm->balloon);
		if (r < 0)
			return err_sys(err, r, "balloon");
		vm->devices[vm->devices_count++] = vm->balloon;
	}
	return 0;
}

/* Interrupt, notifications, registers, and the thread that serves it. */
static int connect_device(struct vm *vm, unsigned n, struct loop *loop, struct err *err)
{
	struct virtio_dev *dev = vm->devices[n];
	uint64_t base = LAYOUT_VIRTIO + (uint64_t)n * VIRTIO_MMIO_BYTES;
	const struct virtio_irq irq = { device_raise, vm, LAYOUT_GSI_VIRTIO + n };
	int r;

	for (unsigned q = 0; q < dev->queues_count && !dev->ops->kicked_seldom; q++) {
		const struct kvm_ioeventfd kick = {
			.datamatch = q,
			.addr = base + VIRTIO_MMIO_NOTIFY,
			.len = sizeof(uint32_t),
			.fd = dev->kick_fds[q],
			.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
		};
		if (ioctl(VMM_FD_VM, KVM_IOEVENTFD, &kick) < 0)
			return err_sys(err, -errno, "KVM_IOEVENTFD");
	}
	bus_add(&vm->world.mmio,
		&(struct bus_range){ base, VIRTIO_MMIO_BYTES, device_read, device_write, dev });
	r = virtio_dev_attach(dev, loop, &irq);
	return r < 0 ? err_sys(err, r, "%s: starting it", dev->ops->name) : 0;
}

int vm_add_devices(struct vm *vm, const struct vm_config *cfg, struct loop *loop, struct err *err)
{
	int r = make_devices(vm, cfg, err);

	for (unsigned i = 0; i < vm->devices_count && r == 0; i++)
		r = connect_device(vm, i, loop, err);
	return r;
}

unsigned vm_count_devices(const struct vm_config *cfg)
{
	return cfg->drives_count + cfg->nics_count + cfg->console + cfg->rng +
	       (cfg->guest_cid != 0) + cfg->balloon;
}
