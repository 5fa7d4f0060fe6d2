/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/genid.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/vmm_fds.h"

int genid_init(struct genid *g, int vm_fd, struct err *err)
{
	CLEANUP(fd_closep) int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_irqfd irq = { .gsi = LAYOUT_GSI_GED };

	*g = (struct genid){ .irq_fd = -1 };
	if (fd < 0)
		return err_sys(err, -errno, "generation id: eventfd");
	g->irq_fd = fd_dup(fd, VMM_FD_DYNAMIC);
	if (g->irq_fd < 0)
		return err_sys(err, g->irq_fd, "generation id: eventfd");
	irq.fd = (uint32_t)g->irq_fd;
	if (ioctl(vm_fd, KVM_IRQFD, &irq) < 0)
		return err_sys(err, -errno, "generation id: KVM_IRQFD");
	return 0;
}

int genid_write(struct gmem *m, const uint8_t *id)
{
	uint8_t fresh[GENID_BYTES];

	if (id == NULL) {
		if (getrandom(fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
			return -EIO;
		id = fresh;
	}
	return gmem_write(m, gpa(LAYOUT_GENID), id, GENID_BYTES);
}

void genid_raise(const struct genid *g)
{
	const uint64_t one = 1;

	/* EAGAIN means that an interrupt is already on its way. */
	if (write(g->irq_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		BUG("an irqfd refused a write");
}

void genid_tell(struct genid *g)
{
	__atomic_store_n(&g->untold, true, __ATOMIC_RELEASE);
	genid_raise(g);
}

bool genid_asserted(struct genid *g)
{
	return __atomic_exchange_n(&g->untold, false, __ATOMIC_ACQ_REL);
}
